"""The predictions and exercises of notebook 07: a container without a network, and one by hand."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Interface

from labkit.exercises.exercise import Exercise
from labkit.exercises.prediction import Prediction
from labkit.exercises.progress import Progress
from labkit.exercises.state import Probe, State
from labkit.exercises.verdict import Verdict, correct, missing, not_yet
from labkit.model.snapshot import ConntrackEntry, Interface, Namespace, Snapshot
from labkit.model.value import Value

OUTSIDE = "203.0.113.10"

only_lo = Prediction(
    "interfaces on the network none",
    "alone runs with --network none. What will `ip addr show` list inside it?",
    ("nothing at all", "lo", "lo and eth0"),
    because={
        "nothing at all": "Every network namespace is born with a lo; Docker only switches it on.",
        "lo and eth0": "An eth0 needs a cable. The network none has nothing to plug one into.",
    },
)

without_route = Prediction(
    "who answers without a route",
    "eth0 has 10.77.0.2/24, the bridge has 10.77.0.1/24, and alone has no default route. Which of "
    "these will answer when alone asks them?",
    ("10.77.0.1, the bridge", "192.168.56.11, host1's eth0", "203.0.113.10, outside"),
    many=True,
    because={
        "10.77.0.1, the bridge": "It is in alone's own subnet: no route is needed but that one.",
        "192.168.56.11, host1's eth0": "It is on the same computer, yet in another subnet, and "
        "alone has no route to that one.",
        "203.0.113.10, outside": "It is in another subnet, and alone has no route to it.",
    },
)

how_far = Prediction(
    "how far the first packet gets",
    "alone has a default route by 10.77.0.1 now. It pings outside. Where does the packet end?",
    ("in alone", "at host1", "at outside, and the answer is lost", "nowhere: it is answered"),
    because={
        "in alone": "The default route takes it to host1.",
        "at outside, and the answer is lost": "It does not get there: host1 would have to forward "
        "it, and its FORWARD chain drops what no rule accepts.",
        "nowhere: it is answered": "host1 drops it: no rule in FORWARD is about your bridge.",
    },
)

answered = Prediction(
    "is a masqueraded ping answered",
    "outside sees host1's address now, and answers it. Will ping in alone get the answer?",
    ("yes", "no, the router drops it", "no, host1 drops it"),
    because={
        "yes": "Your rule accepts what comes in from the bridge. The answer comes in from eth0.",
        "no, the router drops it": "The answer is for 192.168.56.11, an address that it knows.",
    },
)

after_restart = Prediction(
    "what is left after docker restart",
    "`docker restart alone`: what will be left of the network that you built?",
    ("all of it", "the bridge and the rules", "nothing"),
    because={
        "all of it": "The restarted container has a new namespace. The old one is gone, and the "
        "cable went with it.",
        "nothing": "The bridge and the rules are host1's own; no container takes them along.",
    },
)


class Wiring(Value):
    """How a container is plugged into its host; None for what there is not.

    Attributes:
        inside: the container's own namespace.
        eth0: its end of the cable, whatever its name is.
        end: the cable's other end, on the host.
        bridge: what that end is plugged into.
    """

    inside: Namespace
    eth0: Interface | None = None
    end: Interface | None = None
    bridge: Interface | None = None

    @property
    def gateway(self) -> str | None:
        """The neighbour that the container's default route names."""
        return next((r.gateway for r in self.inside.routes if r.destination == "default"), None)


def wiring(snapshot: Snapshot, name: str) -> Wiring | None:
    """The wiring of that container; None when it is not running."""
    container = snapshot.container(name)
    inside = snapshot.namespace(container.namespace) if container else None
    return _wired(snapshot, inside) if inside else None


def _wired(snapshot: Snapshot, inside: Namespace) -> Wiring:
    host = snapshot.root
    eth0 = next((i for i in inside.interfaces if i.kind == "veth"), None)
    if eth0 is None or eth0.peer is None or eth0.peer.namespace != host.id:
        return Wiring(inside=inside, eth0=eth0)
    end = next((i for i in host.interfaces if i.index == eth0.peer.index), None)
    bridge = host.interface(end.master) if end and end.master else None
    return Wiring(inside=inside, eth0=eth0, end=end, bridge=bridge)


