"""What reads foreign bytes answers garbage with its defined errors; tests/bench tries far more."""

import pytest

from labkit.errors import SnapshotError
from labkit.model import netfilter, rules
from tests.fuzz import TARGETS, attack


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_garbage_meets_only_defined_errors(target):
    count = attack(target, 400)
    assert count.tried >= 400
    if target.name != "wire":  # there a call that nobody serves is never answered well
        assert 0 < count.accepted < count.tried


def test_an_attribute_of_no_length_is_refused_and_not_read_for_ever():
    with pytest.raises(SnapshotError, match="an attribute of 0 bytes"):
        netfilter.rules({"rules": ["02000000" + "00000100"]})


def test_a_rule_that_names_no_protocol_is_told_without_one():
    text = "*filter\n:FORWARD DROP [0:0]\n[0:0] -A FORWARD -p  --dport 80 -j ACCEPT\nCOMMIT\n"
    [chain] = rules.parse(text)
    assert chain.rules[0].condition == "a packet for port 80"
