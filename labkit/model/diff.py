"""What happened to a lab host's networking between two snapshots: came, went, changed, passed.

Nothing here reads a network. What a line says is what was compared. Left out, since the kernel
makes it by itself: IPv6's link-local addresses and routes, learned neighbours and forwarding
entries, the interfaces' counters, and the lo of a namespace that came or went as a whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby
from typing import Literal

import msgspec

from labkit.model import words as in_words
from labkit.model.rules import Chain, Rule
from labkit.model.snapshot import Interface, Namespace, Snapshot
from labkit.model.value import Value

Sign = Literal["+", "-", "~", "·"]  # came, went, changed, counted
WENT_CAME: tuple[Sign, Sign] = ("-", "+")

MOST = 12  # lines of traffic of one namespace that are shown; the values have all
# The order of the lines of one namespace; the first four are what the engine tells of the host.
KINDS = (
    "engine", "network", "container", "endpoint", "published port", "interface", "address",
    "route", "neighbour", "forwarding entry", "chain", "rule", "socket", "connection",
)  # fmt: skip


class Change(Value):
    """One thing that came, went, changed, or passed."""

    sign: Sign
    place: str  # the namespace: the lab host's name, the container's, "sandbox" and its name
    kind: str  # one of KINDS
    name: str  # of the interface, container, …: its own name, without its kind
    words: str  # the whole of it, in words

    def __repr__(self) -> str:
        return f"{self.sign} {self.words}"


class Diff(Value):
    """What is different between two snapshots of a lab host; true when anything is.

    Packets that passed are no difference: they are apart, in ``tracked`` and ``counted``.

    Example:
        >>> from labkit import Snapshot
        >>> snapshot = Snapshot.load("tests/unit/snapshots/one.json")
        >>> diff(snapshot, snapshot)
        nothing changed
    """

    host: str
    changes: tuple[Change, ...] = ()
    tracked: tuple[Change, ...] = ()  # connections that connection tracking did not know before
    counted: tuple[Change, ...] = ()  # rules and policies whose counters grew

    @property
    def came(self) -> tuple[Change, ...]:
        """What is there now and was not before."""
        return tuple(c for c in self.changes if c.sign == "+")

    @property
    def went(self) -> tuple[Change, ...]:
        """What was there before and is no more."""
        return tuple(c for c in self.changes if c.sign == "-")

    @property
    def changed(self) -> tuple[Change, ...]:
        """What was there before and is there now, and is not the same."""
        return tuple(c for c in self.changes if c.sign == "~")

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __repr__(self) -> str:
        lines = [] if self.changes else ["nothing changed"]
        for heading, changes, more in self._sections():
            lines += [f"{heading}:"] if heading else []
            lines += [f"{'  ' if heading else ''}{change}" for change in changes]
            lines += [f"  … and {more} more"] if more else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        cell = '<td style="text-align: left; white-space: normal; padding: 1px 8px'
        rows = [] if self.changes else [f'<tr>{cell}" colspan="2">nothing changed</td></tr>']
        for heading, changes, more in self._sections():
            if heading:
                rows.append(f'<tr>{cell}" colspan="2"><i>{escape(heading)}</i></td></tr>')
            for c in changes:
                sign = f'{cell}; font-weight: bold; font-family: monospace">{c.sign}</td>'
                rows.append(f'<tr>{sign}{cell}">{escape(c.words)}</td></tr>')
            if more:
                rows.append(f'<tr>{cell}" colspan="2">… and {more} more</td></tr>')
        return f'<table aria-label="what changed on {escape(self.host)}">{"".join(rows)}</table>'

    def _sections(self) -> Iterator[tuple[str, Sequence[Change], int]]:
        """What is shown: a heading, its lines, and how many more there are."""
        for place, group in groupby(self.changes, lambda c: c.place):
            yield "" if place == self.host else f"in {place}", tuple(group), 0
        for heading, passed in (
            ("new connections", self.tracked),
            ("rules that counted", self.counted),
        ):
            for place, group in groupby(passed, lambda c: c.place):
                changes = tuple(group)
                where = "" if place == self.host else f" in {place}"
                yield heading + where, changes[:MOST], max(0, len(changes) - MOST)


def diff(before: Snapshot, after: Snapshot) -> Diff:
    """What came, went and changed between two snapshots of a lab host.

    Example:
        >>> from labkit import Snapshot
        >>> empty = Snapshot.load("tests/unit/snapshots/empty.json")
        >>> diff(empty, Snapshot.load("tests/unit/snapshots/one.json")).came[1]
        + published port 8080 → 80/tcp of web
    """
    pairs = _pairs(before, after)
    changes = [*_engine(before, after)]
    tracked: list[Change] = []
    counted: list[Change] = []
    sides = _Side(pairs, 0), _Side(pairs, 1)
    for place, old, new in pairs:
        changes += _namespace(place, old, new, sides)
        if old and new:
            tracked += _tracked(place, old, new)
            counted += _counted(place, old, new)
        elif new:
            tracked += _tracked(place, msgspec.structs.replace(new, conntrack=()), new)
    order = {kind: number for number, kind in enumerate(KINDS)}

    def key(change: Change) -> tuple:
        return change.place != after.host, in_words.natural(change.place), order[change.kind]

    return Diff(
        host=after.host,
        changes=tuple(sorted(changes, key=key)),
        tracked=tuple(sorted(tracked, key=key)),
        counted=tuple(sorted(counted, key=lambda c: key(c)[:2])),
    )


_Pair = tuple[str, Namespace | None, Namespace | None]


def _pairs(before: Snapshot, after: Snapshot) -> list[_Pair]:
    """Each namespace of before with what it is after, and what to call it.

    Not by its inode number: the kernel gives the number of one that went to the next that comes.
    """
    pairs: list[_Pair] = []
    left = [(new, _names(after, new)) for new in after.namespaces]
    # Docker's names are missing where the engine did not answer; the number must do there.
    by_number = before.engine is None or after.engine is None
    for old in before.namespaces:
        names = _names(before, old)
        same = (
            n for n, (new, others) in enumerate(left)
            if names & others or (by_number and old.id == new.id)
        )  # fmt: skip
        number = next(same, None)
        found = None if number is None else left.pop(number)[0]
        unnamed = found is None or (found.kind == "sandbox" and old.kind == "container")
        label = _label(before, old) if unnamed or not found else _label(after, found)
        pairs.append((label, old, found))
    pairs += [(_label(after, new), None, new) for new, _ in left]
    there = {label for label, _, new in pairs if new}
    return [(x if new or x not in there else f"the former {x}", old, new) for x, old, new in pairs]


def _names(snapshot: Snapshot, namespace: Namespace) -> set[str]:
    """By what a namespace is known again: its containers' ids, its file's name, "host"."""
    if namespace.kind != "container":
        return {"host" if namespace.kind == "host" else f"sandbox {namespace.name}"}
    return {c.id for c in snapshot.containers if c.namespace == namespace.id}


def _label(snapshot: Snapshot, namespace: Namespace) -> str:
    """What a reader calls it: the container whose namespace it is, not one that joined it."""
    if namespace.kind == "host":
        return snapshot.host
    if namespace.kind == "sandbox":
        return f"sandbox {namespace.name}"
    inside = [c for c in snapshot.containers if c.namespace == namespace.id]
    inside.sort(key=lambda c: (c.network_mode.startswith("container:"), c.name))
    return inside[0].name if inside else namespace.name


class _Side:
    """One of the two snapshots, with the common names of its namespaces."""

    def __init__(self, pairs: list[_Pair], side: Literal[0, 1]) -> None:
        self.labels = {n.id: label for label, *both in pairs if (n := both[side])}

    def end(self, interface: Interface) -> str | None:
        """Where the other end of a veth pair is."""
        peer = interface.peer
        if peer is None:
            return None
        if peer.namespace is None or peer.name is None:
            return "outside this host"
        return f"{peer.name} of {self.labels.get(peer.namespace, 'a namespace not known')}"


def _engine(before: Snapshot, after: Snapshot) -> Iterator[Change]:
    """What Docker's engine tells: networks, containers, endpoints, published ports."""
    host = after.host
    if before.engine != after.engine:
        says = " → ".join(s.engine or "does not answer" for s in (before, after))
        yield _change("~", host, "engine", "Docker Engine", f"Docker Engine: {says}")
    if before.engine is None or after.engine is None:
        return
    networks = (map(in_words.network, s.networks) for s in (before, after))
    yield from _lists(host, "network", *networks)
    olds, news = ({c.id: c for c in s.containers} for s in (before, after))
    names = {c.id: c.name for c in (*before.containers, *after.containers)}
    gone = [in_words.container(c, names) for id, c in olds.items() if id not in news]
    come = [in_words.container(c, names) for id, c in news.items() if id not in olds]
    yield from _lists(host, "container", gone, [])
    yield from _lists(host, "container", [], come)
    for id, new in sorted(news.items(), key=lambda item: in_words.natural(item[1].name)):
        if old := olds.get(id):
            what = [f"name {old.name} → {new.name}"] if old.name != new.name else []
            what += ["started again"] if old.pid != new.pid else []
            if what:
                words = f"container {new.name}: {', '.join(what)}"
                yield _change("~", host, "container", new.name, words)
            ends = ([in_words.endpoint(e, new.name) for e in c.endpoints] for c in (old, new))
            yield from _lists(host, "endpoint", *ends)
    ports = (
        {w: None for c in s.containers for w in in_words.published(c)}.keys()
        for s in (before, after)
    )
    yield from _lists(host, "published port", *ports)


