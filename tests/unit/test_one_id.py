"""The filter for a user namespace with one id: which calls succeed without doing anything."""

import subprocess

import pytest

from labkit.agent.one_id import ALLOW, ARCHITECTURE, CALLS, NUMBER, SUCCEED, program
from labkit.machine.privilege import ONE_ID_ONLY

LOAD, JUMP, RETURN = 0x20, 0x15, 0x06


def answer(machine: str, architecture: int, number: int) -> int:
    """What the filter returns, by running it as the kernel does."""
    lines, here, value = program(machine), 0, 0
    while True:
        code, true, false, operand = lines[here]
        here += 1
        if code == LOAD:
            value = {NUMBER: number, ARCHITECTURE: architecture}[operand]
        elif code == JUMP:
            here += true if value == operand else false
        else:
            assert code == RETURN
            return operand


@pytest.mark.parametrize("machine", CALLS)
def test_only_the_calls_that_change_owners_are_answered(machine):
    architecture, numbers = CALLS[machine]
    for number in range(500):
        expected = SUCCEED if number in numbers else ALLOW
        assert answer(machine, architecture, number) == expected, number


@pytest.mark.parametrize("machine", CALLS)
def test_calls_of_another_architecture_have_other_numbers_and_pass(machine):
    _, numbers = CALLS[machine]
    assert {answer(machine, 0x40000003, number) for number in numbers} == {ALLOW}


def test_owners_that_do_not_exist_can_be_given_and_taken(tmp_path):
    if reason := ONE_ID_ONLY.refusal():
        pytest.skip(f"no user namespace here: {reason}")
    script = 'cd "$1" && touch file && chown 33:33 file && setpriv --reuid 33 stat -c %u file'
    done = subprocess.run(
        [*ONE_ID_ONLY.shell(), "sh", "-c", script, "sh", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr
