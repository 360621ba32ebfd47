"""The predictions and exercises of notebook 06: containers with no network of their own."""

from __future__ import annotations

from labkit.exercises.exercise import Exercise
from labkit.exercises.prediction import Prediction
from labkit.exercises.progress import Progress
from labkit.exercises.state import Probe, State
from labkit.exercises.verdict import Verdict, correct, missing, not_yet
from labkit.model.rules import Rule
from labkit.model.snapshot import Socket

new_interfaces = Prediction(
    "interfaces from --network host",
    "How many interfaces will host1 have more after `docker run --network host`?",
    ("0", "1", "2"),
    because={
        "1": "That was the bridge's way: one end of a cable. Here is no cable.",
        "2": "No pair is made: there is no second namespace to connect.",
    },
)

owner = Prediction(
    "who listens on port 80",
    "Which program will `ss -ltnp` on host1 show at port 80?",
    ("docker-proxy", "dockerd", "nginx", "none"),
    because={
        "docker-proxy": "That program stands in for a published port, and nothing is published.",
        "dockerd": "The engine starts the container, and has no part in its connections.",
        "none": "The container's processes open their sockets in host1's own namespace.",
    },
)

publish_too = Prediction(
    "-p with --network host",
    "`docker run --network host -p 8080:80` asks for both. What will outside get at `host1:8080`?",
    ("the page", "no answer"),
    because={
        "the page": "There is no other address that port 8080 could be led to: -p is discarded."
    },
)

clash = Prediction(
    "two on port 80",
    "web has port 80. What becomes of a second `docker run -d --network host nginx`?",
    ("docker run refuses", "the container starts and ends", "both answer on port 80"),
    because={
        "docker run refuses": "Docker does not know which ports a program will open; it starts it.",
        "both answer on port 80": "One address and port of a namespace has one owner.",
    },
)

loopback = Prediction(
    "who reaches host1's 127.0.0.1",
    "A program on host1 listens on 127.0.0.1:5000 only. Which of these reach it at that address?",
    ("web, in host mode", "apart, on the bridge", "outside"),
    many=True,
    because={
        "web, in host mode": "It has no loopback of its own: host1's is the one it has.",
        "apart, on the bridge": "Its 127.0.0.1 is the lo of its own namespace.",
        "outside": "127.0.0.1 never leaves a computer.",
    },
)

docker_user = Prediction(
    "a rule in DOCKER-USER",
    "`iptables -I DOCKER-USER -p tcp --dport 80 -j DROP` stops the way to containers on a bridge. "
    "What will outside get from web at `host1:80`?",
    ("the page", "no answer"),
    because={
        "no answer": "DOCKER-USER is for what host1 forwards. These packets are for host1 itself."
    },
)


def _gone(state: State) -> Verdict | None:
    """What to say when web is not on the host's network; Unmet when it does not run."""
    mend = "it has to keep port 80: `docker start web`, when nobody else has the port"
    web = state.running("web", "start it as above", mend)
    if web.mode != "host":
        return not_yet(f"web runs on the network {web.mode}; the task leaves it on host")
    return None


def _listening(state: State, port: int) -> list[Socket]:
    return [s for s in state.snapshot.root.sockets if s.protocol == "tcp" and s.port == port]


def check_second(state: State) -> Verdict:
    """``second`` must serve on host1's 8080 in host mode, next to ``web`` on 80."""
    if gone := _gone(state):
        return gone
    mend = "`docker logs second` tells why. Did it want port 80?"
    second = state.running("second", mend=mend)
    found = _listening(state, 8080)
    if second.mode != "host":
        has = f", and port 8080 belongs to {found[0].process}" if found else ""
        return not_yet(
            f"second runs, but on the network {second.mode}{has}; the task asks for host1's "
            "own network"
        )
    if not found:
        return not_yet(
            "second runs on host1's network, and nobody listens on port 8080; `ss -ltnp` shows "
            "who listens where. -p changes nothing here: nginx itself has to be told"
        )
    if all(s.address.startswith("127.") for s in found):
        return not_yet(f"port 8080 is bound to {found[0].address}: only host1 itself can get there")
    if not state.answers("outside to second"):
        return not_yet(
            f"{found[0].process} listens on port 8080, but outside gets no page at host1:8080"
        )
    if not state.answers("outside to web"):
        return not_yet("outside gets second's page, and web's at host1:80 no more")
    return correct(
        f"two containers on one network: {found[0].process} listens on 80 for web and on 8080 for "
        "second, and outside gets both pages"
    )


