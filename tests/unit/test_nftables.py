"""nft's text to rules: what a packet meets, in the names of iptables where it is the same."""

import pytest
from rulesets import RULESETS

from labkit.errors import SnapshotError
from labkit.model.nftables import parse

TEXT = """
table ip lesson {
        comment "of the lesson"
        set bad {
                type ipv4_addr
                flags interval
                elements = { 1.1.1.1, 10.0.0.0/8,
                             1.1.2.1 }
        }

        chain guard {
                comment "a chain's own"
                type filter hook input priority -5; policy drop;
                ip saddr { 1.1.1.1, 1.1.1.2,
                           1.1.1.3 } counter packets 3 bytes 180 accept comment "}{ # x"
                tcp dport 80 accept
        }

        chain shut {
        }
}
table netdev first {
        chain x {
                type filter hook ingress device "eth0" priority 0; policy accept;
        }
}
"""


def rule(spec):
    return parse(f"table ip t {{\n chain c {{\n  {spec}\n }}\n}}\n")[0].rules[0]


def test_chains_hooks_priorities_policies_and_counters():
    guard, shut, first = parse(TEXT)
    assert (guard.family, guard.table, guard.name) == ("ip", "lesson", "guard")
    assert (guard.hook, guard.priority, guard.policy) == ("INPUT", -5, "DROP")
    assert (shut.hook, shut.priority, shut.policy, shut.rules) == (None, 0, None, ())
    assert (first.family, first.hook) == ("netdev", "INGRESS")
    one, other = guard.rules
    assert (one.number, one.packets, one.bytes, one.target) == (1, 3, 180, "ACCEPT")
    assert one.match("source").values == ("1.1.1.1", "1.1.1.2", "1.1.1.3")
    assert one.match("comment").value == "}{ # x"
    assert (other.number, other.packets) == (2, 0)


def test_what_iptables_has_told_is_passed_over():
    assert [c.name for c in parse(TEXT, {("ip", "lesson", "guard")})] == ["shut", "x"]


def test_a_table_that_a_program_owns():
    text = "table inet x { # progname firewalld\n\tflags owner\n\n\tchain c {\n\t}\n}\n"
    assert [(c.table, c.name) for c in parse(text)] == [("x", "c")]


def test_nothing_at_all():
    assert parse("") == ()


@pytest.mark.parametrize(
    "text",
    ["hello", "table ip x {", "table ip x {\n chain c {\n", "}", "table ip x {\n accept\n}"],
)
def test_what_nft_did_not_write_is_refused(text):
    with pytest.raises(SnapshotError, match="nft"):
        parse(text)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("accept", "every packet → passes"),
        ("ip saddr 10.0.0.0/8 ip daddr != 10.0.0.1 drop",
         "a packet from 10.0.0.0/8, not to 10.0.0.1 → is dropped"),
        ("tcp dport { 80, 443, 8000-8010 } ct state established,related counter jump side",
         "a TCP packet for port 80, 443 or 8000 to 8010 of an established or related connection "
         "→ goes to side"),
        ("tcp dport != 80 reject with tcp reset",
         "a TCP packet, not for port 80 → is refused with a TCP reset"),
        ("ip saddr @bad counter packets 1 bytes 2 drop",
         "a packet from the set bad → is dropped"),
        ("meta l4proto { tcp, udp } th dport 53 accept",
         "a TCP or UDP packet for port 53 → passes"),
        ("iifname \"eth0\" oifname != \"docker0\" masquerade",
         "a packet in by eth0, not out by docker0 → its source becomes the address of the way out"),
        ("fib daddr type local tcp dport 8080 dnat ip to 172.17.0.2:80",
         "a TCP packet for port 8080 of this host → its destination becomes 172.17.0.2:80"),
        ("tcp dport 8082 redirect to :80",
         "a TCP packet for port 8082 → its destination becomes this host, port 80"),
        ("snat ip to 1.2.3.4", "every packet → its source becomes 1.2.3.4"),
        ("icmp type echo-request limit rate over 10/minute burst 5 packets drop",
         "an ICMP packet, of type echo-request, when there are more than 10/minute → is dropped"),
        ("limit rate 400 bytes/minute accept", "a packet at most 400 bytes/minute → passes"),
        ("log prefix \"new \" flags all counter drop",
         "every packet → is noted in the kernel's log as “new” and is dropped"),
        ("log group 3", "every packet → is copied to group 3 of NFLOG"),
        ("tcp flags & (fin | syn | rst | ack) == syn",
         "a TCP packet, with TCP flags & (fin | syn | rst | ack) == syn → is counted"),
        ("meta mark 0x00000012 meta mark set 0x00000005 return",
         "a packet with mark 0x00000012 → gets mark 0x00000005 and goes back to the calling chain"),
        ("ct mark set meta mark", "every packet → its connection gets mark meta mark"),
        ("meta nftrace set 1", "every packet → is traced from here on"),
        ("tcp dport vmap { 22 : accept, 25 : jump side }",
         "every packet → goes where the map says: tcp dport { 22 : accept, 25 : jump side }"),
        ("goto side", "every packet → goes to side and does not come back"),
        ("ip6 saddr ::1 notrack", "a packet from ::1 → is not tracked"),
        ("tcp dport 1-1024 queue to 3",
         "a TCP packet for port 1 to 1024 → goes to the program at queue 3"),
        ("ether saddr 02:42:ac:11:00:02 {strange} words",
         "a packet ether saddr 02:42:ac:11:00:02, {strange} words → is counted"),
    ],
)  # fmt: skip
def test_in_plain_words(spec, words):
    r = rule(spec)
    assert f"{r.condition} → {r.effect}" == words


def test_a_snapshot_carries_them():
    snapshot = RULESETS["native-26.1"]
    named = [(c.family, c.table, c.name, c.hook) for c in snapshot.root.nftables]
    assert named == [
        ("ip", "lesson", "early", "PREROUTING"), ("ip", "lesson", "guard", "INPUT"),
        ("ip", "lesson", "shut", None), ("inet", "two", "way_out", "POSTROUTING"),
    ]  # fmt: skip
    again = type(snapshot).from_json(snapshot.to_json())
    assert again.root.nftables == snapshot.root.nftables
    assert again.root.nftables[1].rules[0].match("destination-port").value == "80,443,8080"
    assert [r.target for c in snapshot.root.chains6 for r in c.rules] == ["REJECT"]
