"""What nft's rules say: the text of ``nft list ruleset`` as chains of typed rules.

A learner's own tables are of this kind; those that ``iptables`` makes in nf_tables are read as
iptables-save writes them (``labkit.model.rules``). Names are those of nft(8), and where a condition
is iptables' too, the condition's name is iptables', so that all rules are read in one way.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import lru_cache

from labkit.errors import SnapshotError
from labkit.model.rules import Chain, Option, Rule

_TABLE = re.compile(r"table (\S+) (\S+) \{(?: # progname .*)?")  # a program's own, "flags owner"
_BLOCK = re.compile(r"(\w+) (\S+) \{")
_HOOK = re.compile(r"type \w+ hook (\w+)(?: devices?.*?)? priority (-?\d+);(?: policy (\w+);)?")
_COUNTER = re.compile(r"\bcounter packets (\d+) bytes (\d+)")
_WORD = re.compile(r'"(?P<text>[^"]*)"|(?P<group>\{[^}]*\})|(?P<word>[^\s"{}]+)')
_VERDICTS = ("accept", "drop", "return", "continue", "queue", "reject", "masquerade", "notrack")
_KEYS = {  # nft's condition → its name in iptables
    "iifname": "in-interface", "iif": "in-interface",
    "oifname": "out-interface", "oif": "out-interface",
    "ip saddr": "source", "ip6 saddr": "source",
    "ip daddr": "destination", "ip6 daddr": "destination",
    "ip protocol": "protocol", "ip6 nexthdr": "protocol", "meta l4proto": "protocol",
    "ct state": "ctstate", "ct status": "ctstatus", "ct mark": "connmark",
    "meta mark": "mark", "fib daddr type": "dst-type", "fib saddr type": "src-type",
    "icmp type": "icmp-type", "icmpv6 type": "icmpv6-type", "tcp flags": "tcp-flags",
    "meta nfproto": "nfproto", "meta pkttype": "pkt-type", "meta skuid": "uid-owner",
}  # fmt: skip
_PORTS = {"sport": "source-port", "dport": "destination-port"}
_TRANSLATIONS = {"dnat": "to-destination", "snat": "to-source", "redirect": "to-ports"}


class NftRule(Rule):
    """A rule of an nft chain; ``spec`` is nft's text without the counter's numbers."""

    @property
    def counts(self) -> bool:
        """Whether it says "counter"."""
        return "counter" in _unquoted(self.spec).split()

    @property
    def matches(self) -> tuple[Option, ...]:
        """The conditions that a packet must meet, in the order in which they are tested."""
        return _read(self.spec)[0]

    @property
    def arguments(self) -> tuple[Option, ...]:
        """The options of the target, and what the rule does besides, such as logging."""
        return _read(self.spec)[1]


class NftChain(Chain, kw_only=True):
    """A chain of an nft table. Only a base chain has a hook, from which packets come to it."""

    family: str  # "ip", "ip6", "inet" (both), "netdev", "bridge", "arp"
    hook: str | None = None  # as iptables names it: "PREROUTING", …; "INGRESS" in family netdev
    priority: int = 0  # chains of one hook are met in its order, the lowest first
    rules: tuple[NftRule, ...] = ()


def parse(text: str, known: Collection[tuple[str, str, str]] = ()) -> tuple[NftChain, ...]:
    """The chains of every table, in the order of the text of ``nft -y list ruleset``.

    Args:
        text: what nft wrote; with ``-y``, so that priorities are numbers.
        known: family, table and name of chains to pass over: those that iptables has told.

    Raises:
        SnapshotError: the text is not what nft writes.
    """
    chains: list[NftChain] = []
    lines = enumerate(text.splitlines(), 1)
    table = None
    for number, line in lines:
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        if table is None and (found := _TABLE.fullmatch(words)):
            table = found[1], found[2]
        elif table is not None and words == "}":
            table = None
        elif table is not None and (found := _BLOCK.fullmatch(words)):
            block = _block(lines)
            if found[1] == "chain" and (*table, found[2]) not in known:
                chains.append(_chain(*table, found[2], block))
        elif table is None or not re.match(r"flags |comment |policy ", words):
            raise SnapshotError(
                f"line {number} does not belong in the output of nft list ruleset: {line!r}"
            )
    if table is not None:
        raise SnapshotError(f"this output of nft ends before the end of table {table[1]}")
    return tuple(chains)


def _block(lines: Iterator[tuple[int, str]]) -> list[str]:
    """The statements up to the block's closing brace, each of them on one line."""
    found: list[str] = []
    open_groups = 0
    for _, line in lines:
        words = line.strip()
        if words == "}" and not open_groups:
            return found
        if not words:
            continue
        if open_groups:
            found[-1] += " " + words
        else:
            found.append(words)
        bare = _unquoted(words)
        open_groups += bare.count("{") - bare.count("}")
    return found


