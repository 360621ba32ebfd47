"""The parser and the writer against the real iptables, on rules at random."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from labkit.errors import CommandError
from labkit.model.rules import parse, written
from tests.unit import random_rules
from tests.unit.random_rules import COMMON, OF_PROTOCOL, SEVERAL_PORTS, TARGETS, WITH_PORTS

MUST = {"source", "destination", "conntrack", "addrtype", "mark", "comment", "limit", "nth",
        "fragment", "tcp dport", "udp dport", "icmp type", "dports", "filter accept",
        "filter goto", "filter reject", "nat masquerade", "nat snat", "mangle mark"}  # fmt: skip


def loaded(host, text: str) -> str:
    """What iptables-save writes once iptables-restore has read the text, in a new namespace."""
    script = f"printf %s {shlex.quote(text)} | iptables-restore --counters && iptables-save -c"
    saved = host.read(f"unshare --net bash -c {shlex.quote(script)}")
    return "".join(f"{line}\n" for line in saved.splitlines() if not line.startswith("#"))


@pytest.fixture(scope="session")
def known(lab) -> set[str]:
    """The conditions and targets that this kernel has, tried one by one."""
    trials = {name: ("filter", s.example()) for name, s in COMMON.items()}
    trials |= {n: ("filter", f"-p tcp {s.example()}") for n, s in SEVERAL_PORTS.items()}
    for protocol, choices in OF_PROTOCOL.items():
        trials |= {
            f"{protocol} {n}": ("filter", f"-p {protocol} {s.example()}")
            for n, s in choices.items()
        }
    for table, choices in TARGETS.items():
        trials |= {f"{table} {n}": (table, s.example()) for n, s in choices.items()}
    for table, choices in WITH_PORTS.items():
        for n, s in choices.items():
            trials.setdefault(f"{table} {n}", (table, f"-p tcp {s.example()}"))
    script = "; ".join(
        f"printf %s {shlex.quote(random_rules.ruleset([rule]))} | iptables-restore 2>/dev/null"
        f" && echo {shlex.quote(name)}"
        for name, rule in trials.items()
    )
    found = lab.host1.read(f"unshare --net bash -c {shlex.quote(script + '; true')}")
    return set(found.splitlines())


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
def test_what_iptables_saves_is_parsed_and_written_back(lab, known):
    assert known >= MUST
    seen = []

    # A set that fails is shown as it is: making it smaller on a real kernel takes minutes.
    @settings(
        max_examples=20, deadline=None, phases=[Phase.reuse, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.lists(random_rules.rules(known), min_size=25, max_size=40))
    def there_and_back(chosen):
        saved = loaded(lab.host1, random_rules.ruleset(chosen))
        chains = parse(saved)
        assert sum(len(c.rules) for c in chains) == len(chosen)
        again = written(chains)
        assert again == saved
        assert loaded(lab.host1, again) == saved
        for rule in (r for c in chains for r in c.rules):
            assert rule.condition
            assert rule.effect
        seen.append(len(chosen))

    there_and_back()
    assert sum(seen) >= 500


def test_a_rule_that_iptables_refuses_is_not_taken_for_one(lab):
    with pytest.raises(CommandError, match="iptables-restore"):
        loaded(lab.host1, random_rules.ruleset([("filter", "-p tcp --dport x -j DROP")]))
