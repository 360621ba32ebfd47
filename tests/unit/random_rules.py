"""Rules of iptables at random, as one would type them after ``-A CHAIN``: valid ones only."""

from __future__ import annotations

from hypothesis import strategies as st

ports = st.integers(1, 65535)
port_range = st.tuples(ports, ports).map(lambda p: f"{min(p)}:{max(p)}")
port = ports.map(str) | port_range
host = st.tuples(*[st.integers(1, 254)] * 4).map(lambda b: ".".join(map(str, b)))
network = st.tuples(host, st.integers(1, 32)).map(lambda p: f"{p[0]}/{p[1]}")
interface = st.sampled_from(["eth0", "docker0", "br-0123456789ab", "veth+", "lo"])
number = st.integers(1, 2**32 - 1).map(hex)
# Any text that fits a line: quotes, backslashes, blanks, what looks like an option or a negation.
text = st.text(
    st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from("é→ß"), min_size=1,
    max_size=20,
).filter(lambda t: t.strip() == t) | st.sampled_from(
    ["-j", "! -d", "--dport", '"', "\\", "it's", "a b", "# no", "$x", "*", "COMMIT", ":x", "!"]
)  # fmt: skip
maybe_not = st.sampled_from(["", "! "])


def quoted(words: str) -> str:
    """The text as iptables-restore reads it: in quotes, with backslashes."""
    return '"' + words.replace("\\", "\\\\").replace('"', '\\"') + '"'


def option(template: str, *values, negatable: bool = True):
    """``{}`` of the template filled; a "!" before it now and then."""
    no = maybe_not if negatable else st.just("")
    return st.tuples(no, *values).map(lambda v: v[0] + template.format(*v[1:]))


def after(module: str, match):
    """A condition of a module, so named."""
    return match.map(lambda words: f"-m {module} {words}")


COMMON = {
    "source": option("-s {}", host | network),
    "destination": option("-d {}", host | network),
    "conntrack": after("conntrack", option("--ctstate {}", st.lists(
        st.sampled_from(["NEW", "ESTABLISHED", "RELATED", "INVALID", "DNAT"]), min_size=1,
        unique=True).map(",".join))),
    "ctorigdst": after("conntrack", option("--ctorigdst {}", host)),
    "addrtype": after("addrtype", option("--dst-type {}", st.sampled_from(
        ["LOCAL", "UNICAST", "BROADCAST", "MULTICAST"]))),
    "mark": after("mark", option("--mark {}/{}", number, number)),
    "connmark": after("connmark", option("--mark {}", number)),
    "comment": after("comment", option("--comment {}", text.map(quoted), negatable=False)),
    "limit": after("limit", option("--limit {}/{} --limit-burst {}", st.integers(1, 99),
        st.sampled_from(["sec", "min", "hour"]), st.integers(1, 99), negatable=False)),
    "nth": after("statistic", option("--mode nth --every {} --packet 0", st.integers(2, 9),
        negatable=False)),
    "random": after("statistic", option("--mode random --probability {}",
        st.sampled_from(["0.50000000000", "0.33333333349"]), negatable=False)),
    "iprange": after("iprange", option("--src-range 10.0.0.{}-10.0.1.{}", st.integers(1, 254),
        st.integers(1, 254))),
    "ttl": after("ttl", option("--ttl-lt {}", st.integers(1, 255), negatable=False)),
    "length": after("length", option("--length {}", port_range)),
    "pkttype": after("pkttype", option("--pkt-type {}",
        st.sampled_from(["unicast", "broadcast", "multicast"]))),
    "mac": after("mac", option("--mac-source {}", st.just("02:42:AC:11:00:02"))),
    "string": after("string", option("--string {} --algo bm", text.filter(
        lambda t: "\\" not in t).map(quoted), negatable=False)),  # iptables forgets to write them
    "physdev": after("physdev", option("--physdev-in {}", interface)),
    "physdev-is-bridged": after("physdev", option("--physdev-is-bridged")),
    "fragment": option("-f"),
}  # fmt: skip
# By the protocol that a rule must ask for.
OF_PROTOCOL = {
    "tcp": {
        "dport": after("tcp", option("--dport {}", port)),
        "sport": after("tcp", option("--sport {}", port)),
        "flags": after("tcp", option("--tcp-flags {} {}", st.sampled_from(
            ["FIN,SYN,RST,ACK", "SYN,RST"]), st.sampled_from(["SYN", "NONE", "SYN,RST"]))),
        "syn": after("tcp", option("--syn")),
    },
    "udp": {"dport": after("udp", option("--dport {}", port))},
    "icmp": {"type": after("icmp", option("--icmp-type {}", st.sampled_from(
        ["8", "0", "3/1", "11"])))},
    "sctp": {"dport": after("sctp", option("--dport {}", port))},
}  # fmt: skip
SEVERAL_PORTS = {
    name: after("multiport", option(f"--{name} {{}}", st.lists(
        ports.map(str), min_size=1, max_size=7, unique=True).map(",".join)))
    for name in ("sports", "dports", "ports")
}  # fmt: skip
destination = st.tuples(host, ports).map(lambda p: f"{p[0]}:{p[1]}")
# What a rule of each table may do; those in WITH_PORTS only if it asks for TCP or UDP.
TARGETS = {
    "filter": {
        "accept": st.just("-j ACCEPT"), "drop": st.just("-j DROP"), "return": st.just("-j RETURN"),
        "nothing": st.just(""), "jump": st.just("-j SIDE"), "goto": st.just("-g SIDE"),
        "reject": st.sampled_from(["-j REJECT", "-j REJECT --reject-with icmp-host-prohibited"]),
        "log": text.map(lambda t: f"-j LOG --log-prefix {quoted(t)} --log-level 4"),
        "nflog": text.map(lambda t: f"-j NFLOG --nflog-prefix {quoted(t)} --nflog-group 3"),
        "nfqueue": st.integers(0, 9).map("-j NFQUEUE --queue-num {}".format),
    },
    "nat": {
        "masquerade": st.sampled_from(["-j MASQUERADE", "-j MASQUERADE --random-fully"]),
        "snat": host.map("-j SNAT --to-source {}".format),
        "jump": st.just("-j SIDE"),
    },
    "mangle": {
        "mark": number.map("-j MARK --set-mark {}".format),
        "xmark": st.tuples(number, number).map(lambda m: f"-j MARK --set-xmark {m[0]}/{m[1]}"),
        "connmark": st.sampled_from(["-j CONNMARK --save-mark", "-j CONNMARK --restore-mark"]),
        "ttl": st.integers(1, 255).map("-j TTL --ttl-set {}".format),
        "dscp": st.integers(0, 63).map("-j DSCP --set-dscp {}".format),
    },
    "raw": {
        "notrack": st.just("-j CT --notrack"), "trace": st.just("-j TRACE"),
        "drop": st.just("-j DROP"),
    },
}  # fmt: skip
WITH_PORTS = {
    "nat": {
        "masquerade": ports.map("-j MASQUERADE --to-ports {}".format),
        "snat": destination.map("-j SNAT --to-source {}".format),
    },
    "filter": {"reset": st.just("-j REJECT --reject-with tcp-reset")},
}
BASE = {"filter": "FORWARD", "nat": "POSTROUTING", "mangle": "FORWARD", "raw": "PREROUTING"}