def _asks(node: str, url: str) -> Probe:
    return Probe(node=node, command=f"curl -fsS -m 1 -o /dev/null {url}")


# nginx's own file has the port: a copy with another one is what the container starts.
_ANOTHER_PORT = "sed -i 's/listen 80 /listen 8080 /' /etc/nginx/nginx.conf"

second = Exercise(
    "two on one network",
    "On host1, run a second nginx in host mode: a container named `second`, on the network "
    "`host`, with its page at `host1:8080`. `web` must keep port 80.",
    check_second,
    (
        "the port is nginx's own choice: `listen 80 default_server;` in /etc/nginx/nginx.conf",
        "docker run takes a command after the image: `sh -c '…'` can change the file with sed and "
        "then start nginx as the image does",
        "`sed -i 's/listen 80 /listen 8080 /' /etc/nginx/nginx.conf`, then "
        "`exec nginx -g 'daemon off;'`",
    ),
    f"""\
docker run -d --name second --network host nginx \\
    sh -c "{_ANOTHER_PORT} && exec nginx -g 'daemon off;'"
curl -s --retry 20 --retry-connrefused --retry-delay 1 -o /dev/null 127.0.0.1:8080""",
    probes={
        "outside to second": _asks("outside", "http://host1:8080"),
        "outside to web": _asks("outside", "http://host1:80"),
    },
)


def _stopping(state: State, *chains: str) -> list[Rule]:
    """The rules of these filter chains that stop something."""
    rules = state.snapshot.root.rules("filter", *chains)
    return [r for r in rules if r.target in ("DROP", "REJECT")]


def _packets(rule: Rule) -> str:
    return f"{rule.packets} packet" + "s" * (rule.packets != 1)


def check_firewall(state: State) -> Verdict:
    """Outside must not get web's page; host1 itself must."""
    if gone := _gone(state):
        return gone
    inbound = _stopping(state, "INPUT")
    forward = _stopping(state, "DOCKER-USER", "FORWARD")
    if state.answers("outside to web"):
        if inbound:
            return not_yet(
                f"outside still gets the page: `{inbound[0].spec}` in INPUT has counted "
                f"{_packets(inbound[0])}; web's come in by eth0, to port 80"
            )
        if forward:
            return not_yet(
                f"outside still gets the page: `{forward[0].spec}` in {forward[0].chain} is for "
                f"packets that host1 passes on, and these end at host1; it has counted "
                f"{_packets(forward[0])}"
            )
        return missing("outside still gets web's page at host1:80")
    if not _listening(state, 80):
        return not_yet("nobody listens on port 80 any more; web has to go on, only outside not")
    if not state.answers("host1 to web"):
        return not_yet(
            "outside gets no answer, but host1 at 127.0.0.1:80 doesn't either: what host1 sends "
            "to itself passes INPUT too, by lo; name the interface that outside comes in by"
        )
    if not state.answers("outside to host1"):
        return not_yet(
            "outside gets nothing from port 80, and not even an answer to a ping: the rule stops "
            "more than it should; name the protocol and the port"
        )
    if not inbound:
        return not_yet(
            "outside gets no answer from port 80, but no rule in INPUT is the reason; the task "
            "asks for one there"
        )
    return correct(
        f"outside gets no answer at host1:80 (`{inbound[0].spec}`, {_packets(inbound[0])}); "
        "host1 itself still gets web's page"
    )


firewall = Exercise(
    "a firewall that does",
    "With one iptables rule on host1, keep outside from web's page at `host1:80`. host1 itself "
    "must still get it at `127.0.0.1:80`, and must still answer outside's ping.",
    check_firewall,
    (
        "these packets end at host1: the chain for them is INPUT",
        "-i eth0 is how outside comes in; -p tcp --dport 80 is what it wants",
    ),
    "iptables -I INPUT -i eth0 -p tcp --dport 80 -j DROP",
    probes={
        "outside to web": _asks("outside", "http://host1:80"),
        "host1 to web": _asks("host1", "http://127.0.0.1:80"),
        "outside to host1": Probe(node="outside", command="ping -c 1 -W 1 host1"),
    },
)

progress = Progress(
    "06 host",
    new_interfaces,
    owner,
    publish_too,
    clash,
    second,
    loopback,
    docker_user,
    firewall,
)
