"""What iptables' rules say: the text of ``iptables-save -c`` as chains of typed rules.

Nothing here runs iptables. Names are those of iptables(8) and iptables-extensions(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from labkit.errors import SnapshotError
from labkit.model import english
from labkit.model.value import Value

# The hooks of a packet's way through a host, each with its tables and their priorities: the chain
# with the lowest is met first (linux/netfilter_ipv4.h).
HOOKS = {
    "PREROUTING": {"raw": -300, "mangle": -150, "nat": -100},
    "INPUT": {"mangle": -150, "filter": 0, "security": 50, "nat": 100},
    "FORWARD": {"mangle": -150, "filter": 0, "security": 50},
    "OUTPUT": {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50},
    "POSTROUTING": {"mangle": -150, "nat": 100},
}
WAYS = {
    "in": ("INGRESS", "PREROUTING", "INPUT"),
    "through": ("INGRESS", "PREROUTING", "FORWARD", "POSTROUTING", "EGRESS"),
    "out": ("OUTPUT", "POSTROUTING", "EGRESS"),
}
_LONG = {
    "s": "source",
    "d": "destination",
    "p": "protocol",
    "i": "in-interface",
    "o": "out-interface",
    "f": "fragment",
    "sport": "source-port",
    "dport": "destination-port",
    "sports": "source-ports",
    "dports": "destination-ports",
}
_SHORT = {long: short for short, long in _LONG.items()}
# The options whose value is any text; iptables quotes it when it must (xtables_save_string).
_STRINGS = ("comment", "log-prefix", "nflog-prefix", "string", "hex-string", "helper")
_CHAIN = re.compile(r":(\S+) (\S+) \[(\d+):(\d+)\]")
_RULE = re.compile(r"\[(\d+):(\d+)\] -A (\S+) ?(.*)")
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')


class Option(Value):
    """One option of a rule: a condition on the packet, or an argument of the target."""

    name: str  # long form, as "source", "destination-port", "to-destination"
    values: tuple[str, ...] = ()
    negated: bool = False  # "!" before it
    module: str | None = None  # of -m, or the target's name

    @property
    def value(self) -> str:
        """The values as iptables writes them."""
        return " ".join(self.values)


class Rule(Value):
    r"""A rule of an iptables chain.

    Example:
        >>> text = "*nat\n:OUT - [0:0]\n[3:180] -A OUT ! -o docker0 -j MASQUERADE\nCOMMIT"
        >>> rule = parse(text)[0].rules[0]
        >>> rule.packets, rule.target, rule.match("out-interface").negated
        (3, 'MASQUERADE', True)
    """

    table: str
    chain: str
    number: int  # its place in the chain, from 1
    packets: int
    bytes: int
    spec: str  # the text after "-A CHAIN ", as iptables-save wrote it
    target: str | None  # after -j or -g; None when the rule only counts

    @property
    def counts(self) -> bool:
        """Whether it counts what it takes; a rule of nft does so only where it says "counter"."""
        return True

    @property
    def matches(self) -> tuple[Option, ...]:
        """The conditions that a packet must meet, in the order in which they are tested."""
        return _options(self.spec)[0]

    @property
    def arguments(self) -> tuple[Option, ...]:
        """The options of the target, such as ``--to-destination``."""
        return _options(self.spec)[1]

    def match(self, name: str) -> Option | None:
        """The condition of that name, or None when the rule does not ask for it."""
        return next((o for o in self.matches if o.name == name), None)

    def argument(self, name: str) -> str | None:
        """The value of that option of the target, or None."""
        return next((o.value for o in self.arguments if o.name == name), None)

    @property
    def condition(self) -> str:
        """Which packets it takes: "a TCP packet for port 8080, not in by docker0"."""
        return english.condition(self.matches)

    @property
    def effect(self) -> str:
        """What becomes of them: "its destination becomes 172.17.0.2:80"."""
        return english.effect(self.target, self.arguments)


class Chain(Value):
    """A chain of an iptables table."""

    table: str
    name: str
    policy: str | None  # what becomes of a packet that no rule decided; None in a user's chain
    packets: int  # how many met the policy
    bytes: int
    rules: tuple[Rule, ...] = ()

    @property
    def hook(self) -> str | None:
        """Where on their way packets come to this chain; None when only a rule leads here."""
        return self.name if self.table in HOOKS.get(self.name, ()) else None

    @property
    def priority(self) -> int:
        """The chains of one hook are met in its order, the lowest first."""
        return HOOKS[self.name][self.table] if self.hook else 0


def parse(text: str) -> tuple[Chain, ...]:
    """The chains of every table, in the order of the text of ``iptables-save -c``.

    Raises:
        SnapshotError: the text is not, or not all of, what ``iptables-save -c`` writes.
    """
    heads: dict[tuple[str, str], re.Match] = {}
    rules: dict[tuple[str, str], list[Rule]] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("*") and not table:
            table = line[1:].strip()
        elif line.strip() == "COMMIT" and table:
            table = ""
        elif table and (head := _CHAIN.fullmatch(line.strip())):
            heads[table, head[1]], rules[table, head[1]] = head, []
        elif (found := _RULE.fullmatch(line.strip())) and (table, found[3]) in rules:
            before = rules[table, found[3]]
            before.append(_rule(table, len(before) + 1, found))
        else:
            raise SnapshotError(
                f"line {number} does not belong in the output of iptables-save -c: {line!r}"
            )
    if table:
        raise SnapshotError(f"this output of iptables-save -c ends before the end of table {table}")
    return tuple(
        Chain(
            table=key[0],
            name=key[1],
            policy=None if head[2] == "-" else head[2],
            packets=int(head[3]),
            bytes=int(head[4]),
            rules=tuple(rules[key]),
        )
        for key, head in heads.items()
    )


def written(chains: Iterable[Chain]) -> str:
    r"""The text of ``iptables-save -c`` for these chains, from what their rules were read as.

    Example:
        >>> text = "*nat\n:OUT - [0:0]\n[3:180] -A OUT -j RETURN\nCOMMIT\n"
        >>> written(parse(text)) == text
        True
    """
    lines, chains = [], list(chains)
    for table in dict.fromkeys(c.table for c in chains):
        own = [c for c in chains if c.table == table]
        lines.append(f"*{table}")
        lines += [f":{c.name} {c.policy or '-'} [{c.packets}:{c.bytes}]" for c in own]
        for rule in (r for c in own for r in c.rules):
            counted = f"[{rule.packets}:{rule.bytes}]"
            lines.append(f"{counted} -A {rule.chain} {_spec(rule)}".rstrip())
        lines.append("COMMIT")
    return "".join(line + "\n" for line in lines)


def met(chains: Iterable[Chain], way: str | None) -> tuple[Chain, ...]:
    """The chains that a packet meets by itself, in order; rules lead it to others.

    Args:
        chains: those of a namespace.
        way: "in" to a process of this host, "through" it, or "out" from a process of it; None for
            all, those of a hook together.
    """
    hooks = WAYS[way] if way else ("INGRESS", *HOOKS, "EGRESS")
    based = [c for c in chains if c.hook in hooks]
    return tuple(sorted(based, key=lambda c: (hooks.index(c.hook), c.priority)))


def _rule(table: str, number: int, found: re.Match) -> Rule:
    return Rule(
        table=table,
        chain=found[3],
        number=number,
        packets=int(found[1]),
        bytes=int(found[2]),
        spec=found[4],
        target=_options(found[4])[2],
    )


@lru_cache(maxsize=4096)
def _options(spec: str) -> tuple[tuple[Option, ...], tuple[Option, ...], str | None]:
    """A rule's conditions, the target's arguments, and the target."""
    matches: list[Option] = []
    arguments: list[Option] = []
    options, target = matches, None
    module: str | None = None
    named = ""  # the module that -m named last, while no option of it has come
    words = [(re.sub(r"\\(.)", r"\1", w[1]), True) if w[2] is None else (w[2], False)
             for w in _WORD.finditer(spec)]  # fmt: skip
    words.reverse()
    while words:
        word, _ = words.pop()
        negated = word == "!" and bool(words)
        if negated:
            word, _ = words.pop()
        values = []
        if word.lstrip("-") in _STRINGS and words:
            values.append(words.pop()[0])
        else:
            while words and (words[-1][1] or not re.match(r"!$|--?[A-Za-z]", words[-1][0])):
                values.append(words.pop()[0])
        if word in ("-m", "-j", "-g") and not values:  # no rule of iptables: anything may come
            continue
        if word in ("-m", "-j", "-g") and named:
            options.append(Option(name="match", values=(named,)))
        if word == "-m":
            # Twice the same module is two conditions, of which each has its own options.
            again = bool(options) and options[-1].module == values[0]
            module = named = values[0]
            if again:
                options.append(Option(name="match", values=(named,)))
        elif word in ("-j", "-g"):
            target = module = values[0]
            options, named = arguments, ""
            if word == "-g":
                arguments.append(Option(name="goto"))
        else:
            name = _LONG.get(word.lstrip("-"), word.lstrip("-"))
            options.append(Option(name=name, values=tuple(values), negated=negated, module=module))
            named = ""
    if named:
        options.append(Option(name="match", values=(named,)))
    return tuple(matches), tuple(arguments), target


def _spec(rule: Rule) -> str:
    """The text after "-A CHAIN ", from what the rule was read as."""
    words, module = [], None
    for option in rule.matches:
        if option.name == "match":
            module = option.value
            words.append(f"-m {module}")
            continue
        if option.module != module:
            module = option.module
            words.append(f"-m {module}")
        words.append(_written(option))
    arguments = [a for a in rule.arguments if a.name != "goto"]
    if rule.target:
        words.append(f"{'-j' if arguments == list(rule.arguments) else '-g'} {rule.target}")
    return " ".join([*words, *map(_written, arguments)])


def _written(option: Option) -> str:
    short = _SHORT.get(option.name, option.name)
    words = ["!"] * option.negated + [f"-{short}" if len(short) == 1 else f"--{short}"]
    for value in option.values:
        # -m string has a way of its own: always quotes, and no backslash but before a quote.
        own_way = "string" in option.name
        if option.name in _STRINGS and (own_way or not re.fullmatch(r"[\w-]+", value, re.ASCII)):
            value = '"' + re.sub(r'(")' if own_way else r"([\"\\'])", r"\\\1", value) + '"'
        words.append(value)
    return " ".join(words)