NOT_IN = {("mac", "POSTROUTING")}  # where a packet has its next cable's header, not its sender's


@st.composite
def rules(draw, known: set[str] | None = None):
    """A table and the text of a rule in its chain of ``BASE``.

    ``known`` are the names, such as "mark" or "nat snat", that this kernel has; all without.
    """

    def some(choices: dict, prefix: str = "", most: int = 2) -> list[str]:
        names = [n for n in choices if known is None or prefix + n in known]
        names = [n for n in names if (n, BASE[table]) not in NOT_IN]
        chosen = draw(st.lists(st.sampled_from(names), max_size=most, unique=True)) if names else []
        return [draw(choices[name]) for name in chosen]

    table = draw(st.sampled_from(sorted(TARGETS)))
    words = some(COMMON, most=4)
    inward, outward = {"in": option("-i {}", interface)}, {"out": option("-o {}", interface)}
    words += some(inward) if BASE[table] != "POSTROUTING" else []
    words += some(outward) if BASE[table] != "PREROUTING" else []
    protocol = draw(st.sampled_from(["", "tcp", "tcp", "udp", "icmp", "sctp", "47"]))
    targets = {f"{table} {n}": t for n, t in TARGETS[table].items()}
    if protocol:
        no = "! " if protocol == "47" and draw(st.booleans()) else ""
        words.insert(0, f"{no}-p {protocol}")
        words += some(OF_PROTOCOL.get(protocol, {}), f"{protocol} ")
        if protocol in ("tcp", "udp"):
            words += some(SEVERAL_PORTS)
            if protocol == "tcp" or table == "nat":
                targets |= {f"{table} {n}": t for n, t in WITH_PORTS.get(table, {}).items()}
    names = [n for n in targets if known is None or n in known]
    return table, " ".join([*words, draw(targets[draw(st.sampled_from(names))])]).strip()


def ruleset(chosen: list[tuple[str, str]]) -> str:
    """These rules as text for iptables-restore."""
    text = ""
    for table in sorted({table for table, _ in chosen}):
        text += f"*{table}\n:SIDE - [0:0]\n"
        text += "".join(f"-A {BASE[t]} {words}\n" for t, words in chosen if t == table)
        text += "COMMIT\n"
    return text
