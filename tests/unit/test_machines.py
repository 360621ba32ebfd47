"""The choice of a machine: the first that can boot, or the one that was asked for and no other."""

from types import SimpleNamespace

import pytest

from labkit import Lab, machine
from labkit.errors import MachineError, UsageError


def made(name: str, able: bool) -> SimpleNamespace:
    return SimpleNamespace(name=name, available=lambda: (able, f"because of {name}"))


@pytest.fixture
def machines(monkeypatch):
    """Three machines: the best can't boot here, the others can."""
    monkeypatch.delenv("LABKIT_MACHINE", raising=False)
    three = (made("best", False), made("good", True), made("last", True))
    monkeypatch.setattr(machine, "MACHINES", three)
    return monkeypatch


def test_first_that_can_boot(machines):
    assert machine.choose().name == "good"


def test_variable_forces_one(machines):
    machines.setenv("LABKIT_MACHINE", "last")
    assert machine.choose().name == "last"


def test_argument_comes_before_the_variable(machines):
    machines.setenv("LABKIT_MACHINE", "last")
    assert machine.choose("good").name == "good"


def test_empty_variable_forces_none(machines):
    machines.setenv("LABKIT_MACHINE", "")
    assert machine.choose().name == "good"


def test_forced_one_that_cannot_boot_is_an_error_with_its_reason(machines):
    machines.setenv("LABKIT_MACHINE", "best")
    with pytest.raises(MachineError, match=r"the best machine.*cannot boot here: because of best"):
        machine.choose()


def test_unknown_name_is_answered_with_the_known_ones(machines):
    machines.setenv("LABKIT_MACHINE", "quantum")
    with pytest.raises(UsageError, match="no machine 'quantum'; there are 'best', 'good', 'last'"):
        machine.choose()
    with pytest.raises(UsageError, match="no machine 'quantum'"):
        Lab(machine="quantum")


def test_none_can_boot(machines):
    machines.setattr(machine, "MACHINES", (made("best", False), made("poor", False)))
    assert machine.choose().name == "replay"
    machines.setattr(machine, "REPLAY", made("replay", False))
    with pytest.raises(MachineError, match=r"best: because of best; poor: because of poor.*doctor"):
        machine.choose()
