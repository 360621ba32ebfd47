"""The predictions and exercises of notebook 02: bridges of your own, and the walls between them."""

from __future__ import annotations

from labkit.exercises.exercise import Exercise
from labkit.exercises.prediction import Prediction
from labkit.exercises.progress import Progress
from labkit.exercises.state import Probe, State
from labkit.exercises.verdict import Verdict, correct, missing, not_yet
from labkit.model.snapshot import Container, Endpoint, Network

created = Prediction(
    "what docker network create makes",
    "`docker network create front`: which of these will host1 have that it has not now?",
    ("an interface", "a route", "rules in iptables", "a process"),
    many=True,
    because={
        "an interface": "The network's switch is a bridge, and a bridge is an interface.",
        "a route": "host1 has an address in the new subnet, and with it a route to it.",
        "rules in iptables": "FORWARD drops what no rule accepts: each network needs its own.",
        "a process": "The kernel does the work. Docker sets it up and is not in the way.",
    },
)

connected = Prediction(
    "a second network for web",
    "web is running, on the network front. What will `docker network connect back web` do to it?",
    ("nothing, until it is restarted", "its eth0 moves to back", "it gets an eth1 beside its eth0"),
    because={
        "nothing, until it is restarted": "A veth can be moved into a namespace at any time.",
        "its eth0 moves to back": "Each network that a container joins is one more cable.",
    },
)

across = Prediction(
    "who answers across two bridges",
    "web is on front, db is on back. Which of these will answer web?",
    ("db, at its address", "host1, at br-back's address", "outside"),
    many=True,
    because={
        "db, at its address": "host1 has a route to both bridges, but Docker's rules drop what "
        "goes from one bridge to another.",
        "host1, at br-back's address": "That is an address of host1 itself: the packet ends there, "
        "is not forwarded, and meets no rule for what is forwarded.",
        "outside": "The rules between bridges are about bridges; the way out is not one.",
    },
)

sealed = Prediction(
    "who answers on an internal network",
    "safe is on a network made with --internal. Which of these will answer it?",
    ("a container beside it", "host1, at the bridge's address", "outside"),
    many=True,
    because={
        "a container beside it": "Inside, an internal network is like any other.",
        "host1, at the bridge's address": "The bridge is an interface of host1, here too.",
        "outside": "It has no default route, and rules that drop whatever comes in or goes out.",
    },
)

apart = Prediction(
    "who answers with icc=false",
    "red and blue are on a network made with enable_icc=false. Which of these will answer red?",
    ("blue", "host1, at the bridge's address", "outside"),
    many=True,
    because={
        "blue": "The option is the rule for what comes in by the bridge and goes out by it: DROP.",
        "host1, at the bridge's address": "What ends at host1 is not forwarded.",
        "outside": "What goes out by another interface has a rule of its own: ACCEPT.",
    },
)

refused = Prediction(
    "an address on request",
    "front was made without --subnet and got 172.19.0.0/16. "
    "What will `docker run --network front --ip 172.19.0.50` do?",
    ("the container gets that address", "the engine refuses"),
    because={
        "the container gets that address": "The engine chose that subnet, and could choose another "
        "one next time; it keeps fixed addresses for subnets that you chose.",
    },
)

families = Prediction(
    "addresses on an IPv6 network",
    "six is made with --ipv6 --subnet fd00:6::/64. Which addresses will its containers get?",
    ("IPv4 only", "IPv6 only", "both"),
    because={
        "IPv4 only": "--ipv6 is what switches IPv6 on.",
        "IPv6 only": "--ipv6 adds; the engine still chooses an IPv4 subnet too.",
    },
)


def check_back_room(state: State) -> Verdict:
    """``shop`` must reach ``till`` by name, and outside; ``till`` must not reach outside."""
    if not state.exists("shop") and not state.exists("till"):
        return missing("there is neither a container named shop nor one named till on host1")
    again = "remove it, then try again"
    shop, till = (state.running(n, "", again, "one of two is there; ") for n in ("shop", "till"))
    shared = {e.network for e in shop.endpoints} & {e.network for e in till.endpoints}
    if not shared:
        return not_yet(
            f"shop is on {shop.where}, till is on {till.where}: they have no network in common"
        )
    if not state.answers("shop to till"):
        if shared == {"bridge"}:
            return not_yet(
                "shop and till share only the default bridge, where containers have no names"
            )
        return not_yet(
            f"shop and till share {' and '.join(sorted(shared))}, but shop gets no answer from the "
            "name till; were they kept apart by an option of the network, or by a rule?"
        )
    if state.answers("till to outside"):
        internal = {n.name for n in state.snapshot.networks if n.internal}
        ways = [e.network for e in till.endpoints if e.network not in internal]
        return not_yet(
            f"shop reaches till, but till reaches outside: by {' or '.join(ways)}, which is not "
            "internal"
        )
    if not state.answers("shop to outside"):
        return not_yet(
            f"till can't reach outside, but shop can't either: it is on {shop.where} only; connect "
            "it to one more network"
        )
    return correct(
        f"shop (on {shop.where}) reaches till by its name, and outside; till (on {till.where}) "
        "does not reach outside"
    )


