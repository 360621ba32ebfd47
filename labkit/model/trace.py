"""From what was heard in the lab to a journey: captures, traces and counters joined into steps.

Pure functions; ``labkit.agent.journey`` does the listening. Three things are worked out here:

- which sightings are of one packet. NAT rewrites addresses, ports and checksums; what it leaves
  alone (``Seen.identity``) names a packet in every namespace.
- which packets belong to the command. A conversation that began while the command ran does,
  but for the engines' own talk.
- the order. The kernel stamps captures with one clock. Reports of a trace bear no time: they are
  put between the captures by the hook they come from, as the kernel calls the hooks.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from labkit.model import frames, netfilter
from labkit.model.frames import Flow, Seen
from labkit.model.journey import Counted, Headers, Journey, Packet, Step, Tracked, end
from labkit.model.netfilter import Key, Report, Run
from labkit.model.rules import Rule
from labkit.model.snapshot import ConntrackEntry, Snapshot, Tuple

MOST = 200  # packets of a journey
CHATTER = {7946, 2377}  # the engines' own talk: Swarm's gossip, and with its managers
OUTGOING, OTHERHOST = 4, 3  # packet(7)


@dataclass(frozen=True)
class Sighting:
    """A packet seen at a place: by a capture, or by a base chain."""

    place: int
    seen: Seen
    time: int  # nanoseconds
    interface: str | None = None
    kind: int = 0  # of a capture, as packet(7) has it
    run: Run | None = None  # None: a capture
    hook: str | None = None
    iif: str | None = None

    @property
    def outgoing(self) -> bool:
        """Whether a capture saw it leave by the interface."""
        return self.kind == OUTGOING


@dataclass
class Way:
    """A packet and all its sightings, in the order of its way."""

    sightings: list[Sighting] = field(default_factory=list)

    @property
    def start(self) -> int:
        """When it set out, in nanoseconds."""
        return self.sightings[0].time

    @property
    def flows(self) -> list[Flow]:
        """The addresses that it had on its way, from its sender to its receiver."""
        return [s.seen.flow for s in self.sightings if s.seen.flow]

    @property
    def carriers(self) -> set[Flow]:
        """The addresses of the VXLAN packets that carried it."""
        outer = (s.seen.headers.outer for s in self.sightings if s.seen.headers.outer)
        return {frames.flow(headers) for headers in outer}


def join(
    heard: dict,
    snapshots: Sequence[Snapshot],
    command: str,
    start: str,
    output: str,
) -> Journey:
    """The journey that the facts tell (``labkit.agent.journey``).

    Args:
        heard: the agent's answer.
        snapshots: of the nodes on the way, from its end.
        command: what was run, as the learner wrote it.
        start: where.
        output: what it wrote.
    """
    lab = _Lab(heard["places"], snapshots)
    talks = _talks(_ways(heard, lab))
    ways = sorted((way for talk in talks for way in talk), key=lambda way: way.start)[:MOST]
    flows = {flow for way in ways for flow in (*way.flows, *way.carriers)}
    remarks = ["it was long: only the first packets are told"] * (
        heard["cut"] or sum(map(len, talks)) > MOST
    )
    requests = _requests(ways)
    packets: list[Packet] = []
    steps: list[Step] = []
    for number, way in enumerate(ways, 1):
        direction = "request" if any(flow in requests for flow in way.flows) else "reply"
        packets.append(Packet(number=number, direction=direction, summary=_summary(way)))
        steps += _steps(number, way, lab, ways[0].start)
    steps.sort(key=lambda step: step.time)  # a stable sort: each packet's own order stays
    met = {(s.node, s.namespace) for s in steps}
    tracked = tuple(_tracked(snapshots, flows))
    traced = any(s.kind != "capture" for s in steps)
    means = ("nf_tables trace",) * traced + ("captures",) + ("connection tracking",) * bool(tracked)
    return Journey(
        command=command,
        start=start,
        status=heard["status"],
        output=output,
        means=means,
        remarks=(*remarks, *lab.untraced(met)),
        packets=tuple(packets),
        steps=tuple(steps),
        tracked=tracked,
        counted=tuple(c for c in lab.counted() if (c.node, c.namespace) in met),
        snapshots=tuple(snapshots),
    )


def nodes(heard: dict) -> list[str]:
    """The nodes that the command's packets came to: those whose snapshots ``join`` wants."""
    lab = _Lab(heard["places"], ())
    places = {s.place for t in _talks(_ways(heard, lab)) for way in t for s in way.sightings}
    return list(dict.fromkeys(lab.places[p]["node"] for p in sorted(places)))


