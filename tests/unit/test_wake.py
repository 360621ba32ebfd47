"""The machine that boots while a page loads, and what a notebook shows of a start."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from labkit import wake
from labkit.errors import MachineError
from labkit.machine import progress


class Channel:
    """A machine that booted, and may have gone since."""

    def __init__(self, command=None) -> None:
        self.command, self.gone, self.closed = command, False, False

    def require(self):
        if self.gone:
            raise MachineError("it went away")

    def close(self):
        self.closed = True


@pytest.fixture
def booted(monkeypatch):
    """A computer whose machine takes time and has its image; gives the channels that were made."""
    made = []

    def channel(command):
        made.append(Channel(command))
        return made[-1]

    machine = SimpleNamespace(
        name="virtual", ready=lambda engine: engine, command=lambda image, run: [image, run]
    )
    monkeypatch.setattr(wake, "choose", lambda: machine)
    monkeypatch.setattr(wake, "Channel", channel)
    monkeypatch.setattr(wake, "_awake", [])
    monkeypatch.setenv("LABKIT_ENGINE", "26.1")
    monkeypatch.setenv(wake.VARIABLE, "1")
    wake.begin.cache_clear()
    yield made
    wake.begin.cache_clear()


def test_first_lab_of_a_kernel_gets_the_machine_that_woke_and_the_second_none(booted):
    wake.begin()
    wake.begin()
    (channel,) = booted
    assert channel.command("run") == ["26.1", "run"]
    assert wake.take("26.1") is channel
    assert wake.take("26.1") is None
    assert not channel.closed


def test_a_lab_with_another_image_ends_the_machine_that_woke(booted):
    wake.begin()
    assert wake.take("20.10") is None
    assert booted[0].closed


def test_a_machine_that_went_away_meanwhile_is_not_given(booted):
    wake.begin()
    booted[0].gone = True
    assert wake.take("26.1") is None
    assert booted[0].closed


def test_nothing_wakes_unasked_nor_where_something_has_to_be_made_first(booted, monkeypatch):
    monkeypatch.delenv(wake.VARIABLE)
    wake.begin()
    monkeypatch.setenv(wake.VARIABLE, "1")
    wake.begin.cache_clear()
    wake.choose().ready = lambda engine: None
    wake.begin()
    wake.begin.cache_clear()
    del wake.choose().ready  # as of a machine that boots in a second
    wake.begin()
    assert booted == []


def test_a_computer_where_nothing_boots_is_told_so_by_the_labs_own_start(booted, monkeypatch):
    def choose():
        raise MachineError("no machine can boot here")

    monkeypatch.setattr(wake, "choose", choose)
    wake.begin()
    assert booted == []


@pytest.fixture
def notebook(monkeypatch):
    """As in a notebook: what is displayed, each time as text and as HTML."""
    seen = []

    def display(shown, display_id):
        seen.append((repr(shown), shown._repr_html_()))
        return SimpleNamespace(update=lambda s: display(s, display_id))

    monkeypatch.setattr(progress, "display", display)
    monkeypatch.setattr(progress, "Console", lambda: SimpleNamespace(is_jupyter=True))
    return seen


def test_a_start_is_one_output_that_ends_as_a_line_of_what_was_done(notebook):
    with progress.Waking(shown=True) as say:
        say("booting", "virtual machine (<QEMU> is there)")
        say("starting engines", "booted")
        say("", "engine is up")
    texts, pages = zip(*notebook, strict=True)
    assert texts[0] == "The lab: virtual machine (<QEMU> is there), booting …"
    assert texts[-1].startswith(
        "The lab: virtual machine (<QEMU> is there), booted, engine is up, ready after "
    )
    assert 'role="status" aria-busy="true"' in pages[0]
    assert 'role="status" aria-busy="false"' in pages[-1]
    assert "<QEMU>" not in pages[0]


def test_a_start_that_fails_says_at_what(notebook):
    say = progress.Waking(shown=True)
    say("booting", "virtual machine")
    say.__exit__(MachineError, MachineError("it went away"), None)
    assert notebook[-1][0] == "The lab: virtual machine, not done: booting"


def test_nothing_is_shown_of_a_start_that_takes_no_time_nor_outside_of_notebooks(
    notebook, monkeypatch
):
    with progress.Waking(shown=False) as say:
        say("booting", "root machine")
    monkeypatch.setattr(progress, "Console", lambda: SimpleNamespace(is_jupyter=False))
    with progress.Waking(shown=True) as say:
        say("booting", "virtual machine")
    assert notebook == []
