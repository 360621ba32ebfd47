"""A packet's journey as its reader follows it: places, hops between them, each step in words.

Nothing here traces or draws. A place is a network namespace of a node; a hop is a packet's way
from one place to the next, over a veth pair, the LAN or, in one place, the loopback interface.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby, pairwise

from labkit.model.journey import Headers, Journey, Step, end
from labkit.model.rules import Rule, parse
from labkit.model.value import Value
from labkit.model.words import count

REWRITES = ("DNAT", "SNAT", "MASQUERADE", "REDIRECT")  # targets of the nat table
REFUSALS = ("DROP", "REJECT")
_DULL = re.compile(r"continue|RETURN|jump |goto ", re.IGNORECASE)


class Place(Value):
    """A network namespace on the way."""

    node: str
    namespace: str  # Namespace.name

    @property
    def about(self) -> str:
        """Where it is, in a few words; empty for a node's own namespace."""
        return "" if self.namespace == self.node else f"on {self.node}"


class Hop(Value):
    """A packet's way from one place to the next; in one place, over its loopback interface."""

    start: Place
    end: Place
    sent: Step  # the last step in the one
    met: Step  # the first step in the other


class Row(Value):
    """One step in words, or several dull ones in a row: rules and policies that let it go on."""

    first: int  # numbers of the packet's steps, from 1
    last: int
    place: Place
    title: str  # "eth0, out", "nat POSTROUTING, rule 1"
    headers: Headers
    verdict: str = ""
    spec: str = ""  # the rule as iptables or nft writes it
    words: str = ""
    changed: tuple[str, ...] = ()  # fields of Headers that differ from the step before
    rewritten: tuple[str, ...] = ()  # Step.rewritten
    by: str = ""  # what rewrote it

    @property
    def numbers(self) -> str:
        """The numbers of its steps: "4", "5-9"."""
        return f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"


def place(step: Step) -> Place:
    """Where a step happened."""
    return Place(node=step.node, namespace=step.namespace)


def places(journey: Journey) -> tuple[Place, ...]:
    """All places of a journey, in the order in which a request meets them."""
    found: list[Place] = []
    for packet in journey.packets:
        way = [p for p, _ in groupby(map(place, journey.of(packet.number)))]
        if packet.direction == "reply":
            way.reverse()
        at = 0
        for p in way:
            if p not in found:
                found.insert(at, p)
            at = found.index(p) + 1
    return tuple(found)


def name(journey: Journey, place: Place) -> str:
    """What a map calls a place: "host1", "web", "sandbox 1-7vkvem5su1"."""
    sandbox = kind(journey, place) == "sandbox"
    return f"sandbox {place.namespace}" if sandbox else place.namespace


def kind(journey: Journey, place: Place) -> str:
    """Namespace.kind of a place; "" when no snapshot of its node is in the journey."""
    for snapshot in journey.snapshots:
        for namespace in snapshot.namespaces:
            if (snapshot.host, namespace.name) == (place.node, place.namespace):
                return namespace.kind
    return ""


def hops(steps: Iterable[Step]) -> tuple[Hop, ...]:
    """The hops of one packet, from its steps in order."""
    steps, found, seen = tuple(steps), [], set()
    for sent, met in pairwise(steps):
        start, end = place(sent), place(met)
        seen.add(start)
        # A bridge floods a frame: a copy sets out again from where the frame has been before.
        copied = sent.kind == "capture" and not sent.outgoing and met.outgoing and end in seen
        if start != end and not copied:
            found.append(Hop(start=start, end=end, sent=sent, met=met))
    stays = any(s.interface == "lo" or s.hook == "INPUT" for s in steps)
    if not found and stays and not refused(steps):
        here = place(steps[0])
        found.append(Hop(start=here, end=here, sent=steps[0], met=steps[-1]))
    return tuple(found)


def refused(steps: Iterable[Step]) -> Step | None:
    """The step at which the packet's way ended by a rule or a policy, or None."""
    return next((s for s in steps if (s.verdict or "").split(" ")[0] in REFUSALS), None)


