"""The predictions and exercises of notebook 01: docker0, its ports and its rules."""

from __future__ import annotations

from labkit.exercises.exercise import Exercise
from labkit.exercises.prediction import Prediction
from labkit.exercises.progress import Progress
from labkit.exercises.state import Probe, State
from labkit.exercises.verdict import Unmet, Verdict, correct, missing, not_yet
from labkit.model.snapshot import Container, Interface

empty_bridge = Prediction(
    "docker0 before any container",
    "No container has run on host1 yet. What is there of docker0?",
    ("it does not exist", "it exists, without carrier", "it exists, with carrier"),
    because={
        "it does not exist": "Docker makes docker0 when the engine starts, and keeps it.",
        "it exists, with carrier": "A bridge has carrier when one of its ports has: there is none.",
    },
)

new_interfaces = Prediction(
    "interfaces from one docker run",
    "How many interfaces will host1's own namespace have more after one `docker run`?",
    ("0", "1", "2"),
    because={
        "0": "The container needs a cable, and one end of it stays with the host.",
        "2": "Two are made, a pair; one of them moves into the container and leaves host1's list.",
    },
)

first_address = Prediction(
    "the first container's address",
    "docker0 has the address 172.17.0.1/16. Which address will the first container get?",
)

neighbours = Prediction(
    "who answers left",
    "Which of these will answer when the container left asks them?",
    ("right, by its address", "host1, by docker0's address", "right, by its name"),
    many=True,
    because={
        "right, by its address": "Both are ports of one bridge: that is one Ethernet.",
        "host1, by docker0's address": "docker0 is an interface of host1 on that same Ethernet.",
        "right, by its name": "On the default bridge Docker tells no container the others' names.",
    },
)


def _host_end(state: State, container: Container) -> Interface | None:
    """The end, on the host, of the cable of that container's eth0."""
    eth0 = state.inside(container).interface("eth0")
    if eth0 is None or eth0.peer is None:
        return None
    return next((i for i in state.snapshot.root.interfaces if i.index == eth0.peer.index), None)


def _both(state: State) -> tuple[Container, Container]:
    if not state.container("left") and not state.container("right"):
        raise Unmet(missing("neither left nor right is running on host1; start them as above"))
    so_far = "the task leaves both containers running; "
    left, right = (state.running(n, "run it as above", "", so_far) for n in ("left", "right"))
    return left, right


def check_unplug(state: State) -> Verdict:
    """Left's cable must be out of docker0, right's must be in."""
    both = _both(state)
    for container in both:
        if not container.endpoints:
            return not_yet(
                f"{container.name} is on no network: Docker took its cable away. Connect it again "
                f"with `docker network connect bridge {container.name}`; the task is done "
                "without docker"
            )
    left, right = (_host_end(state, container) for container in both)
    if left is None:
        return not_yet(
            "left has no cable any more: its eth0, or that cable's end on host1, is gone. "
            "`docker restart left` makes a new one; unplug it without deleting it"
        )
    if right is None:
        return not_yet("right has no cable any more; `docker restart right` makes a new one")
    if left.master and right.master and left.up and right.up:
        return missing("both cables are still plugged into docker0")
    if left.master and not left.up:
        return not_yet(
            f"{left.name} is down, and still a port of {left.master}: that is a cable with the "
            f"power cut, not an unplugged one; `ip link set {left.name} up`, then take it out"
        )
    if left.master and not right.master:
        return not_yet(
            f"{right.name} is unplugged, and that is right's cable: right's eth0 names "
            f"{right.index} as its other end; put it back with "
            f"`ip link set {right.name} master docker0`"
        )
    if left.master:
        return not_yet(f"{right.name} is down; that is right's cable, and the task leaves it alone")
    if not right.master or not right.up:
        return not_yet(
            f"left's cable {left.name} is out, and right's {right.name} is out or down too; "
            f"`ip link set {right.name} up master docker0` puts it back"
        )
    return correct(
        f"{left.name}, the other end of left's eth0, is no port of any bridge now; "
        f"right's {right.name} still is one of {right.master}"
    )


unplug = Exercise(
    "pull one cable",
    "Unplug the container `left` from docker0, from host1's side and without a docker "
    "command: its cable must be no port of docker0 any more. Leave `right` plugged in.",
    check_unplug,
    (
        "eth0@ifN inside left: N is the index of the other end, in host1's list of interfaces",
        "`ip link set NAME nomaster` takes an interface out of its bridge",
        "`docker exec left cat /sys/class/net/eth0/iflink` prints N; `ip -brief link` on host1 "
        "names the interfaces, and `ip link` shows their indices",
    ),
    """\
index=$(docker exec left cat /sys/class/net/eth0/iflink)
name=$(ip -o link | awk -F'[:@ ]+' -v i="$index" '$1 == i { print $2 }')
ip link set "$name" nomaster""",
)


def check_silence(state: State) -> Verdict:
    """Left must not reach right; all else must still work."""
    left = _host_end(state, _both(state)[0])
    if left is None or left.master is None or not left.up:
        return not_yet(
            "left has no cable in docker0, so it reaches nobody at all; plug it in again with "
            "`ip link set NAME up master docker0` (its name: see the exercise before)"
        )
    if not state.answers("host to right"):
        return not_yet("host1 itself can't reach right any more; stop only what containers send")
    if not state.answers("left to host"):
        return not_yet(
            "left can't reach docker0's address any more; stop only container to container"
        )
    if not state.answers("left to outside"):
        return not_yet(
            "left can't reach outside any more: what you stop comes in from docker0 and goes out "
            "anywhere; name docker0 as the way out as well"
        )
    if state.answers("left to right"):
        if state.snapshot.root.rules("filter", "INPUT"):
            return not_yet(
                "right still answers left; there is a rule in INPUT, but what goes from one port "
                "of the bridge to another is forwarded and passes FORWARD"
            )
        return missing("right still answers left")
    return correct("left can't reach right; host1 and outside still can be reached")


def _ping(name: str, address: str) -> Probe:
    return Probe(node="host1", command=f"docker exec {name} ping -c 1 -W 1 {address}")


silence = Exercise(
    "no talk between containers",
    "Do by hand what `enable_icc=false` would do: with one iptables rule on host1, stop "
    "every packet from container to container on docker0. Containers must still reach host1 and "
    "outside.",
    check_silence,
    (
        "the rule for this traffic is in FORWARD: in from docker0, out to docker0",
        "DOCKER-USER is the chain for your own rules, and it comes first: `-I DOCKER-USER` puts a "
        "rule at its head; -i names the way in, -o the way out, -j DROP drops",
    ),
    "iptables -I DOCKER-USER -i docker0 -o docker0 -j DROP",
    probes={
        "left to right": Probe(
            node="host1",
            command="docker exec left ping -c 1 -W 1 "
            "$(docker inspect -f '{{.NetworkSettings.Networks.bridge.IPAddress}}' right)",
        ),
        "left to host": _ping("left", "172.17.0.1"),
        "left to outside": _ping("left", "203.0.113.10"),
        "host to right": Probe(
            node="host1",
            command="ping -c 1 -W 1 "
            "$(docker inspect -f '{{.NetworkSettings.Networks.bridge.IPAddress}}' right)",
        ),
    },
)

progress = Progress(
    "01 the default bridge",
    empty_bridge,
    new_interfaces,
    first_address,
    neighbours,
    unplug,
    silence,
)
