"""Killed, crowded, one after the other: nothing of a lab is left. In full: tests/bench."""

import subprocess

import psutil
import pytest

from tests.endurance import crowd, kills, left, row, runs, state_of_this_system
from tests.engine import as_user


def test_a_kernel_killed_at_fifty_random_moments_leaves_nothing():
    before = state_of_this_system()
    counts = kills(50, seed=20)
    print(f"{counts.total()} killed, {counts.total()} clean: {dict(counts)}")
    assert counts.total() == 50
    assert min(counts.values()) == 10
    assert state_of_this_system() == before


def test_an_ordinary_users_kernel_killed_at_random_moments_leaves_nothing():
    if not as_user.possible():
        pytest.skip("only root makes a user")
    before = state_of_this_system()
    command = as_user.python("ids", "-m", "tests.endurance", "5", "20", LABKIT_MACHINE="user")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "5 killed, 5 clean" in done.stdout, done.stderr
    print(done.stdout)
    assert state_of_this_system() == before


def test_labs_of_many_processes_do_not_meet():
    labs = crowd(processes=5, seconds=4)
    print(f"{labs} labs by 5 processes, all clean")
    assert labs >= 5


def test_labs_in_a_row_in_one_process():
    assert row(5) == 5


def test_what_is_left_would_be_seen():
    with runs() as folder:
        (folder / "labkit-x").mkdir()
        me = psutil.Process()
        assert left(folder, [], [me]) == [
            str(folder / "labkit-x"),
            f"process {me.pid}, {me.name()}",
        ]
