"""The predictions and exercises of notebook 10: one network across two hosts."""

from __future__ import annotations

from labkit.exercises.exercise import Exercise
from labkit.exercises.prediction import Prediction
from labkit.exercises.progress import Progress
from labkit.exercises.state import Probe, State
from labkit.exercises.verdict import Verdict, correct, missing, not_yet

swarm_networks = Prediction(
    "networks from docker swarm init",
    "Which networks will `docker network ls` have more after `docker swarm init`?",
    ("docker_gwbridge, a bridge", "ingress, an overlay", "default, an overlay for containers"),
    many=True,
    because={
        "docker_gwbridge, a bridge": "An overlay is a network without a way out; docker_gwbridge "
        "is the way out.",
        "ingress, an overlay": "ingress carries what arrives at a service's published port.",
        "default, an overlay for containers": "Overlays for containers are yours to create.",
    },
)

lan_sees = Prediction(
    "what a ping is on the LAN",
    "near on host1 pings far on host2. What does a computer on the LAN see go by?",
    (
        "ICMP from near's address to far's",
        "ICMP from host1's address to host2's",
        "UDP from host1's address to host2's",
    ),
    because={
        "ICMP from near's address to far's": "The LAN knows nothing of the overlay's addresses.",
        "ICMP from host1's address to host2's": "That would be NAT; here nothing is rewritten, "
        "the whole frame is packed into another one.",
        "UDP from host1's address to host2's": "VXLAN is a frame inside a UDP packet from host to "
        "host.",
    },
)

arp_frames = Prediction(
    "ARP across the LAN",
    "It was near's very first packet to far, so near asked by ARP for far's MAC address. How many "
    "of the captured frames carry ARP?",
    ("0", "2"),
    because={
        "2": "On an Ethernet question and answer would go by; here host1 knew, and answered itself."
    },
)

way_out = Prediction(
    "the way to outside",
    "near has eth0 on the overlay and eth1 on docker_gwbridge. It asks `outside`. By which "
    "interface does the request leave near?",
    ("eth0", "eth1"),
    because={"eth0": "eth0 leads to the subnet of the overlay; the default route is eth1's."},
)

mtu = Prediction(
    "the overlay's MTU",
    "The LAN takes packets of 1500 bytes. What is the MTU of near's eth0?",
    ("1550", "1500", "1450"),
    because={
        "1550": "What goes in must be smaller than what carries it.",
        "1500": "A full packet of 1500 bytes would be too big once it is packed.",
    },
)

loss = Prediction(
    "a host is lost",
    "web has one task on host1 and one on host2. host2's engine ends. Where will web's tasks run?",
    (
        "one on host1, nothing else",
        "two on host1",
        "none: the service ends",
    ),
    because={
        "one on host1, nothing else": "Two were asked for, and the manager keeps it so.",
        "none: the service ends": "The manager is on host1, and lives.",
    },
)

comes_back = Prediction(
    "the host comes back",
    "host2's engine starts again. What happens to web's two tasks?",
    ("one moves back to host2", "both stay on host1"),
    because={
        "one moves back to host2": "Swarm does not stop a task that runs well to spread the load."
    },
)

# A task that waits for its turn has the desired state "ready".
RUNNING = (
    "--filter desired-state=running --filter desired-state=ready "
    "--format '{{.Node}} {{.CurrentState}}'"
)


def _tasks(state: State) -> list[tuple[str, str]]:
    """The tasks that should run: for each its node and the first word of its state."""
    lines = state.probes["tasks"].text.splitlines()
    return [(words[0], words[1]) for words in map(str.split, lines) if len(words) > 1]


def _no_manager(state: State) -> Verdict | None:
    if state.answers("nodes"):
        return None
    return missing("host1 is not a manager of a Swarm; go through the sections above first")


def _nodes(state: State) -> dict[str, tuple[str, str]]:
    """Each node's status and availability, as ``docker node ls`` has them."""
    lines = state.probes["nodes"].text.splitlines()
    return {w[0]: (w[1].lower(), w[2].lower()) for w in map(str.split, lines) if len(w) > 2}


def _lame(state: State) -> Verdict | None:
    """A node that can't take tasks."""
    nodes = _nodes(state)
    if "host2" not in nodes:
        return not_yet("host2 is not in this Swarm; `docker swarm join` on host2, as above")
    for name, (status, availability) in nodes.items():
        if status != "ready":
            return not_yet(
                f"{name} is {status}, so no task can run there; `service docker start` on {name}, "
                "and it is ready a moment later"
            )
        if availability != "active":
            return not_yet(
                f"{name}'s availability is {availability}: it takes no tasks; "
                f"`docker node update --availability active {name}`"
            )
    return None


def check_spread(state: State) -> Verdict:
    """One task of ``web`` must run on each host."""
    if stop := _no_manager(state):
        return stop
    if not state.answers("tasks"):
        return missing("there is no service named web; create it as above")
    if stop := _lame(state):
        return stop
    tasks = _tasks(state)
    if moving := [(node, step) for node, step in tasks if step != "Running"]:
        node, step = moving[0]
        return not_yet(f"web is moving: a task on {node} is {step.lower()}; look again in a moment")
    places = sorted(node for node, _ in tasks)
    if places == ["host1", "host2"]:
        return correct("web has two tasks, one on host1 and one on host2")
    if places == ["host1", "host1"]:
        return missing("both tasks of web run on host1")
    if len(places) != 2:
        where = ", ".join(places) or "no host"
        return not_yet(f"web has {len(places)} tasks (on {where}); the task asks for two")
    return not_yet("both tasks of web run on host2 now; the task asks for one on each host")


NODES = Probe(
    node="host1",
    command="docker node ls --format '{{.Hostname}} {{.Status}} {{.Availability}}'",
)

