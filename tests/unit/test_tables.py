"""The NAT table: chains where a packet meets them, counters that are the snapshot's."""

import msgspec
import pytest
from matplotlib.colors import to_rgba
from pictures import SCENES, cut_off, labels, overlaps, struck_through, texts
from rulesets import RULESETS

from labkit.errors import UsageError
from labkit.model import nftables, rules
from labkit.plot import nat_table, rules_table
from labkit.plot.style import MARK

ALL = {**SCENES, **RULESETS}
every_ruleset = pytest.mark.parametrize("name", ALL)


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
        assert beside[:2] == [str(rule.packets), str(rule.bytes)]


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
    long = with_chains("*nat\n:PREROUTING ACCEPT [0:0]\n" + f"{rule} -j ACCEPT\n" * 25 + "COMMIT")
    figure = nat_table(long)
    assert figure.get_figheight() > 8 * nat_table(short).get_figheight()
    assert overlaps(figure) == []
    assert cut_off(figure) == []
    assert texts(figure).count("12345G") == 25


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
    assert [t for t in shown if t in ("RING-A", "RING-B", "nat UNUSED")] == [
        "RING-A",
        "RING-B",
        "nat UNUSED",
    ]
    assert "chains to which no rule leads" in shown
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


@pytest.mark.parametrize(
    ("name", "place"),
    [("empty", None), ("twenty", None), ("networks-20.10", None), ("networks-26.1", "web"),
     ("native-26.1", None), ("swarm-26.1", "ingress_sbox"), ("asked-26.1", None)],
)  # fmt: skip
def test_no_label_covers_another_or_leaves_the_picture(name, place):
    before = RULESETS["asked-before-26.1"] if name == "asked-26.1" else None
    figure = rules_table(ALL[name], place, before=before)
    assert overlaps(figure) == []
    assert cut_off(figure) == []
    assert struck_through(figure) == [] or before


@every_ruleset
def test_every_rule_and_every_chain_can_be_picked(name):
    snapshot = ALL[name]
    figure = rules_table(snapshot)
    things = [t for t in figure.things if t.kind == "rule"]
    root = snapshot.root
    every = [r for c in (*root.chains, *root.chains6, *root.nftables) for r in c.rules]
    assert sorted(dict(t.details)["text"] for t in things) == sorted(r.spec for r in every)
    assert len([t for t in figure.things if t.kind == "chain"]) == len(
        (*root.chains, *root.chains6, *root.nftables)
    )
    for thing in figure.things:
        x, y, width, height = thing.box
        assert figure.at(x + width - 1, y + height / 2) == thing
        assert thing.host == snapshot.host


def test_a_rules_details_and_the_command_that_shows_it():
    figure = rules_table(RULESETS["networks-26.1"])
    thing = next(t for t in figure.things if "--dport 9000 " in dict(t.details).get("text", ""))
    details = dict(thing.details)
    assert thing.name.startswith("nat DOCKER ")
    assert details["takes"].startswith("a TCP packet for port 9000, not in by br-")
    assert details["and"] == "its destination becomes 10.8.0.2:80"
    assert details["because of"] == "port 9000 of far"
    number = thing.name.split()[-1]
    assert thing.commands == (f"iptables -t nat -L DOCKER {number} -n -v",)
    native = rules_table(RULESETS["native-26.1"])
    commands = [t.commands[0] for t in native.things]
    assert "nft list chain ip lesson guard" in commands
    assert "ip6tables -t filter -L INPUT 1 -n -v" in commands
    inside = rules_table(RULESETS["networks-26.1"], "web").things[0].commands[0]
    assert inside.startswith(
        "nsenter --net --target $(docker inspect --format '{{.State.Pid}}' web)"
    )
    sandbox = rules_table(RULESETS["swarm-26.1"], "ingress_sbox").things[0].commands[0]
    assert sandbox.startswith("nsenter --net=/run/docker/netns/ingress_sbox iptables ")


def test_the_cause_stands_at_the_right_of_its_rule():
    found = labels(rules_table(RULESETS["networks-26.1"]))
    rule = next(box for text, box in found if "--dport 8443 -j DNAT" in text)
    beside = [t for t, box in found if abs(box.y0 - rule.y0) < 6 and box.x0 > rule.x1]
    assert beside == ["port 8443 of web"]


def test_the_hooks_of_a_way_in_the_order_of_the_way():
    hooks = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
    for way, expected in {
        "in": ["PREROUTING", "INPUT"],
        "through": ["PREROUTING", "FORWARD", "POSTROUTING"],
        "out": ["OUTPUT", "POSTROUTING"],
        None: list(hooks),
    }.items():
        shown = texts(rules_table(SCENES["one"], way=way))
        assert [t for t in shown if t in hooks] == expected
    with pytest.raises(UsageError, match=r"way='inward'.*'in', 'through', 'out'"):
        rules_table(SCENES["one"], way="inward")


def test_before_and_after_in_words():
    old, new = RULESETS["asked-before-26.1"], RULESETS["asked-26.1"]
    figure = rules_table(new, before=old)
    shown = texts(figure)
    # The new container has the address of the old one: of its three rules two are the same.
    assert shown.count("gone") == 1
    assert shown.count("added") == 1
    assert shown.count("moved") == 1
    assert "+1" in shown
    # A row that counted is yellow, has a bar and a bold number; nothing is told by colour alone.
    marked = [p for p in figure.axes_.patches if p.get_facecolor() == to_rgba(MARK)]
    bold = [t for t in figure.axes_.texts if t.get_weight() == "bold"
            and t.get_text().startswith("+")]  # fmt: skip
    assert len(marked) == len(bold) > 3
    # The text of the rule that is gone is struck through, and no other.
    assert len(struck_through(figure)) == 1
    # and what it was there for is known from before
    assert "port 8081 of old" in shown
    quiet = texts(rules_table(new, before=new))
    assert not {"gone", "added", "moved"} & set(quiet)
    assert not [t for t in quiet if t.startswith("+")]


def test_a_container_that_was_not_there_before():
    new, old = SCENES["bridges"], SCENES["empty"]
    figure = rules_table(new, "cache", before=old)
    things = [dict(t.details) for t in figure.things if t.kind == "rule"]
    assert [d["since the snapshot before"] for d in things] == ["added"] * 6


def test_what_is_filtered_is_said():
    snapshot = RULESETS["networks-26.1"]
    figure = rules_table(snapshot, way="through", container="web", port=8080)
    assert repr(figure).startswith("<rules of host1 on the way through for port 8080 and container")
    shown = texts(figure)
    assert any(t.endswith("rules for other packets") for t in shown)
    assert overlaps(figure) == []
    assert figure.get_figheight() < rules_table(snapshot, way="through").get_figheight()


def test_a_rule_of_nft_without_a_counter_shows_no_number():
    found = labels(rules_table(RULESETS["native-26.1"]))

    def beside(spec):
        y = next(box.y0 for text, box in found if text == spec)
        return [t for t, box in found if abs(box.y0 - y) < 6 and t != spec][:2]

    assert beside("ip protocol icmp counter") == ["0", "0"]
    text = "table ip t {\n chain c {\n  type filter hook input priority 0;\n  drop\n }\n}\n"
    snapshot = SCENES["empty"]
    host = msgspec.structs.replace(snapshot.root, nftables=nftables.parse(text))
    found = labels(rules_table(msgspec.structs.replace(snapshot, namespaces=(host,))))
    assert beside("drop") == ["-", "-"]
    assert "ip t c" in [t for t, _ in found]