class _Lab:
    """The namespaces in which something was heard, and what stands in each."""

    def __init__(self, places: list[dict], snapshots: Iterable[Snapshot]) -> None:
        self.places = places
        self.before = [netfilter.rules(place["before"]) for place in places]
        self.after = [netfilter.rules(place["after"]) for place in places]
        known = {(s.host, n.id): n for s in snapshots for n in s.namespaces}
        self.namespaces = [known.get((p["node"], p["id"])) for p in places]

    def interface(self, place: int, index: int | None) -> str | None:
        """The name of an interface."""
        if index is None:
            return None
        names = self.places[place]["interfaces"]
        namespace = self.namespaces[place]
        there = namespace.interfaces if namespace else ()
        found = next((i.name for i in there if i.index == index), None)
        return found or names.get(str(index), f"if{index}")

    def hook(self, place: int, run: Run) -> str:
        """The hook of a base chain."""
        hooks = self.after[place].hooks or self.before[place].hooks
        return hooks.get(run.chain, run.chain[2])

    def rule(self, place: int, report: Report) -> tuple[int | None, Rule | None]:
        """A rule's number in its chain, and the rule."""
        if report.handle is None:
            return None, None
        moments = (self.after[place], self.before[place])
        numbers = (m.number(report.chain, report.handle) for m in moments)
        number = next((n for n in numbers if n), None)
        rules = self._rules(place, report.chain)
        rule = rules[number - 1] if number and number <= len(rules) else None
        return number, rule

    def _rules(self, place: int, chain: Key) -> tuple[Rule, ...]:
        """A chain's rules as the snapshot has them."""
        namespace = self.namespaces[place]
        if namespace is None:
            return ()
        family, table, name = chain
        iptables = {"ip": namespace.chains, "ip6": namespace.chains6}.get(family, ())
        native = (c for c in namespace.nftables if c.family == family)
        found = (c.rules for c in (*iptables, *native) if (c.table, c.name) == (table, name))
        return next(found, ())

    def counted(self) -> Iterator[Counted]:
        """The rules whose counters grew."""
        for place, before, after in zip(self.places, self.before, self.after, strict=True):
            for chain, handles in after.handles.items():
                old = before.handles.get(chain, {})
                for number, (handle, packets) in enumerate(handles.items(), 1):
                    if (more := packets - old.get(handle, 0)) > 0:
                        yield Counted(
                            node=place["node"],
                            namespace=place["name"],
                            table=_table(chain),
                            chain=chain[2],
                            rule=number,
                            packets=more,
                        )

    def untraced(self, met: set[tuple[str, str]]) -> Iterator[str]:
        """Where on the way no rule could be seen at work, and why."""
        for place, namespace in zip(self.places, self.namespaces, strict=True):
            if (place["node"], place["name"]) not in met:
                continue
            if not place["traced"]:
                yield f"the kernel of {place['node']} has no nf_tables trace: captures only"
            elif (
                namespace and any(c.rules for c in namespace.chains) and not place["after"]["rules"]
            ):
                yield f"the rules of {place['name']} are not those of nf_tables: captures only"


def _ways(heard: dict, lab: _Lab) -> list[Way]:
    """The packets, each with its sightings in order."""
    captures = []
    carried: dict[tuple, Seen] = {}
    for place, interface, kind, time, data in heard["frames"]:
        if seen := frames.frame(bytes.fromhex(data)):
            captures.append(Sighting(place, seen, time, interface, kind))
            if seen.carrier:
                carried[seen.carrier] = seen
    places: dict[tuple, int] = {}
    groups: dict[tuple, list[Sighting]] = defaultdict(list)
    for sighting in (*captures, *_traced(heard, lab, carried)):
        what = sighting.run.chain if sighting.run else (sighting.interface, sighting.outgoing)
        where = (sighting.seen.identity, sighting.place, what)
        # Sent again, a packet is seen once more where it was seen before.
        places[where] = places.get(where, 0) + 1
        groups[(sighting.seen.identity, places[where])].append(sighting)
    ways = [Way(_ordered(_without_bystanders(group, lab), lab)) for group in groups.values()]
    _date(ways)
    return [way for way in ways if way.sightings]


