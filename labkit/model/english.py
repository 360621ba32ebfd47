"""A rule in plain English: which packets it takes, and what becomes of them.

Nothing here parses. Names of conditions and targets are those of iptables-extensions(8).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.model.rules import Option

PROTOCOLS = {"icmp": "ICMP", "icmpv6": "ICMPv6", "ipv6-icmp": "ICMPv6", "all": "IP"}
PORTLESS = ("tcp", "udp", "sctp", "dccp", "udplite", "icmp", "icmp6", "comment")
ICMP = {
    "0": "echo-reply", "3": "destination-unreachable", "5": "redirect", "8": "echo-request",
    "11": "time-exceeded",
}  # fmt: skip
STATES = {
    "NEW": "new", "ESTABLISHED": "established", "RELATED": "related", "INVALID": "invalid",
    "UNTRACKED": "untracked", "DNAT": "DNAT'ed", "SNAT": "SNAT'ed",
}  # fmt: skip
ADDRESSES = {
    "LOCAL": "this host", "BROADCAST": "everybody", "MULTICAST": "a multicast group",
    "UNICAST": "one computer", "local": "this host",
}  # fmt: skip
SIDES = {"src": "source", "dst": "destination"}
CONDITIONS = {
    "match": "that matches “{}”",
    "in-interface": "in by {}",
    "out-interface": "out by {}",
    "physdev-in": "in by bridge port {}",
    "physdev-out": "out by bridge port {}",
    "physdev-is-bridged": "bridged, not routed",
    "physdev-is-in": "in by a bridge port",
    "physdev-is-out": "out by a bridge port",
    "mark": "with mark {}",
    "connmark": "of a connection with mark {}",
    "ctorigdst": "first sent to {}",
    "ctorigsrc": "of a connection that {} began",
    "ctorigdstport": "first sent to port {}",
    "ctdir": "in the direction {} of its connection",
    "ctproto": "of a connection of protocol {}",
    "fragment": "that is a later fragment",
    "icmp-type": "of type {}",
    "icmpv6-type": "of type {}",
    "limit": "at most {}",
    "limit-burst": "after a burst of {}",
    "hashlimit-upto": "at most {} for each of its kind",
    "hashlimit-above": "when there are more than {} of its kind",
    "connlimit-above": "when there are more than {} such connections",
    "connlimit-upto": "while there are at most {} such connections",
    "ipvs": "that IPVS handles",
    "vaddr": "for the virtual service at {}",
    "vport": "for the virtual service at port {}",
    "vmethod": "that IPVS forwards by {}",
    "every": "one in {}",
    "pkt-type": "sent to {}",
    "mac-source": "from MAC address {}",
    "src-range": "from {}",
    "dst-range": "to {}",
    "length": "{} bytes long",
    "ttl-eq": "with TTL {}",
    "ttl-lt": "with a TTL below {}",
    "ttl-gt": "with a TTL above {}",
    "uid-owner": "sent by user {}",
    "gid-owner": "sent by group {}",
    "dscp": "with DSCP {}",
    "tos": "with TOS {}",
    "string": "that contains “{}”",
    "nfproto": "of {}",
}
# Options that say how a condition is tested, in words of which the condition has the meaning.
SILENT = {"comment", "algo", "to", "from", "hashlimit-name",
          "hashlimit-mode", "hashlimit-burst", "hashlimit-htable-expire",
          "hashlimit-htable-size", "hashlimit-htable-max", "connlimit-mask", "connlimit-saddr",
          "connlimit-daddr", "return-nomatch", "icase"}  # fmt: skip
EFFECTS = {
    "ACCEPT": "passes",
    "DROP": "is dropped",
    "RETURN": "goes back to the calling chain",
    "MASQUERADE": "its source becomes the address of the way out",
    "TRACE": "is traced from here on",
    "NOTRACK": "is not tracked",
    "CHECKSUM": "its checksum is filled in",
}
# The effect of a target that depends on an option of it.
WITH_OPTION = {
    "to-destination": "its destination becomes {}",
    "to-source": "its source becomes {}",
    "to-ports": "its destination becomes this host, port {}",
    "set-xmark": "gets mark {}",
    "set-mark": "gets mark {}",
    "set-connmark": "its connection gets mark {}",
    "save-mark": "its connection gets its mark",
    "restore-mark": "gets its connection's mark",
    "and-mark": "keeps the bits {} of its mark",
    "or-mark": "gets the bits {} of its mark set",
    "nflog-group": "is copied to group {} of NFLOG",
    "notrack": "is not tracked",
    "zone": "is tracked in zone {}",
    "helper": "is tracked with the helper {}",
    "queue-num": "goes to the program at queue {}",
    "queue-balance": "goes to the programs at queues {}",
    "clamp-mss-to-pmtu": "its segment size is made to fit the path",
    "set-mss": "its segment size becomes {}",
    "ttl-set": "its TTL becomes {}",
    "ttl-dec": "its TTL falls by {}",
    "ttl-inc": "its TTL rises by {}",
    "set-tos": "its TOS becomes {}",
    "set-dscp": "its DSCP becomes {}",
    "set-class": "its traffic class becomes {}",
    "on-port": "is handed to this host's port {} as it is",
    "to": "its network becomes {}",
    "trace": "is traced from here on",
    "vmap": "goes where the map says: {}",
}
REFUSALS = {
    "icmp-port-unreachable": "", "icmp6-port-unreachable": "", "tcp-reset": " with a TCP reset",
    "icmp-host-prohibited": ": host prohibited", "icmp-admin-prohibited": ": prohibited",
}  # fmt: skip


def condition(matches: Sequence[Option]) -> str:
    """Which packets: "a TCP packet for port 80 of 172.17.0.2, not in by docker0"."""
    left = [m for m in matches if m.name not in SILENT and not _only_a_name(m, matches)]
    groups = [m.module for m in left if m.module in GROUPS]
    left = [m for m in left if m.module not in GROUPS]

    def take(*names: str) -> Option | None:
        """The first of these that is asked for, and not by its contrary; it needs no more words."""
        for name in names:
            for option in left:
                if option.name == name and not option.negated:
                    left.remove(option)
                    return option
        return None

    protocol = take("protocol")
    flags = take("tcp-flags", "syn")
    sentence = _article(f"{_protocol(protocol)} packet".strip())
    for preposition, ports, places in (
        ("from", ("source-port", "source-ports"), ("src-type", "source")),
        ("for", ("destination-port", "destination-ports"), ("dst-type", "destination")),
    ):
        port, place = take(*ports), take(*places)
        where = _value(place) if place else ""
        if port:
            sentence += f" {preposition} port {_value(port)}" + f" of {where}" * bool(where)
        elif place:
            sentence += f" {'to' if preposition == 'for' else preposition} {where}"
    if state := take("ctstate", "state"):
        sentence += f" of {_article(_value(state))} connection"
    rest = [_one(m) for m in left]
    rest += [GROUPS[name](matches) for name in dict.fromkeys(groups)]
    if flags:
        rest.append(_flags(flags))
    if not rest:
        return "every packet" if sentence == "a packet" else sentence
    return f"a packet {', '.join(rest)}" if sentence == "a packet" else ", ".join([sentence, *rest])


def _only_a_name(option: Option, matches: Sequence[Option]) -> bool:
    """Whether ``-m NAME`` says nothing: options of it do, or the protocol of the same name."""
    return option.name == "match" and (
        option.value in PORTLESS or any(m.module == option.value for m in matches)
    )


def effect(target: str | None, arguments: Sequence[Option]) -> str:
    """What becomes of them: "its destination becomes 172.17.0.2:80"."""
    options = {a.name: a for a in arguments}
    said = [_noted(a.value) for a in arguments if a.module == "LOG" and a.name == "log"]
    if target == "LOG":
        prefix = options["log-prefix"].value if "log-prefix" in options else ""
        said.append(_noted(prefix))
    elif target == "REJECT":
        how = options["reject-with"].value if "reject-with" in options else ""
        said.append("is refused" + REFUSALS.get(how, f" with {how}" if how else ""))
    elif target == "SET":
        said += [_set(a) for a in arguments if a.name in ("add-set", "del-set", "map-set")]
    else:
        # MASQUERADE's --to-ports are of the source, and of no interest here.
        by_option = [a for a in arguments if a.name in WITH_OPTION and target != "MASQUERADE"]
        known = [_done(a) for a in by_option]
        said += known
        if target in EFFECTS:
            said.append(EFFECTS[target])
        elif target and not known:
            rest = [" ".join(("--" + a.name, *a.values)) for a in arguments if a.name != "goto"]
            back = " and does not come back" if "goto" in options else ""
            said.append(" ".join([f"goes to {target}", *rest]) + back)
    return " and ".join(filter(None, said)) or "is counted"


def _value(option: Option) -> str:
    """The value as one says it: "80 to 90", "80 or 443", "172.17.0.2", "related or established"."""
    values = option.values
    name = option.name
    if "port" in name and name != "on-port":
        ports = ",".join(values).split(",")
        return _or([v.replace(":", " to ") if v.count(":") == 1 and name in _RANGES else v
                    for v in ports])  # fmt: skip
    if name in ("ctstate", "state", "ctstatus"):
        return _or([STATES.get(v.strip(), v) for v in ",".join(values).split(",")])
    if name in ("dst-type", "src-type"):
        return _or(
            [ADDRESSES.get(v, f"a {v.lower()} address") for v in ",".join(values).split(",")]
        )
    if name in ("source", "destination"):
        return _or([_address(v) for v in values])
    if name == "set-xmark":
        return option.value.removesuffix("/0xffffffff")
    if name in ("icmp-type", "icmpv6-type"):
        return ICMP.get(option.value, option.value)
    return option.value


_RANGES = ("source-port", "source-ports", "destination-port", "destination-ports", "ports")


def _address(text: str) -> str:
    if text.startswith("@"):
        return f"the set {text[1:]}"
    return text.removesuffix("/32").removesuffix("/128")


def _one(option: Option) -> str:
    """A condition by itself, with its contrary: "not in by docker0"."""
    name, value = option.name, _value(option)
    if name == "protocol":
        return f"of another protocol than {_protocol(option)}"
    elif name in ("source", "src-type"):
        words = f"from {value}"
    elif name in ("destination", "dst-type"):
        words = f"to {value}"
    elif name in ("source-port", "source-ports"):
        words = f"from port {value}"
    elif name in ("destination-port", "destination-ports"):
        words = f"for port {value}"
    elif name == "ports":
        words = f"from or for port {value}"
    elif name in ("ctstate", "state"):
        words = f"of {_article(value)} connection"
    elif name == "match-set":
        sides = [SIDES.get(s, s) for s in option.values[-1].split(",")]
        words = f"with its {' and '.join(sides)} in the set {option.values[0]}"
    elif name in ("tcp-flags", "syn"):
        words = _flags(option)
    else:
        known = CONDITIONS.get(name)
        words = known.format(value) if known else f"{name.replace('-', ' ')} {value}".strip()
    if not option.negated:
        return words
    if name == "limit":
        return f"when there are more than {value}"
    return f"but not one {words}" if words.startswith("that ") else f"not {words}"


def _chance(matches: Sequence[Option]) -> str:
    """How kube-proxy shares connections out: ``-m statistic``."""
    options = {m.name: m.value for m in matches}
    if "probability" in options:
        chance = float(options["probability"])
        return f"by chance, {chance:.0%} of them"
    return f"one in {options.get('every', '?')}"


def _recent(matches: Sequence[Option]) -> str:
    """How kube-proxy keeps a client at its server: ``-m recent``."""
    options = {m.name: m.value for m in matches if m.module == "recent"}
    name = f"the list {options.get('name', 'DEFAULT')}"
    if "set" in options:
        return f"noted in {name}"
    if "remove" in options:
        return f"taken out of {name}"
    within = f" of the last {options['seconds']} seconds" if "seconds" in options else ""
    return f"from an address in {name}{within}"


GROUPS = {"statistic": _chance, "recent": _recent}  # modules of which only all options say it


def _flags(option: Option) -> str:
    tested, _, set_ = option.value.partition(" ")
    if option.name == "syn" or (set_ == "SYN" and {"SYN", "ACK"} <= set(tested.split(","))):
        return "that opens a connection"
    if option.module == "nft" or not set_:
        return f"with TCP flags {option.value}"
    kept = "none" if set_ == "NONE" else set_.replace(",", " and ")
    return f"with {kept} set of the TCP flags {tested.replace(',', ', ')}"


def _set(option: Option) -> str:
    sides = " and ".join(SIDES.get(s, s) for s in option.values[-1].split(","))
    verb = {"add-set": "added to", "del-set": "taken out of", "map-set": "looked up in"}
    return f"its {sides} is {verb[option.name]} the set {option.values[0]}"


def _noted(prefix: str) -> str:
    return "is noted in the kernel's log" + f" as “{prefix.strip()}”" * bool(prefix)


def _done(option: Option) -> str:
    """What a target does by that option of it."""
    if option.name in ("to-source", "to-destination") and option.value.startswith(":"):
        return f"its {option.name.removeprefix('to-')} port becomes {option.value[1:]}"
    return WITH_OPTION[option.name].format(_value(option))


def _protocol(option: Option | None) -> str:
    if option is None or not option.values:
        return ""
    names = option.values
    return _or([PROTOCOLS.get(n, f"protocol {n}" if n.isdecimal() else n.upper()) for n in names])


def _article(words: str) -> str:
    """With "a" or "an", by the sound: a UDP packet, an ICMP packet, an SCTP packet."""
    first = words.split()[0] if words.strip() else "?"
    letters = first.isupper() or first == "ICMPv6"
    vowel = first[0] in ("AEFHILMNORSX" if letters and first not in ("SIT",) else "aeio")
    return f"{'an' if vowel else 'a'} {words}"


def _or(words: Sequence[str]) -> str:
    *some, last = words
    return f"{', '.join(some)} or {last}" if some else last