def _namespace(
    place: str, old: Namespace | None, new: Namespace | None, sides: tuple[_Side, _Side]
) -> Iterator[Change]:
    whole = old is None or new is None
    old, new = (
        n or Namespace(id=0, kind="container", name=place) for n in (old, new)
    )  # fmt: skip
    yield from _interfaces(place, old, new, whole, sides)
    yield from _lists(place, "route", in_words.routes(old), in_words.routes(new))
    yield from _lists(place, "neighbour", in_words.neighbours(old), in_words.neighbours(new))
    yield from _lists(place, "forwarding entry", in_words.forwarding(old), in_words.forwarding(new))
    if whole:
        yield from _lists(place, "rule", in_words.tables(old), in_words.tables(new))
    else:
        yield from _rules(place, old, new)
    yield from _lists(place, "socket", in_words.sockets(old), in_words.sockets(new))


def _interfaces(
    place: str, old: Namespace, new: Namespace, whole: bool, sides: tuple[_Side, _Side]
) -> Iterator[Change]:
    olds, news = (sorted(n.interfaces, key=lambda i: i.index) for n in (old, new))
    gone, come = {i.name: i for i in olds}, []
    for interface in news:
        twin = gone.pop(interface.name, None) or next(
            (  # it has another name now
                gone.pop(g.name) for g in list(gone.values())
                if (g.index, g.mac) == (interface.index, interface.mac)
                and new.interface(g.name) is None
            ), None,
        )  # fmt: skip
        if twin:
            states = _state(old, twin), _state(new, interface)
            yield from _interface(place, twin, interface, states, sides)
        else:
            come.append(interface)
    for sign, side, interfaces in zip(WENT_CAME, sides, (gone.values(), come), strict=True):
        for interface in interfaces:
            if not (whole and interface.kind == "loopback"):
                name, words = in_words.interface(interface, side.end(interface))
                yield _change(sign, place, "interface", name, words)