def _unquoted(words: str) -> str:
    return re.sub(r'"[^"]*"', "", words)


def _chain(family: str, table: str, name: str, statements: list[str]) -> NftChain:
    hook = next(filter(None, map(_HOOK.match, statements)), None)
    rules = [s for s in statements if not _HOOK.match(s) and not s.startswith("comment ")]
    return NftChain(
        family=family,
        table=table,
        name=name,
        hook=hook and hook[1].upper(),
        priority=int(hook[2]) if hook else 0,
        policy=(hook[3] or "accept").upper() if hook else None,
        packets=0,  # nft does not count what meets a policy
        bytes=0,
        rules=tuple(_rule(table, name, n, text) for n, text in enumerate(rules, 1)),
    )


def _rule(table: str, chain: str, number: int, text: str) -> NftRule:
    counted = _COUNTER.search(text)
    spec = _COUNTER.sub("counter", text)
    return NftRule(
        table=table,
        chain=chain,
        number=number,
        packets=int(counted[1]) if counted else 0,
        bytes=int(counted[2]) if counted else 0,
        spec=spec,
        target=_read(spec)[2],
    )


@lru_cache(maxsize=4096)
def _read(spec: str) -> tuple[tuple[Option, ...], tuple[Option, ...], str | None]:
    """A rule's conditions, what it does, and the verdict as iptables names it."""
    reader = _Reader(spec)
    while reader.words:
        reader.statement()
    return tuple(reader.matches), tuple(reader.arguments), reader.target


