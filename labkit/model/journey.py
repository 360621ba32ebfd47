"""A packet's journey: where it was seen, which rules it met, what was rewritten; JSON in and out.

Nothing here traces or draws. A journey has several packets (a request's and its replies'), and
each packet has steps in the order of its way: what a capture saw on an interface, what a rule or
a chain's policy said at a hook.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from labkit.model.snapshot import ConntrackEntry, Snapshot
from labkit.model.value import Saved, Value

_CELL = "text-align: left; vertical-align: top; white-space: normal; padding: 1px 8px"


class Headers(Value):
    """A packet's headers as they stand at one place of its way."""

    source: str
    destination: str
    protocol: str  # "tcp", "udp", "icmp", "arp", …
    source_port: int | None = None
    destination_port: int | None = None
    ttl: int | None = None  # IPv6: the hop limit
    length: int | None = None  # bytes of the IP packet
    source_mac: str | None = None  # None where a hook sees no Ethernet header
    destination_mac: str | None = None
    says: str = ""  # in a few words: "SYN", "GET / HTTP/1.1", "A? web", "echo request"
    vni: int | None = None  # of the VXLAN packet that carries this one
    outer: Headers | None = None  # that packet's own headers

    @property
    def ends(self) -> str:
        """From where to where: "172.17.0.2:40000 → 203.0.113.10:80"."""
        source = end(self.source, self.source_port)
        return f"{source} → {end(self.destination, self.destination_port)}"

    def __repr__(self) -> str:
        around = f" in VXLAN {self.vni}, {self.outer.ends}" if self.outer else ""
        return f"{self.ends} TTL {self.ttl}{around}"


class Step(Value):
    """One thing that happened to a packet, at one place."""

    packet: int  # Packet.number
    time: float  # seconds since the journey's first step
    node: str  # "host1", "station1", "outside"
    namespace: str  # Namespace.name: the node's own name, a container's, a sandbox's
    kind: str  # "capture", "rule", "policy"
    headers: Headers
    interface: str | None = None  # where it was captured; the hook's incoming or outgoing one
    outgoing: bool = False  # of a capture: whether the packet left by the interface there
    hook: str | None = None  # "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"
    table: str | None = None
    chain: str | None = None
    rule: int | None = None  # Rule.number in the chain
    spec: str | None = None  # Rule.spec; the text of a native nf_tables rule
    verdict: str | None = None  # "ACCEPT", "DROP", "DNAT", "jump DOCKER", "RETURN", "continue"
    rewritten: tuple[str, ...] = ()  # since the step before: "destination 192.168.56.11:8080 → …"

    @property
    def place(self) -> str:
        """The namespace, and the node where that is another name."""
        return self.node if self.namespace == self.node else f"{self.namespace} on {self.node}"

    @property
    def what(self) -> str:
        """What happened, in words: "in by eth0", "nat DOCKER rule 2 → DNAT"."""
        if self.kind == "capture":
            return f"{'out' if self.outgoing else 'in'} by {self.interface}"
        chain = self.chain if self.chain == self.hook else f"{self.chain} (in {self.hook})"
        which = "policy" if self.kind == "policy" else f"rule {self.rule or '?'}"
        spec = f" `{self.spec}`" if self.spec else ""
        return f"{self.table} {chain} {which}{spec} → {self.verdict}"

    def __repr__(self) -> str:
        return "  ".join([self.place, repr(self.headers), self.what, *self.rewritten])


class Packet(Value):
    """A packet of the journey; a frame that carries it over VXLAN is the same packet."""

    number: int  # from 1, in the order in which they set out
    direction: str  # "request": from where the conversation began; "reply"
    summary: str  # "TCP SYN", "DNS A? web", "ICMP echo reply"


class Counted(Value):
    """A rule that counted between the journey's start and its end."""

    node: str
    namespace: str
    table: str
    chain: str
    rule: int
    packets: int


class Tracked(Value):
    """What connection tracking of a namespace knows of the conversation."""

    node: str
    namespace: str
    entry: ConntrackEntry


class Journey(Saved):
    """A request and its answer on their way through the lab."""

    command: str  # what was run
    start: str  # where: "host1", "web on host1"
    status: int  # the command's exit status
    output: str  # what it wrote
    means: tuple[str, ...]  # "nf_tables trace", "captures", "connection tracking"; what there was
    packets: tuple[Packet, ...]
    steps: tuple[Step, ...]  # all packets', in the order of time
    remarks: tuple[str, ...] = ()  # what the learner should know: cut short, captures only
    tracked: tuple[Tracked, ...] = ()
    counted: tuple[Counted, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()  # of the nodes on the way, from the end of it

    def __repr__(self) -> str:
        lines = [self._heading()]
        for packet, twin, steps in self._ways():
            lines += ["", self._told(packet, twin, steps)]
            rows = [] if twin else [(s.place, repr(s.headers), s.what) for s in steps]
            wide, wider = (max((len(r[n]) for r in rows), default=0) for n in (0, 1))
            shown = zip(steps, rows, strict=not twin)
            for number, (step, (place, headers, what)) in enumerate(shown, 1):
                lines += [f"{number:4}  {place:{wide}}  {headers:{wider}}  {what}"]
                lines += [f"      {'':{wide}}    {change}" for change in step.rewritten]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = []
        for packet, twin, steps in self._ways():
            told = escape(self._told(packet, twin, steps))
            rows.append(f'<tr><th colspan="4" style="{_CELL}">{told}</th></tr>')
            for number, step in enumerate(() if twin else steps, 1):
                headers = escape(repr(step.headers)).replace(" in VXLAN", "<br>in VXLAN")
                what = "<br>".join(
                    [escape(step.what), *(f"<b>{escape(change)}</b>" for change in step.rewritten)]
                )
                fixed = (str(number), escape(step.place), headers)
                cells = [f'<td style="{_CELL}; white-space: nowrap">{text}</td>' for text in fixed]
                rows.append(f'<tr>{"".join(cells)}<td style="{_CELL}">{what}</td></tr>')
        caption = f'<caption style="text-align: left">{escape(self._heading())}</caption>'
        return f'<table aria-label="{escape(self.command)}">{caption}{"".join(rows)}</table>'

    def _heading(self) -> str:
        seen = f"{len(self.packets)} packets seen by {', '.join(self.means)}"
        words = (f"{self.command!r} from {self.start} ended with status {self.status}", seen)
        return "; ".join([*words, *self.remarks])

    def _told(self, packet: Packet, twin: int | None, steps: tuple[Step, ...]) -> str:
        way = f"the way of {twin}" if twin else f"{len(steps)} steps"
        return f"{packet.number}  {packet.direction}: {packet.summary}, {way}"

    def _ways(self) -> Iterator[tuple[Packet, int | None, tuple[Step, ...]]]:
        """Each packet, the first one that went the same way and met the same rules, its steps."""
        known: dict[tuple, int] = {}
        for packet in self.packets:
            steps = self.of(packet.number)
            way = (packet.direction, *((s.place, s.what) for s in steps))
            first = known.setdefault(way, packet.number)
            yield packet, None if first == packet.number else first, steps

    def of(self, packet: int) -> tuple[Step, ...]:
        """The steps of that packet, in order."""
        return tuple(s for s in self.steps if s.packet == packet)


def end(address: str, port: int | None) -> str:
    """An address, and the port if there is one."""
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
