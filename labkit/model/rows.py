"""A namespace's rules as rows from top to bottom: hook, chain, rule, as a packet meets them.

Nothing here draws. The rules of two moments can be read as one: what counted, came and went.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

from labkit.model.diff import stayed
from labkit.model.rules import Chain, Rule, met
from labkit.model.snapshot import Namespace
from labkit.model.value import Value

IP = ("ip", "ip6", "inet", "netdev")  # the families whose chains IP packets meet
Concerns = Callable[[Rule], bool]
Key = tuple[str, str, str]  # of a chain: family, table, name


class Row(Value):
    """A row: a hook, a chain, a rule of it, or how many rules are left out.

    A rule's chain follows under the first rule that leads to it, one deeper.
    """

    kind: str  # "hook", "chain", "rule", "left out"
    depth: int = 0  # how many jumps led here
    family: str = ""  # "ip", "ip6", "inet", …
    name: str = ""  # of the hook, or "bridge", "arp"; empty over chains to which no rule leads
    chain: Chain | None = None
    rule: Rule | None = None
    mark: str = ""  # "added", "moved" or "gone" since the moment before
    counted: int = 0  # packets since the moment before; since ever without one
    leads: str = ""  # of a rule: "below" or "above" when its target's chain is drawn there
    number: int = 0  # of rules left out


def rows(
    namespace: Namespace,
    way: str | None = None,
    before: Namespace | None = None,
    concerns: Concerns | None = None,
    tables: tuple[str, ...] = (),
) -> tuple[Row, ...]:
    """The rows of a namespace's rules of iptables, ip6tables and nft.

    Args:
        namespace: as it is now.
        way: "in", "through" or "out": only what a packet on this way can meet.
        before: the same namespace at an earlier moment.
        concerns: which rules are shown; of the others only how many there are. Without it all are,
            and chains to which no rule leads.
        tables: only those of these names.
    """
    old = _chains(before, tables) if before else {}
    new = _chains(namespace, tables)
    return tuple(_Reading(old if before else None, new, concerns).read(way))


def _chains(namespace: Namespace, tables: tuple[str, ...]) -> dict[Key, Chain]:
    return {
        (family, c.table, c.name): c
        for family, c in namespace.families()
        if not tables or c.table in tables
    }


class _Reading:
    """One reading from top to bottom; ``left`` are the chains not yet read."""

    def __init__(
        self, old: dict[Key, Chain] | None, new: dict[Key, Chain], concerns: Concerns | None
    ) -> None:
        self.old, self.new, self.concerns = old, new, concerns
        self.chains = {**(old or {}), **new}
        self.left = dict(self.chains)

    def read(self, way: str | None) -> Iterator[Row]:
        """The rows of every hook on the way, each with its chains and what they lead to."""
        keys = {id(chain): key for key, chain in self.chains.items()}
        for hook, based in groupby(met(self.of(*IP), way), lambda c: c.hook):
            yield Row(kind="hook", name=hook)
            for chain in based:
                yield from self.chain(keys[id(chain)], 0)
        if way is None and self.concerns is None:
            for name, families in (("bridge", ("bridge",)), ("arp", ("arp",)), ("", IP)):
                rest = [keys[id(c)] for c in self.of(*families) if keys[id(c)] in self.left]
                if rest:
                    yield Row(kind="hook", name=name)
                for key in rest:
                    if key in self.left:
                        yield from self.chain(key, 0)

    def of(self, *families: str) -> list[Chain]:
        """The chains of these families."""
        return [chain for key, chain in self.chains.items() if key[0] in families]

    def chain(self, key: Key, depth: int) -> Iterator[Row]:
        """A chain's row and those of its rules, and under each rule the chain that it leads to."""
        family, table, _ = key
        chain = self.left.pop(key)
        yield Row(
            kind="chain", depth=depth, family=family, chain=chain,
            mark=self.mark(key), counted=self.met_policy(key),
        )  # fmt: skip
        passed_over = 0
        for rule, mark, counted in self.merged(key):
            if self.concerns and not self.concerns(rule):
                passed_over += 1
                continue
            there = (family, table, rule.target or "")
            leads = "below" if there in self.left else "above" if there in self.chains else ""
            yield Row(
                kind="rule", depth=depth, family=family, chain=chain, rule=rule, mark=mark,
                counted=counted, leads=leads,
            )  # fmt: skip
            if leads == "below":
                yield from self.chain(there, depth + 1)
        if passed_over:
            yield Row(kind="left out", depth=depth, family=family, chain=chain, number=passed_over)

    def mark(self, key: Key) -> str:
        """Whether the chain came or went."""
        if self.old is None or (key in self.old and key in self.new):
            return ""
        return "added" if key in self.new else "gone"

    def met_policy(self, key: Key) -> int:
        """How many packets met the chain's policy."""
        now, then = (chains.get(key) for chains in (self.new, self.old or {}))
        return max((now.packets if now else 0) - (then.packets if then else 0), 0)

    def merged(self, key: Key) -> list[tuple[Rule, str, int]]:
        """The chain's rules of both moments in one order, each with its mark and its count."""
        now = self.new[key].rules if key in self.new else ()
        if self.old is None:
            return [(rule, "", rule.packets) for rule in now]
        then = self.old[key].rules if key in self.old else ()
        found: list[tuple[Rule, str, int]] = []
        at = (0, 0)
        pairs = stayed([r.spec for r in then], [r.spec for r in now])
        moved = {r.spec: r for n, r in enumerate(then) if n not in {a for a, _ in pairs}}
        come = {r.spec for n, r in enumerate(now) if n not in {b for _, b in pairs}}
        for a, b in (*pairs, (len(then), len(now))):
            found += [(rule, "gone", 0) for rule in then[at[0] : a] if rule.spec not in come]
            for rule in now[at[1] : b]:
                there = moved.get(rule.spec)
                counted = rule.packets - (there.packets if there else 0)
                found.append((rule, "moved" if there else "added", max(counted, 0)))
            if b < len(now):
                found.append((now[b], "", max(now[b].packets - then[a].packets, 0)))
            at = (a + 1, b + 1)
        return found