def _interface(
    place: str,
    old: Interface,
    new: Interface,
    states: tuple[str, str],
    sides: tuple[_Side, _Side],
) -> Iterator[Change]:
    """An interface that was there before, too."""
    facts = [("name", old.name, new.name), ("index", old.index, new.index)]
    facts += [("kind", old.kind, new.kind), ("MAC address", old.mac, new.mac)]
    facts += [("MTU", old.mtu, new.mtu), ("bridge", old.master, new.master)]
    facts += [("parent", old.parent, new.parent), ("mode", old.mode, new.mode)]
    facts += [("VNI", old.vni, new.vni), ("VLAN", old.vlan, new.vlan)]
    facts += [("other end", sides[0].end(old), sides[1].end(new))]
    what = ["switched on" if new.up else "switched off"] if old.up != new.up else []
    if not what:  # the state follows the switch
        facts.append(("carrier" if new.kind == "bridge" else "state", *states))
    what += [f"{name} {_or(a, 'none')} → {_or(b, 'none')}" for name, a, b in facts if a != b]
    if what:
        words = f"interface {new.name}: {', '.join(what)}"
        yield _change("~", place, "interface", new.name, words)
    addresses = ([(new.name, f"address {a} of {new.name}") for a in in_words.addresses(i)]
                 for i in (old, new))  # fmt: skip
    yield from _lists(place, "address", *addresses)


def _state(namespace: Namespace, interface: Interface) -> str:
    """An interface's state; of a bridge, whether it has carrier, which is when a port has.

    The kernel brings a bridge's state up to date late, by as much as a second.
    """
    if interface.kind != "bridge":
        return interface.state
    ports = (i for i in namespace.interfaces if i.master == interface.name)
    return "yes" if any(i.up and i.state in ("up", "unknown") for i in ports) else "no"