def address(interface: Interface) -> IPv4Interface | None:
    """The interface's first IPv4 address with its subnet."""
    found = (a for a in interface.addresses if ":" not in a.address)
    return next((IPv4Interface(f"{a.address}/{a.prefix}") for a in found), None)


class _LacksError(Exception):
    """What a step found in place of what it looked for."""


class _Way:
    """A container's way to outside. Each step says what it found, or raises what is lacking.

    A step can count on those before it: they have set what it reads.
    """

    eth0: Interface
    end: Interface
    bridge: Interface
    mine: str  # the address in the container
    gate: str  # that of the bridge
    entry: ConntrackEntry

    def __init__(self, state: State, name: str, wired: Wiring) -> None:
        self.state, self.name, self.wired = state, name, wired
        self.host = state.snapshot.root

    def cabled(self) -> str:
        eth0, end = self.wired.eth0, self.wired.end
        if eth0 and end:
            self.eth0, self.end = eth0, end
            return f"{eth0.name} in {self.name}, {end.name} on host1"
        if eth0:
            raise _LacksError(f"{eth0.name} is in {self.name}, but its other end is not on host1")
        others = [i for i in self.wired.inside.interfaces if i.kind != "loopback"]
        if others:
            raise _LacksError(f"{others[0].name} in {self.name} is no end of a veth pair")
        at = {i.index: i for i in self.host.interfaces}
        for here in self.host.interfaces:
            there = at.get(here.peer.index) if here.peer else None
            if here.peer and here.peer.namespace == self.host.id and there:
                raise _LacksError(
                    f"{here.name} and {there.name} are a pair, and both ends are on host1; "
                    f"`ip link set NAME netns PID` moves one of them into {self.name}"
                )
        raise _LacksError(f"{self.name} holds only lo")

    def plugged(self) -> str:
        if self.wired.bridge is None:
            raise _LacksError(f"{self.end.name} is plugged into nothing: it has no master")
        self.bridge = self.wired.bridge
        dockers = {n.bridge: n.name for n in self.state.snapshot.networks if n.bridge}
        if self.bridge.name in dockers:
            raise _LacksError(
                f"{self.end.name} is a port of {self.bridge.name}, and that is Docker's network "
                f"{dockers[self.bridge.name]}; make a bridge of your own"
            )
        return f"{self.end.name} is a port of {self.bridge.name}"

    def powered(self) -> str:
        where = ((self.bridge, "on host1"), (self.end, "on host1"), (self.eth0, f"in {self.name}"))
        down = [f"{i.name} {place}" for i, place in where if not i.up]
        if down:
            raise _LacksError(f"{', '.join(down)}: down")
        return "the bridge and both ends of the cable are up"

    def addressed(self) -> str:
        mine, gate = address(self.eth0), address(self.bridge)
        if mine is None:
            raise _LacksError(f"{self.eth0.name} in {self.name} has no IPv4 address")
        if gate is None:
            raise _LacksError(
                f"{self.eth0.name} has {mine}; {self.bridge.name} has no IPv4 address"
            )
        for interface, its in ((self.eth0, mine), (self.bridge, gate)):
            if its.network.prefixlen == 32:
                raise _LacksError(
                    f"{interface.name} has {its}, a subnet of one address: it has no neighbours; "
                    "give the length, such as /24, with the address"
                )
        if mine.network != gate.network:
            raise _LacksError(
                f"{self.eth0.name} has {mine}, {self.bridge.name} has {gate}: "
                "they are in different subnets"
            )
        if mine.ip == gate.ip:
            raise _LacksError(f"{self.eth0.name} and {self.bridge.name} both have {mine.ip}")
        for other in self.host.interfaces:
            has = address(other)
            if other.name != self.bridge.name and has and has.network.overlaps(gate.network):
                raise _LacksError(f"{gate.network} is behind {other.name} already: host1 has {has}")
        self.mine, self.gate = str(mine.ip), str(gate.ip)
        return f"{self.eth0.name} has {mine}, {self.bridge.name} has {gate}"

    def routed(self) -> str:
        if not any(r.destination == "default" for r in self.wired.inside.routes):
            raise _LacksError(f"{self.name} has no default route")
        if self.wired.gateway != self.gate:
            raise _LacksError(
                f"{self.name}'s default route names {self.wired.gateway or 'no gateway'}; its "
                f"gateway to host1 is {self.bridge.name}, {self.gate}"
            )
        return f"{self.name}'s default route is by {self.gate}"

    def written(self) -> ConntrackEntry | None:
        """What host1 wrote down about the probe's ping: the newest entry of such a ping.

        An entry of ICMP is kept 30 seconds; those of earlier pings have fewer left. Only a packet
        that leaves the host is written down: one that FORWARD drops is not.
        """
        asks = (self.mine, OUTSIDE)
        entries = [
            e
            for e in self.host.conntrack
            if e.protocol == "icmp" and (e.original.source, e.original.destination) == asks
        ]
        newest = max(entries, key=lambda e: (e.timeout, e.snat, e.seen_reply), default=None)
        return newest if newest and newest.timeout >= 25 else None

    def forwarded(self) -> str:
        if not self.state.answers("forwarding"):
            raise _LacksError(
                "host1 forwards nothing at all: net.ipv4.ip_forward is 0; "
                "`sysctl -w net.ipv4.ip_forward=1` puts it back"
            )
        entry = self.written()
        if entry is None:
            raise _LacksError(
                f"the ping comes to host1 by {self.bridge.name} and does not leave it: no rule in "
                "FORWARD accepts it"
            )
        self.entry = entry
        return f"what comes from {self.bridge.name} may pass host1"

    def known(self) -> str:
        entry = self.entry
        if entry.reply.destination == "192.168.56.11":
            return "outside sees 192.168.56.11, host1's address"
        if entry.reply.destination != entry.original.source:
            raise _LacksError(
                f"the source is rewritten to {entry.reply.destination}; that is not host1's "
                "address on the LAN"
            )
        rules = self.host.rules("nat", "POSTROUTING")
        yours = [r.spec for r in rules if "172.17.0.0/16" not in r.spec]
        seen = f"outside sees {entry.original.source}, and its answer finds no way back"
        if yours:
            seen += f"; your rule `{yours[-1]}` does not match"
        raise _LacksError(seen)

    def answered(self) -> str:
        if not self.entry.seen_reply:
            raise _LacksError("the ping leaves with host1's address, and outside does not answer")
        if not self.state.answers("ping"):
            raise _LacksError(
                "the answer comes back to host1 and ends there: no rule in FORWARD accepts what "
                f"goes out by {self.bridge.name}"
            )
        return f"what belongs to a connection may go back by {self.bridge.name}"