class _Reader:
    """Reads a rule from left to right; nft evaluates it so too."""

    def __init__(self, spec: str) -> None:
        self.words = [w["text"] if w["text"] is not None else w[0] for w in _WORD.finditer(spec)]
        self.words.reverse()
        self.matches: list[Option] = []
        self.arguments: list[Option] = []
        self.target: str | None = None

    def next(self, *expected: str) -> str | None:
        """Take the next word; with words given, only if it is one of them."""
        if self.words and (not expected or self.words[-1] in expected):
            return self.words.pop()
        return None

    def rest(self) -> tuple[str, ...]:
        """Take all words up to a verdict or a comment, which ends a rule."""
        taken = []
        while self.words and self.words[-1] not in (*_VERDICTS, "jump", "goto", "comment"):
            taken.append(self.words.pop())
        return tuple(taken)

    def statement(self) -> None:
        """Read one condition or action."""
        word = self.words.pop()
        if word == "counter":
            return
        if word == "comment":
            self.matches.append(Option(name="comment", values=(self.next() or "",)))
        elif word in ("jump", "goto"):
            self.target = self.next()
            self.arguments += [Option(name="goto")] if word == "goto" else []
        elif word in _TRANSLATIONS:
            self.target = word.upper()
            self.next("ip", "ip6")
            if self.next("to"):
                value = (self.next() or "").removeprefix(":" if word == "redirect" else "")
                self.arguments.append(Option(name=_TRANSLATIONS[word], values=(value,)))
            self.rest()
        elif word in _VERDICTS:
            self.target = {"queue": "NFQUEUE", "continue": None}.get(word, word.upper())
            if rest := self.rest():
                self.arguments.append(self.manner(word, rest))
        elif word == "log":
            self.log()
        elif word == "limit":
            self.limit()
        else:
            self.condition(word)

    def manner(self, verdict: str, rest: tuple[str, ...]) -> Option:
        """``reject with tcp reset``, ``queue flags bypass to 3``, ``masquerade random``."""
        if verdict == "reject":
            value = "tcp-reset" if rest[1:] == ("tcp", "reset") else rest[-1]
            return Option(name="reject-with", values=(value.replace("port-unreachable", ""),))
        return Option(name="queue-num" if verdict == "queue" else "flags", values=(rest[-1],))

    def log(self) -> None:
        """``log prefix "text"`` or ``log group 1``."""
        options = {}
        while name := self.next("prefix", "group", "level", "snaplen", "queue-threshold", "flags"):
            options[name] = self.next() or ""
        self.arguments.append(
            Option(name="log", values=(options.get("prefix", ""),), module="LOG")
            if "group" not in options
            else Option(name="nflog-group", values=(options["group"],), module="NFLOG")
        )

    def limit(self) -> None:
        """``limit rate over 10/minute burst 5 packets``."""
        self.next("rate")
        over = self.next("over")
        rate = self.next() or ""
        if self.words and re.match(r"k?m?bytes/", self.words[-1]):
            rate += f" {self.next()}"
        if self.next("burst"):  # 5 packets
            self.next()
            self.next()
        self.matches.append(Option(name="limit", values=(rate,), negated=bool(over)))

    def condition(self, key: str) -> None:
        """``ip saddr != 10.0.0.0/8``, ``tcp dport { 80, 443 }``, ``meta mark set 1``."""
        while self.words and f"{key} {self.words[-1]}" in _TWO_WORDS:
            key += f" {self.next()}"
        if key not in _KEYS and key not in ("iifname", "oifname", "mark") and self.words:
            key += f" {self.next()}"
        if self.next("set"):
            return self.mark(key)
        if self.next("vmap"):
            self.arguments.append(Option(name="vmap", values=(key, self.next() or "")))
            return None
        negated = bool(self.next("!="))
        self.next("==")
        value = self.next() or ""
        if value == "&":
            value += f" {self.next()}"
        while operator := self.next("&", "|", "==", "/"):  # tcp flags & (fin | syn) == syn
            value += f" {operator} {self.next()}"
        protocol, _, field = key.partition(" ")
        name = _KEYS.get(key, key)
        if field in _PORTS:
            if protocol != "th" and not self.asks("protocol"):
                self.matches.append(Option(name="protocol", values=(protocol,)))
            name = _PORTS[field]
        elif key in ("icmp type", "tcp flags") and not self.asks("protocol"):
            self.matches.append(Option(name="protocol", values=(protocol,)))
        values = (
            tuple(v.strip() for v in value.strip("{}").split(",")) if "{" in value else (value,)
        )
        if name == "ctstate":
            values = (value.strip("{ }").replace(" ", "").upper(),)
        elif name in _PORTS.values():
            values = (",".join(v.replace("-", ":") for v in values),)
        elif name in ("dst-type", "src-type"):
            values = (value.upper(),)
        self.matches.append(Option(name=name, values=values, negated=negated, module="nft"))
        return None

    def asks(self, name: str) -> bool:
        """Whether there is a condition of that name already."""
        return any(m.name == name for m in self.matches)

    def mark(self, key: str) -> None:
        """``meta mark set 1``, ``ct mark set meta mark``, ``meta nftrace set 1``."""
        values = (self.next() or "",)
        if values[0] in ("meta", "ct"):
            values = (f"{values[0]} {self.next()}",)
        if key == "meta nftrace":
            self.arguments.append(Option(name="trace", module="TRACE"))
        else:
            name = {"meta mark": "set-mark", "ct mark": "set-connmark"}.get(key, key)
            self.arguments.append(Option(name=name, values=values, module="MARK"))


_TWO_WORDS = {" ".join(k.split()[: n + 1]) for k in _KEYS for n in range(1, len(k.split()))}
