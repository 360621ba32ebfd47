"""Killed, crowded, one after the other: nothing of a lab is left. In full: tests/bench."""

from tests.endurance import crowd, kills, left, row, runs, state_of_this_system


def test_a_kernel_killed_at_fifty_random_moments_leaves_nothing():
    before = state_of_this_system()
    counts = kills(50, seed=20)
    print(f"{counts.total()} killed, {counts.total()} clean: {dict(counts)}")
    assert counts.total() == 50
    assert min(counts.values()) == 10
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
        assert left(folder, []) == [str(folder / "labkit-x")]