def _rules(place: str, old: Namespace, new: Namespace) -> Iterator[Change]:
    olds, news = _chains(old), _chains(new)
    mine = [{" ".join(k) for k, c in chains.items() if c.policy is None} for chains in (olds, news)]
    yield from _lists(place, "chain", *([(k, f"chain {k}") for k in m] for m in mine))
    for key in dict.fromkeys((*olds, *news)):
        before, after = olds.get(key), news.get(key)
        # A chain of the kernel's is there as soon as somebody looks; until then it lets all pass.
        built_in = any(c and c.policy for c in (before, after))
        a, b = (c.policy if c else "ACCEPT" for c in (before, after))
        name = " ".join(key)
        if built_in and a != b:
            yield _change("~", place, "chain", name, f"chain {name}: policy {a} → {b}")
        rules = [c.rules if c else () for c in (before, after)]
        yield from _chain(place, name, *rules)


def _chains(namespace: Namespace) -> dict[tuple[str, str], Chain]:
    """Every chain by its table, in words, and its name."""
    return {(in_words.table(f, c), c.name): c for f, c in namespace.families()}


def _chain(place: str, name: str, old: Sequence[Rule], new: Sequence[Rule]) -> Iterator[Change]:
    """The rules of one chain: gone, come, and those that stand elsewhere among the others."""
    pairs = stayed([r.spec for r in old], [r.spec for r in new])
    old_places, new_places = ({pair[side] for pair in pairs} for side in (0, 1))
    gone = [r for n, r in enumerate(old) if n not in old_places]
    come = []
    for rule in (r for n, r in enumerate(new) if n not in new_places):
        twin = next((r for r in gone if r.spec == rule.spec), None)
        if twin:
            gone.remove(twin)
            words = f"{in_words.rule(name, rule)}: moved from place {twin.number} to {rule.number}"
            yield _change("~", place, "rule", name, words)
        else:
            come.append(rule)
    for sign, rules in zip(WENT_CAME, (gone, come), strict=True):
        for rule in rules:
            yield _change(sign, place, "rule", name, in_words.rule(name, rule))


def stayed(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """The places of a longest common subsequence, in both."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    a, b = old[start : len(old) - end], new[start : len(new) - end]
    length = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in reversed(range(len(a))):
        for j in reversed(range(len(b))):
            longer = max(length[i + 1][j], length[i][j + 1])
            length[i][j] = length[i + 1][j + 1] + 1 if a[i] == b[j] else longer
    found, i, j = [(n, n) for n in range(start)], 0, 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            found.append((start + i, start + j))
            i, j = i + 1, j + 1
        elif length[i + 1][j] >= length[i][j + 1]:
            i += 1
        else:
            j += 1
    return found + [(len(old) - n, len(new) - n) for n in range(end, 0, -1)]


def _tracked(place: str, old: Namespace, new: Namespace) -> Iterator[Change]:
    known = {(c.protocol, c.original) for c in old.conntrack}
    rows = {in_words.connection(c) for c in new.conntrack if (c.protocol, c.original) not in known}
    for words in sorted(rows, key=in_words.natural):
        yield _change("+", place, "connection", words, f"connection {words}")


def _counted(place: str, old: Namespace, new: Namespace) -> Iterator[Change]:
    """The rules that decided something, then the jumps to a chain and back, then the policies."""
    olds, news, later = _chains(old), _chains(new), []
    jumps = {"RETURN", *(name for _, name in news)}
    for key, chain in news.items():
        before = olds.get(key)
        rules, name = before.rules if before else (), " ".join(key)
        for a, b in stayed([r.spec for r in rules], [r.spec for r in chain.rules]):
            rule = chain.rules[b]
            if (more := rule.packets - rules[a].packets) > 0:
                words = f"{in_words.rule(name, rule)}: {in_words.count(more, 'packet')}"
                change = _change("·", place, "rule", name, words)
                if rule.target in jumps:
                    later.append(change)
                else:
                    yield change
    yield from later
    for key, chain in news.items():
        seen = olds[key].packets if key in olds else 0
        if chain.policy and (more := chain.packets - seen) > 0:
            words = f"policy {chain.policy} of {' '.join(key)}: {in_words.count(more, 'packet')}"
            yield _change("·", place, "chain", " ".join(key), words)


def _lists(
    place: str, kind: str, old: Iterable[tuple[str, str]], new: Iterable[tuple[str, str]]
) -> Iterator[Change]:
    """What is in one list of names and words and not in the other, each as often as it is."""
    old, new = Counter(old), Counter(new)
    for sign, rest in zip(WENT_CAME, (old - new, new - old), strict=True):
        for name, words in sorted(rest.elements(), key=lambda item: in_words.natural(item[1])):
            yield _change(sign, place, kind, name, words)


def _change(sign: Sign, place: str, kind: str, name: str, words: str) -> Change:
    return Change(sign=sign, place=place, kind=kind, name=name, words=words)


def _or(value: object, otherwise: str) -> str:
    return otherwise if value in (None, "") else str(value)
