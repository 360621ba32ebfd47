"""iptables-save's text to rules: typed, in order, nothing lost."""

import pytest
from test_topology import SCENES, scenes

from labkit.errors import SnapshotError
from labkit.model.rules import met, parse


def rule(spec, counters="[0:0]"):
    return parse(f"*filter\n:C - [0:0]\n{counters} -A C {spec}\nCOMMIT\n")[0].rules[0]


def save(chains):
    """The text of iptables-save -c for these chains."""
    text = ""
    for table in dict.fromkeys(c.table for c in chains):
        own = [c for c in chains if c.table == table]
        text += f"*{table}\n"
        text += "".join(f":{c.name} {c.policy or '-'} [{c.packets}:{c.bytes}]\n" for c in own)
        for r in (r for c in own for r in c.rules):
            text += f"[{r.packets}:{r.bytes}] -A {r.chain} {r.spec}".rstrip() + "\n"
        text += "COMMIT\n"
    return text


@scenes
def test_round_trip_of_what_iptables_wrote(snapshot):
    chains = snapshot.root.chains
    assert {c.table for c in chains} >= {"filter", "nat"}
    assert parse(save(chains)) == chains


def test_chains_policies_and_counters():
    text = "# a comment\n*nat\n:OUTPUT ACCEPT [7:420]\n:DOCKER - [0:0]\n"
    text += "[3:180] -A OUTPUT -j DOCKER\nCOMMIT\n"
    output, docker = parse(text)
    assert (output.table, output.policy, output.packets, output.bytes) == ("nat", "ACCEPT", 7, 420)
    assert (docker.policy, docker.rules) == (None, ())
    assert output.rules[0].number == 1
    assert (output.rules[0].packets, output.rules[0].bytes) == (3, 180)
    assert output.rules[0].target == "DOCKER"


def test_the_same_chain_name_in_two_tables():
    text = "*raw\n:OUTPUT ACCEPT [1:1]\nCOMMIT\n*nat\n:OUTPUT DROP [2:2]\n[0:0] -A OUTPUT\nCOMMIT\n"
    raw, nat = parse(text)
    assert (raw.rules, len(nat.rules)) == ((), 1)


def test_matches_are_typed():
    r = rule(
        "-s 10.0.0.0/8 ! -d 172.17.0.2/32 ! -i docker0 -o eth0 -p tcp -m tcp --dport 80:90 "
        "-m conntrack --ctstate RELATED,ESTABLISHED -m addrtype --dst-type LOCAL "
        "-m set ! --match-set blocked src,dst "
        "-j DNAT --to-destination 172.17.0.2:80 --random"
    )
    assert r.match("source").value == "10.0.0.0/8"
    assert r.match("destination").negated
    assert r.match("in-interface").negated
    assert not r.match("out-interface").negated
    assert r.match("protocol").value == "tcp"
    assert (r.match("destination-port").value, r.match("destination-port").module) == (
        "80:90",
        "tcp",
    )
    assert r.match("ctstate").value == "RELATED,ESTABLISHED"
    assert r.match("dst-type").value == "LOCAL"
    assert r.match("match-set").values == ("blocked", "src,dst")
    assert r.match("match-set").negated
    assert r.match("to-destination") is None
    assert r.argument("to-destination") == "172.17.0.2:80"
    assert r.argument("random") == ""
    assert r.target == "DNAT"


@pytest.mark.parametrize(
    ("spec", "comment"),
    [
        ('-m comment --comment "two words" -j ACCEPT', "two words"),
        ("-m comment --comment one -j ACCEPT", "one"),
        (r'-m comment --comment "a \"quoted\" \\ word" -j ACCEPT', r'a "quoted" \ word'),
        ('-m comment --comment "-j DROP" -j ACCEPT', "-j DROP"),
        ('-m comment --comment "! -d" -j ACCEPT', "! -d"),
        (r'-m comment --comment "it\'s" -j ACCEPT', "it's"),
    ],
)
def test_comments_are_not_options(spec, comment):
    r = rule(spec)
    assert r.match("comment").value == comment
    assert r.target == "ACCEPT"
    assert r.spec == spec


def test_options_without_a_value_and_without_a_target():
    r = rule("! -f -m physdev --physdev-is-bridged", "[5:6]")
    assert r.match("fragment").negated
    assert r.match("physdev-is-bridged").values == ()
    assert (r.target, r.packets, r.arguments) == (None, 5, ())
    assert rule("").matches == ()


def test_goto_is_a_target():
    assert rule("-g ELSEWHERE").target == "ELSEWHERE"


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        ":OUTPUT ACCEPT [0:0]",
        "*nat\n:OUTPUT ACCEPT [0:0]\n",
        "*nat\n:OUTPUT ACCEPT\nCOMMIT\n",
        "*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j ACCEPT\nCOMMIT\n",
        "*nat\n[0:0] -A UNKNOWN -j ACCEPT\nCOMMIT\n",
        "COMMIT",
        "*nat\n*filter\nCOMMIT\n",
    ],
)
def test_what_iptables_did_not_write_is_refused(text):
    with pytest.raises(SnapshotError, match="iptables-save -c"):
        parse(text)


def test_no_rules_at_all():
    assert parse("") == ()


def test_the_order_in_which_a_packet_meets_chains():
    chains = SCENES["one"].root.chains
    through = [(c.table, c.name) for c in met(chains, "through")]
    assert through == [("nat", "PREROUTING"), ("filter", "FORWARD"), ("nat", "POSTROUTING")]
    every = "".join(
        f"*{table}\n" + "".join(f":{hook} ACCEPT [0:0]\n" for hook in hooks.split()) + "COMMIT\n"
        for table, hooks in {
            "nat": "PREROUTING INPUT OUTPUT POSTROUTING",
            "filter": "INPUT FORWARD OUTPUT",
            "raw": "PREROUTING OUTPUT",
            "mangle": "PREROUTING INPUT FORWARD OUTPUT POSTROUTING",
        }.items()
    )
    ways = {w: [f"{c.table} {c.name}" for c in met(parse(every), w)] for w in ("in", "out")}
    assert ways["in"] == [
        "raw PREROUTING", "mangle PREROUTING", "nat PREROUTING",
        "mangle INPUT", "filter INPUT", "nat INPUT",
    ]  # fmt: skip
    assert ways["out"] == [
        "raw OUTPUT", "mangle OUTPUT", "nat OUTPUT", "filter OUTPUT",
        "mangle POSTROUTING", "nat POSTROUTING",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("-j DROP", "every packet → is dropped"),
        ("-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
         "from 172.17.0.0/16, not out by docker0 → source becomes the address of the way out"),
        ("! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
         "tcp to port 8080, not in by docker0 → destination becomes 172.17.0.2:80"),
        ("-m addrtype --dst-type LOCAL -j DOCKER", "to an address of this host → goes to DOCKER"),
        ("-o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
         "out by docker0, connection related or established → passes"),
        ("-i eth0 -j MARK --set-xmark 0x1/0xff", "in by eth0 → goes to MARK --set-xmark 0x1/0xff"),
    ],
)  # fmt: skip
def test_in_plain_words(spec, words):
    r = rule(spec)
    assert f"{r.condition} → {r.effect}" == words