def _ping(name: str, target: str) -> Probe:
    return Probe(node="host1", command=f"docker exec {name} ping -c 1 -W 1 {target}")


back_room = Exercise(
    "a back room",
    "On host1, run two containers from `nginx`: `shop` and `till`. shop must reach till by its "
    "name, and shop must reach outside (203.0.113.10). till must not reach outside.",
    check_back_room,
    (
        "till needs a network with no way out; shop needs that one, and one with a way out",
        "`docker network create --internal NAME` makes the first; "
        "`docker network connect NAME shop` is a second cable for shop",
    ),
    """\
docker network create --internal backroom
docker network create street
docker run -d --name till --network backroom nginx
docker run -d --name shop --network street nginx
docker network connect backroom shop""",
    probes={
        "shop to till": _ping("shop", "till"),
        "shop to outside": _ping("shop", "203.0.113.10"),
        "till to outside": _ping("till", "203.0.113.10"),
    },
)

SUBNET, GATEWAY, PRINTER = "10.20.30.0/24", "10.20.30.254", "10.20.30.9"


def _misplaced(state: State, office: Network) -> str | None:
    """What of the network ``office`` is not as the plan says, in words."""
    if office.bridge is None:
        return f"office has the driver {office.driver}; the plan asks for a bridge network"
    found = ", ".join(s.subnet for s in office.subnets if ":" not in s.subnet)
    if found != SUBNET:
        return (
            f"office has the subnet {found}; the plan says {SUBNET}. A network's subnet can't be "
            "changed: `docker network rm office`, then make it again"
        )
    bridge = state.snapshot.root.interface(office.bridge)
    addresses = [a.address for a in bridge.addresses if ":" not in a.address] if bridge else []
    if addresses != [GATEWAY]:
        there = " and ".join(addresses) or "no IPv4 address"
        return (
            f"office's bridge {office.bridge} has {there}; the plan says {GATEWAY}, which "
            "is for --gateway when the network is made"
        )
    return None


def _unplugged(printer: Container, endpoint: Endpoint | None) -> str | None:
    """What of the container ``printer`` is not as the plan says, in words."""
    if endpoint is None:
        return f"printer runs, but on {printer.where}; the plan puts it on office"
    if endpoint.address != PRINTER:
        return (
            f"printer has the address {endpoint.address} on office; the plan says {PRINTER}, "
            "which is for --ip"
        )
    return None


def check_plan(state: State) -> Verdict:
    """``office`` and ``printer`` must have the addresses of the plan, and packets must use them."""
    printer = state.container("printer")
    office = state.snapshot.network("office")
    if office is None:
        if printer is None:
            return missing("there is no network named office on host1")
        return not_yet(f"printer runs on {printer.where}, but there is no network named office")
    if wrong := _misplaced(state, office):
        return not_yet(wrong)
    again = "`docker rm printer`, then try again"
    printer = state.running("printer", mend=again, so_far="office is as planned; ")
    if wrong := _unplugged(printer, printer.endpoint("office")):
        return not_yet(wrong)
    ways = [r.gateway for r in state.inside(printer).routes if r.destination == "default"]
    if ways != [GATEWAY]:
        return not_yet(
            f"printer has its address, but its default route is via {' and '.join(map(str, ways))} "
            f"and not via {GATEWAY}; it is on {printer.where}"
        )
    if not state.answers("host1 to printer"):
        return not_yet(f"all addresses are as planned, but host1 gets no answer from {PRINTER}")
    return correct(
        f"printer answers at {PRINTER}, and its default route is via {GATEWAY}, the address of "
        "office's bridge"
    )


plan = Exercise(
    "an address plan",
    "The plan says: the network `office` is 10.20.30.0/24, its gateway has the *last* address that "
    "a computer can have there, and the container `printer` (from `nginx`) is at 10.20.30.9. "
    "Make it so on host1.",
    check_plan,
    (
        "in 10.20.30.0/24 the last address is 10.20.30.255, and it is the broadcast address; the "
        "one before is the last for a computer",
        "`docker network create` takes --subnet and --gateway, `docker run` takes --ip",
    ),
    """\
docker network create --subnet 10.20.30.0/24 --gateway 10.20.30.254 office
docker run -d --name printer --network office --ip 10.20.30.9 nginx""",
    probes={"host1 to printer": Probe(node="host1", command=f"ping -c 1 -W 1 {PRINTER}")},
)

progress = Progress(
    "02 networks of your own",
    created,
    connected,
    across,
    sealed,
    apart,
    refused,
    families,
    back_room,
    plan,
)
