"""What reads foreign bytes answers garbage with its defined errors; tests/bench tries far more."""

import pytest

from tests.fuzz import TARGETS, attack


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_garbage_meets_only_defined_errors(target):
    count = attack(target, 400)
    assert count.tried >= 400
    if target.name != "wire":  # there a call that nobody serves is never answered well
        assert 0 < count.accepted < count.tried