def rows(journey: Journey, packet: int) -> tuple[Row, ...]:
    """Every step of a packet in words, one row each."""
    steps, found = journey.of(packet), []
    for number, step in enumerate(steps, 1):
        before = steps[number - 2].headers if number > 1 else step.headers
        title, words = _told(journey, step)
        found.append(
            Row(
                first=number,
                last=number,
                place=place(step),
                title=title,
                headers=step.headers,
                verdict=step.verdict or "",
                spec=step.spec or "",
                words=words,
                changed=changed(before, step.headers),
                rewritten=step.rewritten,
                by=_cause(journey, steps, number - 1),
            )
        )
    return tuple(found)


def folded(journey: Journey, packet: int) -> tuple[Row, ...]:
    """The steps of a packet in words, with one row for several that changed nothing.

    These are rules that did not end the packet's way through a table, and policies that accepted
    it in a table that is not there to decide. Rows never span two hooks or two places.
    """
    steps, told = journey.of(packet), rows(journey, packet)
    runs: list[list[Row]] = []
    for step, row in zip(steps, told, strict=True):
        dull = _dull(step) and row.last < len(steps)
        last = steps[runs[-1][-1].last - 1] if runs else step
        same = (place(last), last.hook) == (place(step), step.hook)
        if runs and dull and same and _dull(last) and not row.by and not row.changed:
            runs[-1].append(row)
        else:
            runs.append([row])
    return tuple(_fold(r, [steps[row.first - 1] for row in r]) if len(r) > 1 else r[0]
                 for r in runs)  # fmt: skip


def changed(before: Headers, after: Headers) -> tuple[str, ...]:
    """The fields in which two places see a packet differently, lengths and MACs aside."""
    fields = ("source", "source_port", "destination", "destination_port", "ttl", "vni")
    return tuple(f for f in fields if getattr(before, f) != getattr(after, f)
                 and (f != "vni" or after.vni is not None))  # fmt: skip


def ends(headers: Headers) -> tuple[str, str]:
    """Source and destination with their ports: "172.17.0.2:80"."""
    return (
        end(headers.source, headers.source_port),
        end(headers.destination, headers.destination_port),
    )


def headers(journey: Journey, packet: int, number: int) -> tuple[tuple[str, str, str], ...]:
    """What the headers say at a packet's step of that number.

    Returns:
        For each field its name, its value, and its value at the step before; "" for none.
    """
    steps = journey.of(packet)
    now = _fields(steps[number - 1].headers)
    was = _fields(steps[number - 2].headers) if number > 1 else now
    return tuple((name, now.get(name, ""), was.get(name, "")) for name in {**was, **now})


def details(journey: Journey, packet: int, number: int) -> tuple[tuple[str, str], ...]:
    """A table of all that is known at a packet's step of that number: what, and its value.

    A field of the headers that differs from the step before is "old → new".
    """
    row = rows(journey, packet)[number - 1]
    found = {
        "place": f"{name(journey, row.place)} {row.place.about}".strip(),
        "rule": row.spec,
        "in words": row.words,
        "verdict": row.verdict,
    }
    for field, now, was in headers(journey, packet, number):
        found[field] = now if now == was else f"{was or 'none'} → {now or 'none'}"
    found |= {"rewritten": "; ".join(row.rewritten), "by": row.by}
    return tuple((k, v) for k, v in found.items() if v)


def command(journey: Journey, step: Step) -> str:
    """Shell text, typed on the step's node, that shows the place where the step happened."""
    if step.kind == "capture":
        shown = f"tcpdump -nn -e -v -i {step.interface}"
    elif step.spec and rule(step) is None:
        shown = "nft list ruleset"
    else:
        shown = f"iptables -t {step.table} -L {step.chain}"
        shown += f" {step.rule}" * bool(step.rule) + " -n -v"
    if step.namespace == step.node:
        return shown
    if kind(journey, place(step)) == "sandbox":
        return f"nsenter --net=/run/docker/netns/{step.namespace} {shown}"
    pid = f"$(docker inspect -f '{{{{.State.Pid}}}}' {step.namespace})"
    return f"nsenter -t {pid} -n {shown}"


