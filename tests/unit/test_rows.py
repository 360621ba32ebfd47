"""Rules as rows: every hook on the way, jumps followed, two moments as one, and filters."""

import msgspec
import pytest
from rulesets import RULESETS

from labkit.errors import UsageError
from labkit.model import nftables, rules
from labkit.model.concerns import concerns
from labkit.model.rows import rows
from labkit.model.snapshot import Namespace

HOOKS = {
    "raw": "PREROUTING OUTPUT", "mangle": "PREROUTING INPUT FORWARD OUTPUT POSTROUTING",
    "nat": "PREROUTING INPUT OUTPUT POSTROUTING", "filter": "INPUT FORWARD OUTPUT",
    "security": "INPUT FORWARD OUTPUT",
}  # fmt: skip
EVERY = "".join(
    f"*{table}\n" + "".join(f":{hook} ACCEPT [0:0]\n" for hook in hooks.split()) + "COMMIT\n"
    for table, hooks in HOOKS.items()
)


def namespace(text="", nft="", six=""):
    return Namespace(
        id=1, kind="host", name="host1", chains=rules.parse(text), nftables=nftables.parse(nft),
        chains6=rules.parse(six),
    )  # fmt: skip


def chains(found):
    """The chains in order: "nat PREROUTING", and those that rules lead to, indented."""
    return ["  " * r.depth + f"{r.chain.table} {r.chain.name}" for r in found if r.kind == "chain"]


def marks(found):
    """The rules' marks and counts, by "chain text"."""
    return {
        f"{r.rule.chain} {r.rule.spec}": (r.mark, r.counted) for r in found if r.kind == "rule"
    }  # fmt: skip


def test_every_table_of_every_hook_in_the_kernels_order():
    place = namespace(EVERY)
    assert chains(rows(place, "through")) == [
        "raw PREROUTING", "mangle PREROUTING", "nat PREROUTING",
        "mangle FORWARD", "filter FORWARD", "security FORWARD",
        "mangle POSTROUTING", "nat POSTROUTING",
    ]  # fmt: skip
    assert chains(rows(place, "in"))[3:] == [
        "mangle INPUT", "filter INPUT", "security INPUT", "nat INPUT",
    ]  # fmt: skip
    assert chains(rows(place, "out")) == [
        "raw OUTPUT", "mangle OUTPUT", "nat OUTPUT", "filter OUTPUT", "security OUTPUT",
        "mangle POSTROUTING", "nat POSTROUTING",
    ]  # fmt: skip
    assert [r.name for r in rows(place) if r.kind == "hook"] == [
        "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING",
    ]  # fmt: skip


def test_chains_of_nft_and_of_ipv6_stand_where_their_priority_says():
    place = RULESETS["native-26.1"].root
    assert chains(rows(place, "in")) == [
        "lesson early", "nat PREROUTING", "  nat DOCKER",
        "lesson guard", "  lesson shut", "filter INPUT", "filter INPUT", "nat INPUT",
    ]  # fmt: skip
    families = [r.family for r in rows(place, "in") if r.chain and r.chain.name == "INPUT"]
    assert set(families) == {"ip", "ip6"}
    assert chains(rows(place, "out"))[-2:] == ["two way_out", "nat POSTROUTING"]


def test_a_bridges_chains_are_no_stations_of_a_packet_and_are_shown_apart():
    nft = "table bridge b {\n chain c {\n  type filter hook forward priority 0;\n  drop\n }\n}\n"
    place = namespace("", nft)
    assert chains(rows(place, "through")) == []
    assert [r.name for r in rows(place) if r.kind == "hook"] == ["bridge"]
    assert chains(rows(place)) == ["b c"]


def test_a_chain_is_under_the_first_rule_that_leads_to_it():
    text = "*filter\n:INPUT ACCEPT [0:0]\n:A - [0:0]\n:B - [0:0]\n:LONE - [0:0]\n"
    text += "[0:0] -A INPUT -j A\n[0:0] -A INPUT -g A\n[0:0] -A A -j B\n[0:0] -A B -j A\nCOMMIT\n"
    found = rows(namespace(text))
    assert chains(found) == ["filter INPUT", "  filter A", "    filter B", "filter LONE"]
    assert [r.leads for r in found if r.kind == "rule"] == ["below", "below", "above", "above"]
    # LONE is met by nobody, so on no way
    assert "filter LONE" not in chains(rows(namespace(text), "in"))