spread = Exercise(
    "bring one back",
    "host2 is back, and both tasks of `web` are on host1. Without a new service, get one task on "
    "each host again; two tasks in the end, both hosts active.",
    check_spread,
    (
        "the manager places a task when it makes one: make it make tasks again",
        "`docker service update` has an option that replaces all tasks though nothing changed; "
        "`docker service scale` to 1 and back to 2 makes a new task too",
    ),
    "docker service update --force --no-resolve-image --quiet web",
    probes={
        "nodes": NODES,
        "tasks": Probe(node="host1", command=f"docker service ps web {RUNNING}"),
    },
)


def _network_wrong(state: State) -> Verdict | None:
    """What of the network depot is not as asked."""
    if not state.answers("depot"):
        return missing("there is no network named depot on host1")
    _, driver, attachable, *subnets = state.probes["depot"].text.split()
    if driver != "overlay":
        return not_yet(
            f"depot's driver is {driver}: that network ends at host1; "
            "`docker network rm depot`, then create it with --driver overlay"
        )
    if subnets != ["10.77.0.0/24"]:
        return not_yet(
            f"depot's subnet is {', '.join(subnets)}; the task asks for 10.77.0.0/24, and that is "
            "said when a network is created"
        )
    if attachable != "true":
        return not_yet(
            "depot is an overlay, but not attachable: only tasks of services may join it, and ship "
            "is a plain container; create it with --attachable"
        )
    return None


def _service_wrong(state: State) -> Verdict | None:
    """What of the service shore is not as asked."""
    if not state.answers("shore"):
        if state.container("shore"):
            return not_yet("shore is a plain container on host1; the task asks for a service")
        return not_yet("the network depot is right; there is no service named shore yet")
    _, *networks = state.probes["shore"].text.split()
    if state.probes["depot"].text.split()[0] not in networks:
        return not_yet("the service shore is not on the network depot")
    tasks = _tasks(state)
    if moving := [step for _, step in tasks if step != "Running"]:
        return not_yet(f"a task of shore is {moving[0].lower()}; look again in a moment")
    if [node for node, _ in tasks] != ["host2"]:
        where = ", ".join(node for node, _ in tasks) or "no host"
        return not_yet(
            f"shore has {len(tasks)} tasks (on {where}); the task asks for one, on host2: "
            "`--constraint node.hostname==host2`"
        )
    return None


def check_ferry(state: State) -> Verdict:
    """``ship`` on host1 must get the page of the service ``shore`` on host2 by its name."""
    if stop := _no_manager(state) or _network_wrong(state) or _service_wrong(state):
        return stop
    ship = state.running("ship", so_far="depot and shore are right; ")
    if not ship.endpoint("depot"):
        return not_yet(f"ship is on {ship.where}, not on depot")
    if not state.answers("page"):
        if state.probes["shore"].text.split()[0] != "dnsrr" and not state.answers("balances"):
            return not_yet(
                "ship finds shore's name, but gets no page: the name leads to a virtual IP, and "
                "this kernel can't serve it; create shore with --endpoint-mode dnsrr"
            )
        return not_yet("all is there, but ship gets no page at http://shore")
    return correct("ship on host1 gets the page of shore's task on host2, by name, over depot")


LONG = "early() { [ $SECONDS -lt 6 ]; }"  # bash counts the seconds since it was started

ferry = Exercise(
    "from ship to shore",
    "Make an overlay network named `depot` with the subnet 10.77.0.0/24. On it, a service named "
    "`shore`: one task of `nginx`, on host2. On host1, run a plain container named `ship` from "
    "`nginx` on the same network. ship must get shore's page at `http://shore`.",
    check_ferry,
    (
        "a plain container may join an overlay only if the network was made --attachable",
        "`--constraint node.hostname==host2` keeps a service's tasks on host2; "
        "`--endpoint-mode dnsrr` does without a virtual IP, which needs IPVS in the kernel",
        "three commands, all on host1: `docker network create`, `docker service create`, "
        "`docker run`",
    ),
    """\
docker network create --driver=overlay --attachable --subnet 10.77.0.0/24 depot
docker service create --detach --no-resolve-image --name shore --network depot \\
    --endpoint-mode dnsrr --constraint node.hostname==host2 nginx
docker run -d --name ship --network depot nginx""",
    probes={
        "nodes": NODES,
        "depot": Probe(
            node="host1",
            command="docker network inspect depot --format "
            "'{{.Id}} {{.Driver}} {{.Attachable}} {{range .IPAM.Config}}{{.Subnet}} {{end}}'",
        ),
        "shore": Probe(
            node="host1",
            command="docker service inspect shore --format '{{.Spec.EndpointSpec.Mode}} "
            "{{range .Spec.TaskTemplate.Networks}}{{.Target}} {{end}}'",
        ),
        # A task that has just been created takes about a second to run.
        "tasks": Probe(
            node="host1",
            command=f"{LONG}; while tasks=$(docker service ps shore {RUNNING}) || exit; "
            '[[ $tasks != *Running* ]] && early; do sleep 0.2; done; echo "$tasks"',
        ),
        "page": Probe(
            node="host1",
            command="docker service inspect shore && docker exec ship true || exit; "
            f"{LONG}; until docker exec ship curl -fsS -m 1 -o /dev/null http://shore; do "
            "early || exit 1; sleep 0.2; done",
        ),
        "balances": Probe(
            node="host1",
            command="ipvsadm --list && unshare --net grep 1 /proc/sys/net/ipv4/ip_forward",
        ),
    },
)

progress = Progress(
    "10 overlay",
    swarm_networks,
    lan_sees,
    arp_frames,
    way_out,
    mtu,
    loss,
    comes_back,
    spread,
    ferry,
)