def _date(ways: list[Way]) -> None:
    """Give a packet that no capture saw a time: before what its namespace reported next.

    Its reports were read after they were made, maybe after the answer to it was captured.
    """
    runs = [(s.run.number, way, at) for way in ways for at, s in enumerate(way.sightings) if s.run]
    soonest: dict[int, int] = {}
    for _, way, at in sorted(runs, key=lambda run: run[0], reverse=True):
        sighting = way.sightings[at]
        next_time = soonest.get(sighting.place, sighting.time + 1)
        if all(s.run for s in way.sightings):
            way.sightings[at] = replace(sighting, time=min(sighting.time, next_time - 1))
        else:
            soonest[sighting.place] = min(sighting.time, next_time)


def _traced(heard: dict, lab: _Lab, carried: dict[tuple, Seen]) -> Iterator[Sighting]:
    for place, run in netfilter.runs(heard["reports"]):
        seen = frames.seen(run.network, run.transport, run.link)
        if seen is None:
            continue
        if inner := carried.get(seen.identity):  # VXLAN's own packet, with ours inside
            headers = msgspec.structs.replace(inner.headers, outer=seen.headers)
            seen = replace(inner, headers=headers)
        iif, oif = (lab.interface(place, index) for index in (run.iif, run.oif))
        hook = lab.hook(place, run)
        at = iif if hook in ("PREROUTING", "INPUT") else oif
        yield Sighting(place, seen, run.arrived, at, run=run, hook=hook, iif=iif)


def _without_bystanders(group: list[Sighting], lab: _Lab) -> list[Sighting]:
    """Without those whom a bridge sent a copy, and who did not take it: packet(7), OTHERHOST."""
    takers = {s.place for s in group if s.kind != OTHERHOST}
    nodes = {lab.places[place]["node"] for place in takers}
    gone: set[tuple[str, str]] = set()  # the other ends of the bystanders' cables
    left = []
    for sighting in group:
        place = lab.places[sighting.place]
        # A macvlan interface takes from its parent, in another namespace of the node.
        took = place["node"] in nodes if place["kind"] == "host" else sighting.place in takers
        if took:
            left.append(sighting)
        elif place["kind"] == "host":
            gone.add(("router", place["node"]))  # the router's end of a node's cable has its name
        else:
            gone |= _ends(lab, sighting)
    return [
        s
        for s in left
        if not (s.outgoing and (lab.places[s.place]["node"], s.interface) in gone)
    ]  # fmt: skip


def _ends(lab: _Lab, sighting: Sighting) -> set[tuple[str, str]]:
    """Node and name of the other end of a container's veth."""
    node, inode = (lab.places[sighting.place][key] for key in ("node", "id"))
    return {
        (node, i.name)
        for place, namespace in zip(lab.places, lab.namespaces, strict=True)
        if namespace and place["node"] == node
        for i in namespace.interfaces
        if i.peer and (i.peer.namespace, i.peer.name) == (inode, sighting.interface)
    }


def _ordered(group: list[Sighting], lab: _Lab) -> list[Sighting]:
    """The sightings of one packet in the order of its way."""
    captures = [s for s in group if s.run is None]
    # One arrival has one stamp, on a parent and on its macvlan child too: the parent is first.
    captures.sort(key=lambda s: (s.time, _child(s, lab)))
    before: dict[int, list[Sighting]] = defaultdict(list)  # by the capture that follows
    after: dict[int, list[Sighting]] = defaultdict(list)
    alone: list[Sighting] = []
    for place in dict.fromkeys(s.place for s in group):
        own = [s for s in captures if s.place == place]
        runs = [s for s in group if s.place == place and s.run]
        done = 0
        for run in runs:
            done = _passed(run, own, done, lab)
            if not own:
                alone.append(run)
            elif done:
                after[id(own[done - 1])].append(run)
            else:
                before[id(own[0])].append(run)
    way: list[Sighting] = []
    for capture in captures:
        for run in before[id(capture)]:
            way.append(replace(run, time=capture.time))
        way.append(capture)
        for run in after[id(capture)]:
            way.append(replace(run, time=capture.time))
    return way + alone