def test_the_same_chain_of_two_tables_is_two_chains():
    text = "".join(
        f"*{t}\n:OUTPUT ACCEPT [0:0]\n:X - [0:0]\n[0:0] -A OUTPUT -j X\nCOMMIT\n"
        for t in ("nat", "filter")
    )
    assert chains(rows(namespace(text), "out")) == [
        "nat OUTPUT", "  nat X", "filter OUTPUT", "  filter X",
    ]  # fmt: skip


def test_what_counted_came_went_and_moved_in_a_real_lab():
    old, new = RULESETS["asked-before-26.1"], RULESETS["asked-26.1"]
    both = rows(new.root, before=old.root)
    assert sorted(r.mark for r in both if r.mark) == ["added", "gone", "moved"]
    found = marks(both)
    dnat = "DOCKER ! -i docker0 -p tcp -m tcp --dport {} -j DNAT --to-destination 172.17.0.{}:80"
    assert found[dnat.format(8080, 2)] == ("", 1)
    assert found[dnat.format(8081, 3)] == ("gone", 0)
    assert found[dnat.format(8082, 3)] == ("added", 0)
    assert found["INPUT -p udp -m udp --dport 9 -j DROP"] == ("moved", 0)
    assert found["INPUT -p udp -m udp --dport 10 -j DROP"] == ("", 0)
    masquerade = found["POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE"]
    before = marks(rows(old.root))["POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE"]
    now = marks(rows(new.root))["POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE"]
    assert masquerade == ("", now[1] - before[1])
    assert masquerade[1] > 0
    # The same numbers as in the two texts, and nothing marked between a moment and itself.
    assert {m for m, _ in marks(rows(new.root)).values()} == {""}
    assert set(marks(rows(new.root, before=new.root)).values()) == {("", 0)}


def test_a_chain_that_went_is_under_the_rule_that_went():
    old = "*filter\n:INPUT ACCEPT [0:0]\n:A - [0:0]\n"
    old += "[5:5] -A INPUT -j A\n[5:5] -A A -j DROP\nCOMMIT\n"
    new = "*filter\n:INPUT ACCEPT [7:7]\nCOMMIT\n"
    found = rows(namespace(new), before=namespace(old))
    assert [(r.kind, r.mark, r.counted) for r in found] == [
        ("hook", "", 0), ("chain", "", 7), ("rule", "gone", 0), ("chain", "gone", 0),
        ("rule", "gone", 0),
    ]  # fmt: skip
    came = rows(namespace(old), before=namespace(""))
    assert [(r.kind, r.mark, r.counted) for r in came if r.kind == "rule"] == [
        ("rule", "added", 5), ("rule", "added", 5),
    ]  # fmt: skip


def test_counters_that_were_set_back_did_not_count():
    a, b = (f"*filter\n:INPUT ACCEPT [{n}:0]\n[{n}:9] -A INPUT -j DROP\nCOMMIT\n"
            for n in (9, 2))  # fmt: skip
    found = rows(namespace(b), before=namespace(a))
    assert [r.counted for r in found] == [0, 0, 0]


def kept(snapshot, **wanted):
    """The texts of the rules that stay, and how many are left out."""
    found = rows(snapshot.root, concerns=concerns(snapshot, **wanted))
    return [f"{r.rule.chain} {r.rule.spec}" for r in found if r.kind == "rule"], sum(
        r.number for r in found
    )