STEPS: dict[str, Callable[[_Way], str]] = {
    "a cable": _Way.cabled,
    "a bridge": _Way.plugged,
    "power": _Way.powered,
    "addresses": _Way.addressed,
    "a default route": _Way.routed,
    "requests may pass": _Way.forwarded,
    "a source that outside knows": _Way.known,
    "answers may pass": _Way.answered,
}


def _ladder(done: list[str], lacks: str = "") -> str:
    """One line for each step: those that are done, the one that lacks something, the others."""
    left = list(STEPS)[len(done) :]
    lines = [f"✓ {step}" for step in done] + [f"○ {title}" for title in left]
    if left:
        lines[len(done)] += f": {lacks}"
    return "\n".join(lines)


def judge(state: State, name: str) -> Verdict:
    """How far that container is on the way from only lo to an answer from outside."""
    container = state.running(name, "it is to run on the network none")
    if container.mode != "none":
        return not_yet(
            f"{name} is on the network {container.mode}: Docker has built that one; "
            f"`docker rm -f {name}` and run it with --network none"
        )
    way = _Way(state, name, _wired(state.snapshot, state.inside(container)))
    done: list[str] = []
    for title, step in STEPS.items():
        try:
            done.append(f"{title}: {step(way)}")
        except _LacksError as lacks:
            steps = f"step {len(done) + 1} of {len(STEPS)} comes next\n{_ladder(done, str(lacks))}"
            return not_yet(steps) if done else missing(steps)
    page = state.probes["page"].text.strip()
    if page != "hello, 192.168.56.11":
        return not_yet(
            f"ping works, but `curl outside` in {name} got {page or 'no answer'!r}; do your rules "
            "name a protocol?"
        )
    return correct(f"outside answers {name}: {page}\n{_ladder(done)}")


