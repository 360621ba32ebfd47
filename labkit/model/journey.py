"""A packet's journey: where it was seen, which rules it met, what was rewritten; JSON in and out.

Nothing here traces or draws. A journey has several packets (a request's and its replies'), and
each packet has steps in the order of its way: what a capture saw on an interface, what a rule or
a chain's policy said at a hook.
"""

from __future__ import annotations

from labkit.model.snapshot import ConntrackEntry, Snapshot
from labkit.model.value import Value


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


class Journey(Value):
    """A request and its answer on their way through the lab."""

    command: str  # what was run
    start: str  # where: "host1", "web on host1"
    status: int  # the command's exit status
    output: str  # what it wrote
    means: tuple[str, ...]  # "nf_tables trace", "captures", "connection tracking"; what there was
    packets: tuple[Packet, ...]
    steps: tuple[Step, ...]  # all packets', in the order of time
    tracked: tuple[Tracked, ...] = ()
    counted: tuple[Counted, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()  # of the nodes on the way, from the end of it

    def of(self, packet: int) -> tuple[Step, ...]:
        """The steps of that packet, in order."""
        return tuple(s for s in self.steps if s.packet == packet)