def test_a_filter_by_container():
    snapshot = RULESETS["networks-26.1"]
    bridges = {n.name: n.bridge for n in snapshot.networks}
    some, left_out = kept(snapshot, container="web")
    everything, none = kept(snapshot)
    # Chains under rules that are left out are not even counted.
    assert none == 0
    assert 0 < left_out <= len(everything) - len(some)
    text = "\n".join(some)
    for port in ("8080", "8090", "8443", "5353"):
        assert f"--dport {port} " in text
    for other in ("172.17.0.2", "10.8.0.2", "10.7.0.0/24", "10.6.0.0/24"):
        assert other not in text
    for name in ("quiet", "vault", "routed"):
        assert bridges[name] not in text
    assert bridges["shop"] in text
    # what every packet meets stays, the learner's rule about a computer on the LAN too
    assert "FORWARD -j DOCKER-USER" in some
    assert any(s.startswith("DOCKER-USER -s 192.168.56.101/32") for s in some)


def test_a_filter_by_port():
    snapshot = RULESETS["networks-26.1"]
    some, _ = kept(snapshot, port=9000)
    text = "\n".join(some)
    assert "--dport 9000 " in text
    # the container's port behind it, of that container only
    assert "DOCKER -d 10.8.0.2/32 " in text
    for other in ("8080", "8443", "-d 172.17.0.2/32", "-d 10.5.0.2/32"):
        assert other not in text
    # and no other network of Docker's; a port that nobody publishes may be met in any
    shop = next(n.bridge for n in snapshot.networks if n.name == "shop")
    assert shop not in text
    nobodys = kept(snapshot, port=22)[0]
    assert not any("--dport" in s for s in nobodys)
    assert shop in "\n".join(nobodys)
    # a port that a rule leads to
    assert "--dport 8443 " in "\n".join(kept(snapshot, port=443)[0])


def test_a_filter_by_an_address_outside_docker_leaves_out_only_what_cannot_match():
    text = """*filter
:INPUT ACCEPT [0:0]
[0:0] -A INPUT -s 10.0.0.0/8 -j DROP
[0:0] -A INPUT -s 10.0.0.0/8 -d 10.0.0.0/8 -j DROP
[0:0] -A INPUT ! -s 203.0.113.10/32 ! -d 203.0.113.10/32 -j DROP
[0:0] -A INPUT -s 203.0.113.0/24 -d 10.0.0.1/32 -j DROP
[0:0] -A INPUT -p tcp -j DROP
COMMIT
"""
    snapshot = RULESETS["networks-26.1"]
    host = msgspec.structs.replace(snapshot.root, chains=rules.parse(text))
    snapshot = msgspec.structs.replace(snapshot, namespaces=(host,))
    some, left_out = kept(snapshot, address="203.0.113.10")
    # the first, as its destination may be that address; then what is from it, and any
    assert [s.split(" ", 1)[1] for s in some] == [
        "-s 10.0.0.0/8 -j DROP", "-s 203.0.113.0/24 -d 10.0.0.1/32 -j DROP", "-p tcp -j DROP",
    ]  # fmt: skip
    assert left_out == 2


def test_a_filter_by_an_address_looks_at_all_of_a_set():
    text = """table inet lesson {
	chain guard {
		type filter hook input priority 0; policy accept;
		ip saddr { 203.0.113.1-203.0.113.4, 203.0.113.10 } ip daddr 10.0.0.1 drop
	}
}
"""
    snapshot = RULESETS["networks-26.1"]
    host = msgspec.structs.replace(snapshot.root, chains=(), nftables=nftables.parse(text))
    snapshot = msgspec.structs.replace(snapshot, namespaces=(host,))
    for last, there in ((3, 1), (10, 1), (9, 0)):
        assert len(kept(snapshot, address=f"203.0.113.{last}")[0]) == there


def test_filters_together_and_filters_that_are_none():
    snapshot = RULESETS["networks-26.1"]
    both, _ = kept(snapshot, container="web", port=8080)
    assert set(both) == set(kept(snapshot, container="web")[0]) & set(kept(snapshot, port=8080)[0])
    assert concerns(snapshot) is None
    with pytest.raises(UsageError, match=r"'wbe'.*there are: .*web"):
        concerns(snapshot, container="wbe")
    with pytest.raises(UsageError, match=r"'10\.0\.0' is no IP address"):
        concerns(snapshot, address="10.0.0")