def check_build(state: State) -> Verdict:
    """``alone`` must reach outside over a bridge that Docker did not make."""
    return judge(state, "alone")


def check_again(state: State) -> Verdict:
    """``second`` too, over a bridge and a subnet of its own."""
    first, own = (wiring(state.snapshot, name) for name in ("alone", "second"))
    if first and own and own.end and own.bridge and own.bridge == first.bridge:
        return not_yet(
            f"{own.end.name}, second's cable, is a port of {own.bridge.name}, as alone's is; make "
            "a second bridge"
        )
    return judge(state, "second")


def _probes(name: str) -> dict[str, Probe]:
    return {
        "ping": Probe(node="host1", command=f"docker exec {name} ping -c 1 -W 1 {OUTSIDE}"),
        "page": Probe(node="host1", command=f"docker exec {name} curl -s -m 1 {OUTSIDE}"),
        "forwarding": Probe(node="host1", command="grep -q 1 /proc/sys/net/ipv4/ip_forward"),
    }


_SCRIPT = """\
pid=$(docker inspect -f '{{{{.State.Pid}}}}' {name})

ip link add {end} type veth peer name {inner}
ip link set {inner} netns $pid
nsenter -t $pid -n ip link set {inner} name eth0

ip link add {bridge} type bridge
ip link set {end} master {bridge}

ip link set {bridge} up
ip link set {end} up
nsenter -t $pid -n ip link set eth0 up

ip address add {subnet}.1/24 dev {bridge}
nsenter -t $pid -n ip address add {subnet}.2/24 dev eth0
nsenter -t $pid -n ip route add default via {subnet}.1

iptables -A FORWARD -i {bridge} ! -o {bridge} -j ACCEPT
iptables -t nat -A POSTROUTING -s {subnet}.0/24 ! -o {bridge} -j MASQUERADE
iptables -A FORWARD -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"""

build = Exercise(
    "a network by hand",
    "Give `alone` a network, step by step, without a docker network command: in the end "
    "`docker exec alone curl outside` must answer with host1's address. Check after each step: "
    "the answer lists what is there and what comes next.",
    check_build,
    (
        "the sections below take the eight steps one by one; run their cells in order",
        "after a mistake, `ip link del cable0` removes both ends of the cable, `ip link del hand0` "
        "the bridge, and `iptables -D` with the text of a rule that rule",
    ),
    _SCRIPT.format(name="alone", end="cable0", inner="inner", bridge="hand0", subnet="10.77.0"),
    probes=_probes("alone"),
)

again = Exercise(
    "once more, on your own",
    "Start a container named `second` from `nginx` on the network `none`. Give it a bridge of "
    "your own and a subnet of your own, so not hand0 and not 10.77.0.0/24. In the end "
    "`docker exec second curl outside` must answer with host1's address.",
    check_again,
    (
        "the steps are the same; with other names for the cable and the bridge, and another "
        "subnet, such as 10.78.0.0/24",
        "the rules name the bridge and the subnet, so this bridge needs three rules of its own",
        "the commands of alone's cells, with cable1 for cable0, hand1 for hand0 and 10.78 for "
        "10.77; `pid` is the process id of second",
    ),
    "docker run -d --name second --network none nginx\n"
    + _SCRIPT.format(name="second", end="cable1", inner="inner", bridge="hand1", subnet="10.78.0"),
    probes=_probes("second"),
)

progress = Progress(
    "07 none, and a network by hand",
    only_lo,
    without_route,
    how_far,
    answered,
    after_restart,
    build,
    again,
)
