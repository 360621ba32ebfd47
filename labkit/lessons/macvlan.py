"""The predictions and exercises of notebook 09: containers that are on the LAN themselves."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from labkit.exercises.exercise import Exercise
from labkit.exercises.prediction import Prediction
from labkit.exercises.progress import Progress
from labkit.exercises.state import Probe, State
from labkit.exercises.verdict import Verdict, correct, missing, not_yet
from labkit.model.snapshot import Interface

new_interfaces = Prediction(
    "interfaces on the host",
    "own is on a macvlan network. How many interfaces will host1 itself have more?",
    ("0", "1", "2"),
    because={
        "1": "There is no cable to plug in: own's interface sits on eth0 itself.",
        "2": "No bridge is made either: the LAN is the network.",
    },
)

neighbour_mac = Prediction(
    "the MAC address on the LAN",
    "station1 pings own, and looks up own's address in its neighbour table. Whose MAC address is "
    "there?",
    ("that of own's eth0", "that of host1's eth0", "that of docker0"),
    because={
        "that of host1's eth0": "Then host1 would be a router; own is a neighbour of station1.",
        "that of docker0": "docker0 has no part in this network.",
    },
)

outside_sees = Prediction(
    "the address that outside sees",
    "own asks the web server of `outside`. Which address does the answer name?",
    ("192.168.56.11, host1's", "own's"),
    because={
        "192.168.56.11, host1's": "That is masquerading, the bridge's way; here nobody rewrites."
    },
)

reaches_own = Prediction(
    "who reaches own",
    "Nothing is published. Who gets an answer from own's web server?",
    ("station1, on the LAN", "outside, behind the router", "host1, on which own runs"),
    many=True,
    because={
        "station1, on the LAN": "own is a computer on station1's own LAN.",
        "outside, behind the router": "The router knows the way to all of the LAN.",
        "host1, on which own runs": "What host1 sends by eth0 goes out on the cable, and own is "
        "not out there.",
    },
)

shim_client = Prediction(
    "the client through the shim",
    "host1 asks own's web server by way of the shim. Which address will nginx log?",
    ("192.168.56.11, eth0's", "192.168.56.250, the shim's"),
    because={"192.168.56.11, eth0's": "A request leaves with the address of its interface."},
)

untagged = Prediction(
    "in without a tag",
    "station1 takes the address 10.10.0.50/24 on its plain eth0. Will tagged, at 10.10.0.2 on VLAN "
    "10, answer?",
    ("yes", "no"),
    because={"yes": "The same cable, but without a tag they don't reach eth0.10."},
)


def _no_lan(state: State) -> Verdict | None:
    lan = state.snapshot.network("lan")
    if lan and lan.driver == "macvlan":
        return None
    return missing("host1 has no macvlan network named lan; create it as above")


def check_printer(state: State) -> Verdict:
    """``printer`` must be on the LAN with the address and the MAC address asked for."""
    if stop := _no_lan(state):
        return stop
    printer = state.running("printer", mend="`docker rm printer`, then try again")
    own = printer.endpoint("lan")
    if own is None:
        return not_yet(f"printer is on {printer.where}; the LAN is the network lan")
    address, mac = own.address, own.mac
    if address != "192.168.56.200":
        return not_yet(f"printer's address is {address}; the task asks for 192.168.56.200")
    if mac != "02:00:00:00:00:c8":
        return not_yet(f"printer's MAC address is {mac}; the task asks for 02:00:00:00:00:c8")
    known = state.probes["station1"].text.split()
    if mac not in known:
        return not_yet(
            "printer is as asked, but station1 gets no answer from 192.168.56.200: its neighbour "
            f"table says `{' '.join(known) or 'nothing'}`"
        )
    return correct("station1's neighbour table has 192.168.56.200 at 02:00:00:00:00:c8")


printer = Exercise(
    "a printer",
    "Run a container named `printer` from `nginx` on the LAN, with the address 192.168.56.200 and "
    "the MAC address 02:00:00:00:00:c8. station1 must find it there.",
    check_printer,
    (
        "it is one `docker run` on the network lan, with two more options",
        "`docker run --help | grep -- --ip` and `… | grep mac` name them",
    ),
    "docker run -d --name printer --network lan --ip 192.168.56.200 "
    "--mac-address 02:00:00:00:00:c8 nginx",
    probes={
        "station1": Probe(
            node="station1",
            command="ping -c 1 -W 1 192.168.56.200 > /dev/null; ip neighbour show 192.168.56.200",
        )
    },
)

VLAN = ip_network("10.10.0.0/24")


def _in_vlan(interface: Interface) -> list[str]:
    return [a.address for a in interface.addresses if ip_address(a.address) in VLAN]


def _shim_wrong(shim: Interface) -> str:
    """What that macvlan interface on eth0.10 lacks."""
    if shim.mode != "bridge":
        return (
            f"{shim.name} is a macvlan on eth0.10 in mode {shim.mode}; tagged's is in mode bridge, "
            "and only in that mode two on one parent talk to each other"
        )
    if not shim.up:
        return f"{shim.name} is there and is down; `ip link set {shim.name} up`"
    if not _in_vlan(shim):
        return f"{shim.name} is there and has no address in {VLAN}"
    return f"{shim.name} is there with {_in_vlan(shim)[0]}, but tagged does not answer"


def check_vlan_shim(state: State) -> Verdict:
    """host1 must reach ``tagged`` by a macvlan interface of its own on eth0.10."""
    before = "go through the section on 802.1Q first"
    state.running("tagged", before)
    parent = state.snapshot.root.interface("eth0.10")
    if parent is None:
        return missing(f"there is no eth0.10 on host1; {before}")
    macvlans = [i for i in state.snapshot.root.interfaces if i.kind == "macvlan"]
    shims = [i for i in macvlans if i.parent == "eth0.10"]
    if shims and state.answers("tagged"):
        return correct(f"host1 reaches tagged by {shims[0].name}, a macvlan on eth0.10")
    if _in_vlan(parent):
        return not_yet(
            f"eth0.10 itself has {_in_vlan(parent)[0]}: it is the parent, and what a parent sends "
            "goes out on the cable; tagged is not out there. Take the address off again: "
            f"`ip address flush dev eth0.10`"
        )
    if shims:
        return not_yet(_shim_wrong(shims[0]))
    if wrong := [i for i in macvlans if _in_vlan(i)]:
        return not_yet(
            f"{wrong[0].name} is a macvlan on {wrong[0].parent}; tagged is on another interface, "
            "eth0.10"
        )
    return missing("host1 has no interface of its own on eth0.10 yet, and tagged does not answer")


vlan_shim = Exercise(
    "a shim for VLAN 10",
    "host1 can't reach `tagged` on VLAN 10, for the reason that you know. Mend it from host1's "
    "side, with 10.10.0.250 as host1's address in that VLAN.",
    check_vlan_shim,
    (
        "it was a macvlan interface on eth0 that led to own; what is tagged's interface on?",
        "`ip link add NAME link PARENT type macvlan mode bridge`, an address, and `up`",
    ),
    """\
ip link add shim10 link eth0.10 type macvlan mode bridge
ip address add 10.10.0.250/24 dev shim10
ip link set shim10 up""",
    probes={
        "tagged": Probe(
            node="host1",
            command="ping -c 1 -W 1 "
            "$(docker inspect -f '{{.NetworkSettings.Networks.vlan10.IPAddress}}' tagged)",
        )
    },
)

progress = Progress(
    "09 macvlan and ipvlan",
    new_interfaces,
    neighbour_mac,
    outside_sees,
    reaches_own,
    shim_client,
    untagged,
    printer,
    vlan_shim,
)
