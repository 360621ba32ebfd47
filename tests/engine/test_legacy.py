"""Lab hosts whose iptables is the older one, which knows no nf_tables: iptables-legacy.

They are changed to it as every Debian is, with update-alternatives. Part of what every machine must
do is run on them again; then what labkit reads there is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit import Lab, journey
from labkit.model.causes import cause
from tests import agreement
from tests.engine.test_fixed_set import (  # noqa: F401 - they run here on this file's lab
    test_host_and_none,
    test_names_on_a_network_of_ones_own,
    test_outside_sees_the_host,
    test_published_port_is_a_dnat_rule,
    test_published_port_is_reached_from_the_lan,
    test_snapshot_reads_all_of_it,
)

CHANGE = """
    service docker stop
    nft flush ruleset
    for tool in iptables ip6tables; do
        update-alternatives --quiet --set $tool /usr/sbin/$tool-legacy
    done
    service docker start
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(hosts=1, stations=1) as running:
        asked = running.host1.sh("iptables-legacy -t nat -S", check=False)
        if asked.status:
            pytest.skip(f"this kernel lacks iptables-legacy's tables: {asked.stderr.strip()}")
        for host in running.hosts:
            host.read(CHANGE)
            assert "legacy" in host.read("iptables --version")
        yield running


def test_snapshot_has_every_rule_and_its_cause(host):
    host.run("nginx", name="web", publish="8080:80")
    root = (snapshot := host.snapshot()).root
    assert root.nftables == ()
    saved = host.read("iptables-save -c; ip6tables-save -c")
    rules = [rule for _, chain in root.families() for rule in chain.rules]
    assert len(rules) == sum("] -A " in line for line in saved.splitlines())
    assert [(r.table, r.chain, r.spec) for r in rules if not cause(snapshot, root, r)] == []
    assert {"DNAT", "MASQUERADE"} <= {rule.target for rule in rules}


def test_journey_is_told_from_captures_and_says_so(host):
    client = host.run("toolbox", name="client", command="sleep 1000")
    found = journey(client, "curl -s outside")
    assert "the rules of host1 are not those of nf_tables: captures only" in found.remarks
    assert agreement.with_tracking(found) == agreement.with_cables(found) == []