@lru_cache(maxsize=1024)
def rule(step: Step) -> Rule | None:
    """The iptables rule of a step; None when the step has none, or a native nf_tables one."""
    if step.spec is None or not step.spec.startswith(("-", "!")):
        return None
    return parse(f"*{step.table}\n:RULE - [0:0]\n[0:0] -A RULE {step.spec}\nCOMMIT")[0].rules[0]


def _told(journey: Journey, step: Step) -> tuple[str, str]:
    """A step's title, and what happens there in plain words."""
    here = name(journey, place(step))
    if step.kind == "capture":
        if step.outgoing:
            return f"{step.interface}, out", f"leaves {here} by {step.interface}"
        return f"{step.interface}, in", f"comes in to {here} by {step.interface}"
    chain = f"{step.table} {step.chain}"
    if step.kind == "policy":
        return f"{chain}, policy", f"no rule of {chain} decided, so its policy did"
    known = rule(step)
    words = f"{known.condition} → {known.effect}" if known else ""
    return f"{chain}, rule {step.rule}" if step.rule else chain, words


def _dull(step: Step) -> bool:
    if step.kind == "policy":
        return step.verdict == "ACCEPT" and step.table != "filter"
    return step.kind == "rule" and bool(_DULL.match(step.verdict or "continue"))


def _fold(run: list[Row], steps: list[Step]) -> Row:
    """One row for dull steps of one hook."""
    first, last = run[0], run[-1]  # nothing but the first can be a change
    tables = dict.fromkeys(s.table for s in steps)
    chains = "; ".join(
        f"{t} {', '.join(dict.fromkeys(s.chain or '' for s in steps if s.table == t))}"
        for t in tables
    )
    number, policies = len(steps), sum(s.kind == "policy" for s in steps)
    said = [count(number - policies, "rule")] * (number > policies)
    said += ["1 policy" if policies == 1 else f"{policies} policies"] * bool(policies)
    return Row(
        first=first.first,
        last=last.last,
        place=first.place,
        title=chains,
        headers=first.headers,
        words=f"{' and '.join(said)} let it go on",
        changed=first.changed,
        rewritten=first.rewritten,
        by=first.by,
    )


def _fields(headers: Headers) -> dict[str, str]:
    """The headers that a packet has at a place, by name."""
    source, destination = ends(headers)
    found = {
        "source": source,
        "destination": destination,
        "protocol": headers.protocol,
        "TTL": headers.ttl,
        "length": f"{headers.length} bytes" if headers.length else None,
        "source MAC": headers.source_mac,
        "destination MAC": headers.destination_mac,
        "says": headers.says,
        "VXLAN": f"VNI {headers.vni}" if headers.vni is not None else None,
    }
    if headers.outer:
        found |= {f"outer {k}": v for k, v in _fields(headers.outer).items()}
    return {k: str(v) for k, v in found.items() if v not in (None, "")}


def _cause(journey: Journey, steps: tuple[Step, ...], number: int) -> str:
    """What made the headers at this step differ from those at the step before."""
    before, step = steps[max(number - 1, 0)], steps[number]
    if before.headers.vni != step.headers.vni:
        return "the vxlan interface"
    fields = changed(before.headers, step.headers)
    causes = []
    if any(f.startswith(("source", "destination")) for f in fields):
        here = [n for n in range(number) if place(steps[n]) == place(before)]
        wrote = [n for n in here if (steps[n].verdict or "").split(" ")[0] in REWRITES]
        if wrote:
            causes.append(f"the rule of step {wrote[-1] + 1}")
        elif "nf_tables trace" in journey.means:  # then a rule would have been seen
            causes.append("connection tracking")
    if "ttl" in fields:
        causes.append(f"{name(journey, place(step))} routes it")
    return " · ".join(causes)
