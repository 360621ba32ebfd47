"""A watch of a host that is only made up: which error is told, and how it shows itself."""

from __future__ import annotations

import pytest
from test_topology import SCENES

from labkit import diff
from labkit.errors import LabStopped, UsageError
from labkit.host import Watch


class Host:
    name = "host1"

    def __init__(self, *snapshots):
        self.snapshots = list(snapshots)

    def snapshot(self):
        if not self.snapshots:
            raise LabStopped("this lab is stopped")
        return self.snapshots.pop(0)


def test_it_keeps_both_snapshots_and_shows_what_is_different():
    change = Watch(Host(SCENES["empty"], SCENES["one"]))
    with change as same:
        assert same is change
        assert repr(change) == "<watch of host1: no two snapshots yet>"
        assert change._repr_html_() is None
    assert (change.before, change.after) == (SCENES["empty"], SCENES["one"])
    assert change.diff == diff(SCENES["empty"], SCENES["one"])
    assert repr(change) == repr(change.diff)
    assert change._repr_html_() == change.diff._repr_html_()


def test_a_lab_that_stopped_in_the_block_is_told():
    with pytest.raises(LabStopped), Watch(Host(SCENES["empty"])):
        pass


def test_the_blocks_own_error_goes_before_that():
    change = Watch(Host(SCENES["empty"]))
    with pytest.raises(UsageError, match="mine"), change:
        raise UsageError("mine")
    assert change.diff is None


def test_a_second_block_begins_anew():
    change = Watch(Host(SCENES["empty"], SCENES["one"], SCENES["one"], SCENES["one"]))
    with change:
        pass
    assert change.diff
    with change:
        assert change.diff is None
    assert not change.diff
