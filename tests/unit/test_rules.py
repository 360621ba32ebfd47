"""iptables-save's text to rules: typed, in order, nothing lost."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import SCENES, scenes

from labkit.errors import SnapshotError
from labkit.model.rules import met, parse, written
from tests.unit import random_rules


def rule(spec, counters="[0:0]"):
    return parse(f"*filter\n:C - [0:0]\n{counters} -A C {spec}\nCOMMIT\n")[0].rules[0]


@scenes
def test_round_trip_of_what_iptables_wrote(snapshot):
    chains = snapshot.root.chains
    assert {c.table for c in chains} >= {"filter", "nat"}
    assert parse(written(chains)) == chains


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
        ("", "every packet → is counted"),
        ("-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
         "a packet from 172.17.0.0/16, not out by docker0 "
         "→ its source becomes the address of the way out"),
        ("-p tcp -j MASQUERADE --to-ports 1024-2048",
         "a TCP packet → its source becomes the address of the way out"),
        ("! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
         "a TCP packet for port 8080, not in by docker0 → its destination becomes 172.17.0.2:80"),
        ("-i eth0 -p tcp -m tcp --dport 8080 -m addrtype --dst-type LOCAL -j ACCEPT",
         "a TCP packet for port 8080 of this host, in by eth0 → passes"),
        ("-m addrtype --dst-type LOCAL -j DOCKER", "a packet to this host → goes to DOCKER"),
        ("! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -g SIDE",
         "a packet to this host, not to 127.0.0.0/8 → goes to SIDE and does not come back"),
        ("-o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
         "a packet of a related or established connection, out by docker0 → passes"),
        ("-m conntrack ! --ctstate INVALID", "a packet not of an invalid connection → is counted"),
        ("-p tcp -m multiport ! --dports 80,443,8000:8010 -j DROP",
         "a TCP packet, not for port 80, 443 or 8000 to 8010 → is dropped"),
        ("-s 127.0.0.11/32 -p udp -m udp --sport 4711 -j SNAT --to-source :53",
         "a UDP packet from port 4711 of 127.0.0.11 → its source port becomes 53"),
        ("-p tcp -m tcp --dport 8088 -j REDIRECT --to-ports 80",
         "a TCP packet for port 8088 → its destination becomes this host, port 80"),
        ("-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT",
         "a TCP packet, that opens a connection → passes"),
        ("-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j DROP",
         "a TCP packet, but not one that opens a connection → is dropped"),
        ("-p tcp -m tcp --tcp-flags SYN,RST NONE",
         "a TCP packet, with none set of the TCP flags SYN, RST → is counted"),
        ("-p icmp -m icmp --icmp-type 8 -m limit --limit 10/min -j ACCEPT",
         "an ICMP packet, of type echo-request, at most 10/min → passes"),
        ("! -p udp -j DROP", "a packet of another protocol than UDP → is dropped"),
        ("-p 47", "a protocol 47 packet → is counted"),
        ("-m mark --mark 0x4000/0x4000 -j MARK --set-xmark 0x1/0xff",
         "a packet with mark 0x4000/0x4000 → gets mark 0x1/0xff"),
        ("-j MARK --set-xmark 0x100/0xffffffff", "every packet → gets mark 0x100"),
        ("-m comment --comment x -m statistic --mode random --probability 0.33333333349 -j SEP",
         "a packet by chance, 33% of them → goes to SEP"),
        ("-m statistic --mode nth --every 3 --packet 0 -j SEP",
         "a packet one in 3 → goes to SEP"),
        ("-m recent --rcheck --seconds 10800 --reap --name SEP --rsource -j SEP",
         "a packet from an address in the list SEP of the last 10800 seconds → goes to SEP"),
        ("-d 10.0.0.0/24 -m ipvs --ipvs -j SNAT --to-source 10.0.0.2",
         "a packet to 10.0.0.0/24, that IPVS handles → its source becomes 10.0.0.2"),
        ("-m physdev --physdev-in veth1 --physdev-is-bridged -j ACCEPT",
         "a packet in by bridge port veth1, bridged, not routed → passes"),
        ("-m set --match-set bad src -m set ! --match-set ok dst -j SET --add-set seen src",
         "a packet with its source in the set bad, not with its destination in the set ok "
         "→ its source is added to the set seen"),
        ("-m socket -j DROP", "a packet that matches “socket” → is dropped"),
        ("-j LOG --log-prefix \"new: \" --log-level 6",
         "every packet → is noted in the kernel's log as “new:”"),
        ("-j NFLOG --nflog-prefix x --nflog-group 5",
         "every packet → is copied to group 5 of NFLOG"),
        ("-j TRACE", "every packet → is traced from here on"),
        ("-j CT --notrack", "every packet → is not tracked"),
        ("-j CONNMARK --save-mark --nfmask 0xf --ctmask 0xf",
         "every packet → its connection gets its mark"),
        ("-p tcp -j REJECT --reject-with tcp-reset", "a TCP packet → is refused with a TCP reset"),
        ("-j REJECT --reject-with icmp-port-unreachable", "every packet → is refused"),
        ("-p tcp -j TCPMSS --clamp-mss-to-pmtu",
         "a TCP packet → its segment size is made to fit the path"),
        ("-m unheard --all-{of} 3 -j STRANGE --new {thing}",
         "a packet all {of} 3 → goes to STRANGE --new {thing}"),
    ],
)  # fmt: skip
def test_in_plain_words(spec, words):
    r = rule(spec)
    assert f"{r.condition} → {r.effect}" == words


@given(st.lists(random_rules.rules(), min_size=1, max_size=6))
def test_rules_at_random_are_written_as_they_were_read(chosen):
    counted = random_rules.ruleset(chosen).replace("-A ", "[1:2] -A ")
    text = re.sub(r"^(\[1:2\] -A \w+) (.*)$", lambda m: f"{m[1]} {m[2]}", counted, flags=re.M)
    for table, chain in {(t, random_rules.BASE[t]) for t, _ in chosen}:
        text = text.replace(f"*{table}\n", f"*{table}\n:{chain} ACCEPT [3:4]\n")
    chains = parse(text)
    again = parse(written(chains))
    assert [(c.table, c.name, c.policy, c.packets, c.bytes) for c in again] == [
        (c.table, c.name, c.policy, c.packets, c.bytes) for c in chains
    ]
    pairs = zip(
        (r for c in chains for r in c.rules), (r for c in again for r in c.rules), strict=True
    )
    for one, other in pairs:
        assert (one.matches, one.arguments, one.target) == (
            other.matches, other.arguments, other.target,
        )  # fmt: skip
        assert (other.packets, other.bytes) == (1, 2)
        assert other.condition
        assert other.effect
    # and what has been written once is written so again
    assert written(again) == written(chains)


@pytest.mark.parametrize(
    "spec",
    [
        "-m set --match-set a src -m set ! --match-set b dst -j DROP",
        "-p tcp -m tcp",
        "-m socket -m mark --mark 0x1 -g SIDE",
        "-m comment --comment -j -j DROP",
        r'-m comment --comment "it\'s \"\\\\" -j LOG --log-prefix "! -d"',
        '-m string --string "it\'s" --algo bm --to 65535',
        "! -f",
        "",
    ],
)
def test_a_rule_is_written_as_iptables_wrote_it(spec):
    text = f"*filter\n:C - [0:0]\n[5:6] -A C {spec}".rstrip() + "\nCOMMIT\n"
    assert written(parse(text)) == text