def _child(sighting: Sighting, lab: _Lab) -> bool:
    namespace = lab.namespaces[sighting.place]
    interface = namespace.interface(sighting.interface) if namespace else None
    return bool(interface and interface.parent)


def _passed(run: Sighting, captures: list[Sighting], done: int, lab: _Lab) -> int:
    """How many of its namespace's captures a packet has passed when it comes to a hook.

    PREROUTING is called when the packet has come in by the hook's interface; with br_netfilter,
    when it has come in by the bridge's port. INPUT and FORWARD follow once it is wholly in, OUTPUT
    and POSTROUTING before it goes out.
    """
    if run.hook == "PREROUTING":
        for number, capture in enumerate(captures[done:], done + 1):
            if not capture.outgoing and (
                capture.interface == run.iif or _is_port(capture, run.iif, lab)
            ):
                return number
    if run.hook in ("INPUT", "FORWARD"):
        while done < len(captures) and not captures[done].outgoing:
            done += 1
    return done


def _is_port(capture: Sighting, bridge: str | None, lab: _Lab) -> bool:
    """Whether it was captured on a port of that bridge whose packets iptables sees."""
    namespace = lab.namespaces[capture.place]
    above = namespace.interface(bridge) if namespace else None
    if not namespace or not above or above.kind != "bridge":
        return False
    if not lab.places[capture.place]["bridge_nf"]:
        return False
    port = namespace.interface(capture.interface)
    return port is None or port.master == bridge  # None: its container has gone since


def _talks(ways: Iterable[Way]) -> list[list[Way]]:
    """The conversations that began here, each with its packets; a rewritten one is still one."""
    parents: dict[frozenset, frozenset] = {}

    def find(pair: frozenset) -> frozenset:
        while parents.setdefault(pair, pair) != pair:
            pair = parents[pair]
        return pair

    for way in ways:
        pairs = [_pair(flow) for flow in way.flows]
        for pair in pairs:
            parents[find(pair)] = find(pairs[0])
    talks: dict[frozenset, list[Way]] = defaultdict(list)
    for way in sorted((w for w in ways if w.flows), key=lambda w: w.start):
        talks[find(_pair(way.flows[0]))].append(way)
    return [talk for talk in talks.values() if _wanted(talk)]


def _pair(flow: Flow) -> frozenset:
    """The two ends of a conversation, whoever sends."""
    protocol, source, destination = flow
    return frozenset([(protocol, 0), source, destination])


def _wanted(talk: list[Way]) -> bool:
    ports = {port for way in talk for _, *ends in way.flows for _, port in ends}
    return any(s.seen.begins for s in talk[0].sightings) and not ports & CHATTER


def _requests(ways: Sequence[Way]) -> set[Flow]:
    """The addresses of those packets that go as the first one of their conversation did."""
    requests: set[Flow] = set()
    replies: set[Flow] = set()
    for way in ways:
        flows = set(way.flows)
        back = {(protocol, b, a) for protocol, a, b in flows}
        forth = not flows & replies
        requests |= flows if forth else back
        replies |= back if forth else flows
    return requests


def _told_by(way: Way) -> Seen:
    """The sighting that tells most of a packet: captures see more of it than hooks."""
    return min(way.sightings, key=lambda s: (s.seen.speaks in ("TCP", "UDP"), bool(s.run))).seen


def _summary(way: Way) -> str:
    """A packet in a few words."""
    seen = _told_by(way)
    words = seen.headers.says
    return words if seen.speaks == "HTTP" else f"{seen.speaks} {words}"


