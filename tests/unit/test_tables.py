"""The NAT table: chains where a packet meets them, counters that are the snapshot's."""

import msgspec
import pytest
from matplotlib.colors import to_rgba
from test_topology import SCENES, cut_off, labels, overlaps, struck_through, texts

from labkit.errors import UsageError
from labkit.model import rules
from labkit.plot import nat_table
from labkit.plot.style import MARK


def with_chains(text):
    snapshot = SCENES["empty"]
    host = msgspec.structs.replace(snapshot.root, chains=rules.parse(text))
    return msgspec.structs.replace(snapshot, namespaces=(host,))


def test_chains_in_the_order_in_which_a_packet_meets_them():
    shown = texts(nat_table(SCENES["one"]))
    chains = ["PREROUTING", "DOCKER", "INPUT", "OUTPUT", "POSTROUTING"]
    assert [t for t in shown if t in chains] == chains


def test_every_rule_is_shown_with_its_counters():
    snapshot = SCENES["one"]
    every = [r for c in snapshot.root.chains if c.table == "nat" for r in c.rules]
    assert len(every) == 6
    found = labels(nat_table(snapshot))
    for rule in every:
        y = next(box.y0 for text, box in found if text == rule.spec)
        beside = [t for t, box in found if abs(box.y0 - y) < 6 and t != rule.spec]
        assert beside == [str(rule.packets), str(rule.bytes)]


def test_rows_that_counted_are_marked():
    snapshot = SCENES["one"]
    counted = [r for c in snapshot.root.chains if c.table == "nat" for r in c.rules if r.packets]
    figure = nat_table(snapshot)
    marked = [p for p in figure.axes_.patches if p.get_facecolor() == to_rgba(MARK)]
    assert len(marked) == len(counted) > 0
    # and in bold, for those who print in grey
    bold = [t for t in figure.axes_.texts if t.get_weight() == "bold" and t.get_text().isdigit()]
    assert len(bold) == 2 * len(counted)


def test_a_chain_reached_twice_is_drawn_once():
    shown = texts(nat_table(SCENES["one"]))
    assert shown.count("DOCKER") == 1
    assert sum(t.endswith("goes to DOCKER, drawn above") for t in shown) == 1


def test_long_lists_and_long_rules_grow_the_figure():
    rule = "[12345678901234:99999999999999] -A PREROUTING " + " ".join(
        f"-m comment --comment a-comment-of-some-length-{n}" for n in range(9)
    )
    short = with_chains("*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT")
    long = with_chains("*nat\n:PREROUTING ACCEPT [0:0]\n" + f"{rule} -j ACCEPT\n" * 80 + "COMMIT")
    figure = nat_table(long)
    assert figure.get_figheight() > 10 * nat_table(short).get_figheight()
    assert overlaps(figure) == []
    assert cut_off(figure) == []
    assert texts(figure).count("12345G") == 80


def test_a_word_wider_than_the_page_is_cut():
    figure = nat_table(
        with_chains(f"*nat\n:POSTROUTING ACCEPT [0:0]\n[0:0] -A POSTROUTING -m {'x' * 300}\nCOMMIT")
    )
    assert cut_off(figure) == []
    assert overlaps(figure) == []


def test_chains_that_jump_in_a_ring_and_chains_without_a_jump_are_drawn():
    text = """*nat
:PREROUTING ACCEPT [0:0]
:RING-A - [0:0]
:RING-B - [0:0]
:UNUSED - [0:0]
[0:0] -A PREROUTING -j RING-A
[0:0] -A RING-A -j RING-B
[0:0] -A RING-B -j RING-A
COMMIT
"""
    figure = nat_table(with_chains(text))
    shown = texts(figure)
    assert [t for t in shown if t in ("RING-A", "RING-B", "UNUSED")] == [
        "RING-A",
        "RING-B",
        "UNUSED",
    ]
    assert "no rule leads here" in shown
    assert overlaps(figure) == []
    assert struck_through(figure) == []


def test_another_namespace_by_its_containers_name():
    assert repr(nat_table(SCENES["one"], "web")) == "<NAT table of web: 0 rules>"
    assert "There is no rule and no chain here." in texts(nat_table(SCENES["one"], "web"))


def test_an_unknown_container_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"'wbe'.* there are: web"):
        nat_table(SCENES["one"], "wbe")


def test_it_shows_itself_with_a_stable_text():
    assert repr(nat_table(SCENES["one"])) == "<NAT table of host1: 6 rules>"
