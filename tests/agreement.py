"""What must be true of every journey: it agrees with connection tracking, counters and cables.

Each function gives what disagrees, in words; nothing where all is well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest

from labkit.model.journey import Headers, Journey, Step, end
from labkit.model.snapshot import ConntrackEntry, Tuple

Ends = tuple[str, int | None, str, int | None]


def with_tracking(journey: Journey) -> list[str]:
    """Where a packet's addresses are not those of connection tracking in the same namespace."""
    wrong = []
    for (packet, node, namespace), steps in _visits(journey):
        # A carrier's headers are VXLAN's own: they are what this namespace tracks.
        headers = [s.headers.outer or s.headers for s in steps]
        ends = list(dict.fromkeys(_ends(h) for h in headers))
        entries = [t.entry for t in journey.tracked if (t.node, t.namespace) == (node, namespace)]
        told = [text for s in steps[1:] for text in s.rewritten if text.startswith(("sou", "dest"))]
        known = [way for e in entries if (way := _way(e, headers[0].protocol, ends[0]))]
        expected = known[0] if known else (ends[0], ends[0])
        if not set(ends) <= set(expected) or (known and ends[-1] != expected[1]):
            wrong.append(f"packet {packet} in {namespace}: {ends}, tracked as {expected}")
        if told != _changes(ends[0], expected[1]):
            wrong.append(f"packet {packet} in {namespace}: {told}, tracked as {expected}")
    return wrong


def with_counters(journey: Journey, noisy: tuple[str, ...] = ()) -> list[str]:
    """The rules that counted other than the steps say; in a noisy namespace, fewer than that."""
    steps = Counter(
        (s.node, s.namespace, s.table, s.chain, s.rule) for s in journey.steps if s.kind == "rule"
    )
    counted = {
        (c.node, c.namespace, c.table, c.chain, c.rule): c.packets for c in journey.counted
    }  # fmt: skip
    return [
        f"{key}: {steps[key]} steps, counted {counted.get(key, 0)}"
        for key in {*steps, *counted}
        if steps[key] != counted.get(key, 0)
        and not (key[1] in noisy and steps[key] < counted.get(key, 0))
    ]


def with_cables(journey: Journey) -> list[str]:
    """The captures at one end of a veth that have no twin at the other end, right after."""
    others = _cables(journey)
    wrong = []
    for packet in journey.packets:
        captures = [s for s in journey.of(packet.number) if s.kind == "capture"]
        for step, following in zip_longest(captures, captures[1:]):
            twin = others.get(_at(step))
            if step.outgoing and twin and (not following or _at(following) != twin):
                wrong.append(f"packet {packet.number} went into {_at(step)}, then {following!r}")
        ins = Counter(_at(s) for s in captures if not s.outgoing)
        outs = Counter(others.get(_at(s)) for s in captures if s.outgoing)
        wrong += [
            f"packet {packet.number} came out of {place} and went in nowhere"
            for place, number in ins.items()
            if place in others.values() and outs[place] != number
        ]
    return wrong


def cables_used(journey: Journey) -> int:
    """How often a packet went into a veth whose other end is in the lab too."""
    others = _cables(journey)
    return sum(s.outgoing and _at(s) in others for s in journey.steps)


def _visits(journey: Journey) -> Iterator[tuple[tuple[int, str, str], list[Step]]]:
    """Each packet's steps in each namespace."""
    visits: dict[tuple[int, str, str], list[Step]] = {}
    for packet in journey.packets:
        for step in journey.of(packet.number):
            visits.setdefault((step.packet, step.node, step.namespace), []).append(step)
    yield from visits.items()


def _way(entry: ConntrackEntry, protocol: str, first: Ends) -> tuple[Ends, Ends] | None:
    """With which addresses such a packet comes, and with which it goes; None if another's."""
    if entry.protocol != protocol:
        return None
    original, reply = (_tuple(t) for t in (entry.original, entry.reply))
    forth, back = (original, _back(reply)), (reply, _back(original))
    # A packet can be rewritten before it is first seen: a reply on lo.
    return next((way for way in (forth, back) if first in way), None)


def _changes(before: Ends, after: Ends) -> list[str]:
    texts = []
    for name, i in (("source", 0), ("destination", 2)):
        if before[i : i + 2] != after[i : i + 2]:
            texts.append(f"{name} {end(*before[i : i + 2])} → {end(*after[i : i + 2])}")
    return texts


def _ends(h: Headers) -> Ends:
    return (h.source, h.source_port, h.destination, h.destination_port)


def _tuple(t: Tuple) -> Ends:
    return (t.source, t.source_port, t.destination, t.destination_port)


def _back(ends: Ends) -> Ends:
    return (*ends[2:], *ends[:2])


def _at(step: Step) -> tuple[str, str, str]:
    return (step.node, step.namespace, step.interface)


def _cables(journey: Journey) -> dict[tuple, tuple]:
    """Each end of each veth whose two ends are both in the lab, and its other end."""
    found = {}
    for snapshot in journey.snapshots:
        names = {n.id: n.name for n in snapshot.namespaces}
        for namespace in snapshot.namespaces:
            for i in namespace.interfaces:
                here = (snapshot.host, namespace.name, i.name)
                if i.kind != "veth":
                    continue
                if i.peer.namespace is not None:
                    found[here] = (snapshot.host, names[i.peer.namespace], i.peer.name)
                elif namespace.name == snapshot.host and i.name == "eth0":
                    # The router's end of a node's cable has the node's name.
                    found[here] = ("router", "router", snapshot.host)
                    found["router", "router", snapshot.host] = here
    return found