def _steps(number: int, way: Way, lab: _Lab, zero: int) -> Iterator[Step]:
    """A packet's steps, each with what was rewritten since the one before."""
    last: Headers | None = None
    latest = way.start
    says = _told_by(way).headers.says
    for sighting in way.sightings:
        latest = max(latest, sighting.time)
        place = lab.places[sighting.place]
        headers = msgspec.structs.replace(sighting.seen.headers, says=says)
        common = {
            "packet": number,
            "time": (latest - zero) / 1e9,
            "node": place["node"],
            "namespace": place["name"],
            "interface": sighting.interface,
            "headers": headers,
        }
        if sighting.run is None:
            outgoing = sighting.outgoing
            rewritten = _rewritten(last, headers)
            yield Step(**common, kind="capture", outgoing=outgoing, rewritten=rewritten)
            last = headers
        else:
            for told in _told(sighting, sighting.run, lab):
                yield Step(**common, **told, rewritten=_rewritten(last, headers))
                last = headers


def _told(sighting: Sighting, run: Run, lab: _Lab) -> Iterator[dict]:
    """What the reports of one base chain say, each as a part of a step."""
    for report in run.reports:
        number, rule = lab.rule(sighting.place, report)
        policy = report.kind == netfilter.POLICY
        if number is None and not policy and report.verdict == netfilter.CONTINUE:
            continue  # the end of a user's chain: no rule, no policy
        yield {
            "kind": "policy" if policy else "rule",
            "hook": sighting.hook,
            "table": _table(report.chain),
            "chain": report.chain[2],
            "rule": number,
            "spec": rule.spec if rule else None,
            "verdict": _verdict(report, rule),
        }


def _table(chain: Key) -> str:
    """A table's name, with its family's before it where that is not IPv4's."""
    family, table, _ = chain
    return table if family == "ip" else f"{family} {table}"


def _verdict(report: Report, rule: Rule | None) -> str:
    if report.verdict in (netfilter.JUMP, netfilter.GOTO):
        return f"{'jump' if report.verdict == netfilter.JUMP else 'goto'} {report.target}"
    if report.verdict in (netfilter.ACCEPT, netfilter.DROP):
        # What iptables' targets do, they do beside the verdict: DNAT accepts, REJECT drops.
        name = "ACCEPT" if report.verdict == netfilter.ACCEPT else "DROP"
        return rule.target if rule and rule.target else name
    return {netfilter.RETURNED: "RETURN", netfilter.CONTINUE: "continue"}.get(
        report.verdict, f"verdict {report.verdict}"
    )


def _rewritten(old: Headers | None, new: Headers) -> tuple[str, ...]:
    """What is different in a packet's headers, in words."""
    if old is None:
        return ()
    changes = []
    for name in ("source", "destination"):
        before, after = (
            end(getattr(headers, name), getattr(headers, f"{name}_port")) for headers in (old, new)
        )
        if before != after:
            changes.append(f"{name} {before} → {after}")
    if old.ttl != new.ttl:
        changes.append(f"TTL {old.ttl} → {new.ttl}")
    if new.outer and not old.outer:
        outer = f"{new.outer.source} → {new.outer.destination}"
        changes.append(f"wrapped in VXLAN with VNI {new.vni}, {outer}")
    elif old.outer and not new.outer:
        changes.append("unwrapped from VXLAN")
    elif old.outer and new.outer:
        changes += [f"outer {change}" for change in _rewritten(old.outer, new.outer)]
    return tuple(changes)


def _tracked(snapshots: Iterable[Snapshot], flows: set[Flow]) -> Iterator[Tracked]:
    """What connection tracking has of these conversations."""
    pairs = Counter(_known(protocol, *ends) for protocol, *ends in flows)
    for snapshot in snapshots:
        for namespace in snapshot.namespaces:
            for entry in namespace.conntrack:
                if any(_known(entry.protocol, *_ends_of(t)) in pairs for t in _tuples(entry)):
                    yield Tracked(node=snapshot.host, namespace=namespace.name, entry=entry)


def _tuples(entry: ConntrackEntry) -> tuple[Tuple, Tuple]:
    return entry.original, entry.reply


def _ends_of(one: Tuple) -> tuple[tuple[str, int | None], tuple[str, int | None]]:
    return (one.source, one.source_port), (one.destination, one.destination_port)


def _known(protocol: str, source: tuple, destination: tuple) -> frozenset:
    """Two ends as an entry has them: it tells no id of ICMP's."""
    if protocol.startswith("icmp"):
        source, destination = (source[0], None), (destination[0], None)
    return frozenset([(protocol, 0), source, destination])
