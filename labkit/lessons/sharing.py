"""The predictions and exercises of notebook 08: containers that share one network namespace."""

from __future__ import annotations

from labkit.exercises.exercise import Exercise
from labkit.exercises.prediction import Prediction
from labkit.exercises.progress import Progress
from labkit.exercises.state import Probe, State
from labkit.exercises.verdict import Verdict, correct, missing, not_yet
from labkit.model.snapshot import Container

interfaces = Prediction(
    "interfaces of the second container",
    "web has lo and eth0, 172.17.0.2. What will `ip address show` list in side?",
    ("lo", "lo and an eth0 with 172.17.0.3", "lo and an eth0 with 172.17.0.2"),
    because={
        "lo": "That would be --network none: a namespace of its own, with nothing in it.",
        "lo and an eth0 with 172.17.0.3": "A new address comes with a new cable, and a new cable "
        "with a new namespace. side has none of them: it is in web's.",
    },
)

shared = Prediction(
    "what the two share",
    "Which of these will be the same in web and in side?",
    ("the listening sockets", "the host name", "the processes", "the files of nginx"),
    many=True,
    because={
        "the listening sockets": "Sockets belong to a network namespace, and there is one.",
        "the host name": "Docker gives side the name of web, so that it fits the address.",
        "the processes": "That is the pid namespace, another one: each has its own.",
        "the files of nginx": "That is the mount namespace, another one: each has its own root.",
    },
)

loopback = Prediction(
    "who is 127.0.0.1",
    "In side, nothing listens on port 80. `docker exec side curl http://127.0.0.1`: who answers?",
    ("nobody", "web", "host1"),
    because={
        "nobody": "nginx in web listens on port 80 of every address of this namespace, lo's too.",
        "host1": "host1's lo is in host1's namespace. Every namespace has one of its own.",
    },
)

publish = Prediction(
    "publishing a port of side",
    "`docker run -p 8080:80 --network container:web …`: what will happen?",
    ("port 8080 leads to the container", "it runs, and -p has no effect", "Docker refuses"),
    because={
        "port 8080 leads to the container": "A published port leads to an address, and the address "
        "is web's.",
        "it runs, and -p has no effect": "Docker says so before it makes the container.",
    },
)

owner_restarts = Prediction(
    "side after a restart of web",
    "`docker restart web`. What will be left of side's interfaces?",
    ("lo and eth0, as before", "lo", "side ends too"),
    because={
        "lo and eth0, as before": "web is in a new namespace now, with a new cable. side is still "
        "in the old one, and that one's cable is gone.",
        "side ends too": "The two share a network, not a fate: side's process knows nothing of it.",
    },
)


def _mode(state: State, container: Container) -> str:
    """Where a container's network comes from, in words."""
    if container.network_mode.startswith("container:"):
        owner = container.network_mode.removeprefix("container:")
        named = next((c.name for c in state.snapshot.containers if owner in (c.id, c.name)), None)
        return f"joined {named}" if named else "joined a container that is not running any more"
    return f"is on the network {container.mode}"


def check_mend(state: State) -> Verdict:
    """Side must be in web's namespace again."""
    web, side = (state.running(name, "start it as above") for name in ("web", "side"))
    if web.namespace == side.namespace:
        return correct("side and web are in one network namespace again")
    if not side.network_mode.startswith("container:"):
        return not_yet(f"side {_mode(state, side)}; the task is to have it in web's namespace")
    names = " and ".join(i.name for i in state.inside(side).interfaces)
    if _mode(state, side) != "joined web":
        return not_yet(f"side {_mode(state, side)}, and holds {names}; it is to be with web")
    return missing(f"side is still in the namespace that web has left; it holds {names}")


mend = Exercise(
    "bring side back",
    "side is still in the namespace that web has left. Bring it back: side and web must be "
    "in one network namespace again, and both must run.",
    check_mend,
    (
        "a process stays in its network namespace; which one it joins is decided at its start",
        "so start side's process again; `docker restart` does that, and -t 0 does not wait for it",
    ),
    "docker restart -t 0 side",
)

_ROLES = {
    "pod": "the one that holds the network",
    "shop": "the web server",
    "helper": "the one with the tools",
}


def check_pod(state: State) -> Verdict:
    """``shop`` and ``helper`` must be in the namespace that ``pod`` holds, and outside gets in."""
    there = [name for name in _ROLES if state.exists(name)]
    if not there:
        return missing("none of pod, shop, helper is running on host1")
    so_far = f"{there[0]} is there; "
    pod, shop, helper = (state.running(*role, so_far=so_far) for role in _ROLES.items())
    if pod.network_mode.startswith("container:"):
        return not_yet(
            f"pod {_mode(state, pod)}: so pod's network goes when that one ends; pod must have its "
            "own, and the others join it"
        )
    for member in shop, helper:
        if member.namespace == pod.namespace and _mode(state, member) == "joined pod":
            continue
        if _mode(state, member) == "joined pod":
            return not_yet(
                f"{member.name} joined pod, and pod was started again since: it is in another "
                f"namespace now; `docker restart -t 0 {member.name}`"
            )
        return not_yet(
            f"{member.name} {_mode(state, member)}; it is to join pod: --network container:pod"
        )
    if pod.image.partition(":")[0] == "nginx":
        return not_yet(
            "pod runs nginx itself; what holds the network should do nothing else, so that there "
            "is never a reason to restart it"
        )
    ways = dict.fromkeys(f"{p.host_port} to {p.container_port}" for p in pod.ports)  # IPv4 and IPv6
    found = ", ".join(ways)
    if not found:
        return not_yet(
            "all three are in one namespace, and no port leads to it; publishing is for the one "
            "that has the network: `docker rm -f pod shop helper`, and give -p to pod"
        )
    if not any(p.host_port == 9000 for p in pod.ports):
        return not_yet(f"pod publishes {found}; the task asks for host1's port 9000")
    if not state.answers("outside"):
        return not_yet(
            f"pod publishes {found}, and outside gets no answer at host1:9000; nginx in shop "
            "listens on port 80"
        )
    if not state.answers("helper"):
        return not_yet("outside gets the page, but helper gets none at http://127.0.0.1")
    return correct(
        "pod holds the network, shop and helper are in it; outside gets the page at host1:9000, "
        "helper at 127.0.0.1"
    )


pod = Exercise(
    "a Pod by hand",
    "Run three containers in one network namespace: `pod` (busybox, it does nothing but hold the "
    "network), `shop` (nginx) and `helper` (toolbox, it waits). Outside must get shop's page at "
    "`host1:9000`, and a restart of shop or helper must change nothing for the others.",
    check_pod,
    (
        "pod is the one that is started first, on the default bridge; the others join it",
        "-p goes to the container that has the network: to pod, even if shop is the server",
        "`sleep infinity` is a command that does nothing for a long time",
    ),
    """\
docker run -d --name pod -p 9000:80 busybox sleep infinity
docker run -d --name shop --network container:pod nginx
docker run -d --name helper --network container:pod toolbox sleep infinity""",
    probes={
        "outside": Probe(
            node="outside",
            # a server that has just been started may take a moment
            command="for n in 1 2 3; do curl -fsS -m 1 -o /dev/null http://host1:9000 && exit; "
            "sleep 0.2; done; false",
        ),
        "helper": Probe(
            node="host1",
            command="docker exec helper curl -fsS -m 2 -o /dev/null http://127.0.0.1",
        ),
    },
)

progress = Progress(
    "08 sharing a namespace",
    interfaces,
    shared,
    loopback,
    publish,
    owner_restarts,
    mend,
    pod,
)
