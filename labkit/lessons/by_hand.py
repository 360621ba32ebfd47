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
    container, host = snapshot.container(name), snapshot.root
    inside = snapshot.namespace(container.namespace) if container else None
    if inside is None:
        return None
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


# Each step says what it found, or raises what is lacking. A step can count on those before it.


def _cable(state: State, name: str, w: Wiring) -> str:
    host = state.snapshot.root
    if w.eth0 and w.end:
        return f"{w.eth0.name} in {name}, {w.end.name} on host1"
    if w.eth0:
        raise _LacksError(f"{w.eth0.name} is in {name}, but its other end is not on host1")
    others = [i for i in w.inside.interfaces if i.kind != "loopback"]
    if others:
        raise _LacksError(f"{others[0].name} in {name} is no end of a veth pair")
    for end in host.interfaces:
        other = next((i for i in host.interfaces if end.peer and i.index == end.peer.index), None)
        if end.kind == "veth" and end.peer.namespace == host.id and other:
            raise _LacksError(
                f"{end.name} and {other.name} are a pair, and both ends are on host1; "
                f"`ip link set NAME netns PID` moves one of them into {name}"
            )
    raise _LacksError(f"{name} holds only lo")


def _bridge(state: State, name: str, w: Wiring) -> str:
    if w.bridge is None:
        raise _LacksError(f"{w.end.name} is plugged into nothing: it has no master")
    dockers = {n.bridge: n.name for n in state.snapshot.networks if n.bridge}
    if w.bridge.name in dockers:
        raise _LacksError(
            f"{w.end.name} is a port of {w.bridge.name}, and that is Docker's network "
            f"{dockers[w.bridge.name]}; make a bridge of your own"
        )
    return f"{w.end.name} is a port of {w.bridge.name}"


def _power(state: State, name: str, w: Wiring) -> str:
    where = ((w.bridge, "on host1"), (w.end, "on host1"), (w.eth0, f"in {name}"))
    down = [f"{i.name} {place}" for i, place in where if not i.up]
    if down:
        raise _LacksError(f"{', '.join(down)}: down")
    return "the bridge and both ends of the cable are up"


def _addresses(state: State, name: str, w: Wiring) -> str:
    mine, gate = address(w.eth0), address(w.bridge)
    if mine is None:
        raise _LacksError(f"{w.eth0.name} in {name} has no IPv4 address")
    if gate is None:
        raise _LacksError(f"{w.eth0.name} has {mine}; {w.bridge.name} has no IPv4 address")
    for interface, its in ((w.eth0, mine), (w.bridge, gate)):
        if its.network.prefixlen == 32:
            raise _LacksError(
                f"{interface.name} has {its}, a subnet of one address: it has no neighbours; "
                "give the length, such as /24, with the address"
            )
    if mine.network != gate.network:
        raise _LacksError(
            f"{w.eth0.name} has {mine}, {w.bridge.name} has {gate}: they are in different subnets"
        )
    if mine.ip == gate.ip:
        raise _LacksError(f"{w.eth0.name} and {w.bridge.name} both have {mine.ip}")
    for other in state.snapshot.root.interfaces:
        its = address(other)
        if other.name != w.bridge.name and its and its.network.overlaps(gate.network):
            raise _LacksError(f"{gate.network} is behind {other.name} already: host1 has {its}")
    return f"{w.eth0.name} has {mine}, {w.bridge.name} has {gate}"


def _route(state: State, name: str, w: Wiring) -> str:
    gate = str(address(w.bridge).ip)
    if not any(r.destination == "default" for r in w.inside.routes):
        raise _LacksError(f"{name} has no default route")
    if w.gateway != gate:
        raise _LacksError(
            f"{name}'s default route names {w.gateway or 'no gateway'}; its gateway to host1 is "
            f"{w.bridge.name}, {gate}"
        )
    return f"{name}'s default route is by {gate}"


def _entry(state: State, w: Wiring) -> ConntrackEntry | None:
    """What host1 wrote down about the probe's ping: the newest entry of such a ping.

    An entry of ICMP is kept 30 seconds; those of earlier pings have fewer left. Only a packet that
    leaves the host is written down: one that FORWARD drops is not.
    """
    asks = (str(address(w.eth0).ip), OUTSIDE)
    entries = [
        e
        for e in state.snapshot.root.conntrack
        if e.protocol == "icmp" and (e.original.source, e.original.destination) == asks
    ]
    newest = max(entries, key=lambda e: (e.timeout, e.snat, e.seen_reply), default=None)
    return newest if newest and newest.timeout >= 25 else None


def _forward(state: State, name: str, w: Wiring) -> str:
    if not state.answers("forwarding"):
        raise _LacksError(
            "host1 forwards nothing at all: net.ipv4.ip_forward is 0; "
            "`sysctl -w net.ipv4.ip_forward=1` puts it back"
        )
    if _entry(state, w) is None:
        raise _LacksError(
            f"the ping comes to host1 by {w.bridge.name} and does not leave it: no rule in FORWARD "
            "accepts it"
        )
    return f"what comes from {w.bridge.name} may pass host1"


def _source(state: State, name: str, w: Wiring) -> str:
    entry = _entry(state, w)
    if entry.reply.destination == "192.168.56.11":
        return "outside sees 192.168.56.11, host1's address"
    if entry.reply.destination != entry.original.source:
        raise _LacksError(
            f"the source is rewritten to {entry.reply.destination}; that is not host1's address "
            "on the LAN"
        )
    rules = [
        r.spec
        for c in state.snapshot.root.chains
        if (c.table, c.name) == ("nat", "POSTROUTING")
        for r in c.rules
        if "172.17.0.0/16" not in r.spec
    ]
    seen = f"outside sees {entry.original.source}, and its answer finds no way back"
    if rules:
        seen += f"; your rule `{rules[-1]}` does not match"
    raise _LacksError(seen)


def _answers(state: State, name: str, w: Wiring) -> str:
    if not _entry(state, w).seen_reply:
        raise _LacksError("the ping leaves with host1's address, and outside does not answer")
    if not state.answers("ping"):
        raise _LacksError(
            "the answer comes back to host1 and ends there: no rule in FORWARD accepts what goes "
            f"out by {w.bridge.name}"
        )
    return f"what belongs to a connection may go back by {w.bridge.name}"


STEPS: dict[str, Callable[[State, str, Wiring], str]] = {
    "a cable": _cable,
    "a bridge": _bridge,
    "power": _power,
    "addresses": _addresses,
    "a default route": _route,
    "requests may pass": _forward,
    "a source that outside knows": _source,
    "answers may pass": _answers,
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
    container = state.container(name)
    if container is None:
        if name in state.stopped:
            return not_yet(
                f"{name} exists and is not running (its status is {state.stopped[name]}); "
                f"`docker start {name}`"
            )
        return missing(
            f"there is no container named {name} on host1; it is to run on the network none"
        )
    if container.network_mode != "none":
        mode = "bridge" if container.network_mode == "default" else container.network_mode
        return not_yet(
            f"{name} is on the network {mode}: Docker has built that one; `docker rm -f {name}` "
            "and run it with --network none"
        )
    wired = wiring(state.snapshot, name)
    done: list[str] = []
    for title, step in STEPS.items():
        try:
            done.append(f"{title}: {step(state, name, wired)}")
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
    if first and own and own.bridge and own.bridge == first.bridge:
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
