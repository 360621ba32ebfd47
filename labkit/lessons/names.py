"""The predictions and exercises of notebook 03: how a name becomes an address."""

from __future__ import annotations

import re

from labkit.exercises.exercise import Exercise
from labkit.exercises.prediction import Prediction
from labkit.exercises.progress import Progress
from labkit.exercises.state import Probe, State
from labkit.exercises.verdict import Verdict, correct, missing, not_yet
from labkit.model.rules import Rule
from labkit.model.snapshot import Container, Namespace

asked = Prediction(
    "who is asked on the default bridge",
    "left is on the default bridge and wants the address of right. Who gets the question?",
    ("nobody", "docker0's address", "the router of the LAN"),
    because={
        "nobody": "left has a name server in its /etc/resolv.conf, and asks it.",
        "docker0's address": "Nobody listens for names there.",
        "the router of the LAN": "On the default bridge, a container asks whom its host asks.",
    },
)

listener = Prediction(
    "who listens at 127.0.0.11",
    "A socket waits behind 127.0.0.11, in web's own network namespace. Whose is it?",
    ("nginx, web's own program", "dockerd, the engine", "dnsmasq, the router's name server"),
    because={
        "nginx, web's own program": "nginx serves pages, and knows nothing of names.",
        "dnsmasq, the router's name server": "It listens on the router, and knows no containers.",
    },
)

on_the_wire = Prediction(
    "which question leaves the host",
    "web asks for the address of db, then for that of outside. Which of the two questions will be "
    "seen on the LAN?",
    ("the one for db", "the one for outside"),
    many=True,
    because={
        "the one for db": "The engine knows db and answers within the host.",
        "the one for outside": "The engine does not know outside, and asks the router.",
    },
)

two_addresses = Prediction(
    "one name, two containers",
    "page1 and page2 are both started with --network-alias pages. How many addresses will the name "
    "pages have?",
    ("1", "2"),
    because={"1": "An alias is not unique: it stands for every container that has it."},
)

off_network = Prediction(
    "who finds web by its name",
    "web is on the network shop. Which of these will find it by its name?",
    (
        "lost, on another network",
        "host1 itself",
        "lost, once it is connected to shop",
    ),
    many=True,
    because={
        "lost, on another network": "The server answers each container with the names of its own "
        "networks.",
        "host1 itself": "host1 asks the router; 127.0.0.11 answers in containers only.",
        "lost, once it is connected to shop": "The server looks at the networks of the one that "
        "asks, at the moment of the question.",
    },
)

link = Prediction(
    "the directions of a link",
    "app is started with --link right:store, on the default bridge. Which of these will work?",
    ("app finds store", "right finds app"),
    many=True,
    because={
        "app finds store": "Docker writes the name into app's /etc/hosts.",
        "right finds app": "A link has one direction: right's files are left as they were.",
    },
)


def _aliases(container: Container) -> dict[str, tuple[str, ...]]:
    """For each network of a container: the aliases that it has there."""
    return {e.network: e.aliases for e in container.endpoints}


def _shortfall(state: State, got: str) -> str:
    """Why the name pages does not have the two addresses, in words."""
    for name in ("page3", "page4"):
        aliases = _aliases(state.running(name, so_far=f"{got}: "))
        if "shop" not in aliases:
            return f"{name} is on {' and '.join(aliases) or 'no network'}, and not on shop"
        if "team" not in aliases["shop"]:
            return (
                f"{name} is on shop without the alias team; an alias belongs to one connection: "
                f"disconnect {name} and connect it again with --alias"
            )
    return "page3 and page4 both have the alias; was the name server's door closed?"


def check_team(state: State) -> Verdict:
    """The name ``team`` must stand for page3 and page4, and for nobody else, in ``web``'s eyes."""
    if state.container("web") is None:
        return not_yet("web, which asks, is not running; run it as above")
    answer = sorted(re.findall(r"^[\d.]+$", state.probes["team"].text, re.M))
    known = {
        e.address: c.name
        for c in state.snapshot.containers
        for e in c.endpoints
        if e.network == "shop"
    }
    names = [known.get(a, a) for a in answer]
    if sorted(names) == ["page3", "page4"]:
        return correct(f"web asks for team and gets {' and '.join(answer)}: {' and '.join(names)}")
    if not answer and not state.exists("page3") and not state.exists("page4"):
        return missing("web asks for team and gets no address; page3 and page4 do not exist")
    if extra := sorted(set(names) - {"page3", "page4"}):
        return not_yet(
            f"web asks for team and gets {' and '.join(answer)}: {extra[0]} has that name too"
        )
    got = "web asks for team and gets " + (f"only {answer[0]}" if answer else "no address")
    return not_yet(f"{got}: {_shortfall(state, got)}")


team = Exercise(
    "one name for a team",
    "On host1, run two containers from `nginx`, `page3` and `page4`. When `web` asks for the name "
    "`team`, it must get both their addresses and no other.",
    check_team,
    (
        "only containers on web's own network have names for web",
        "`docker run --network-alias NAME` gives one more name; two containers may have the same",
    ),
    """\
docker run -d --name page3 --network shop --network-alias team nginx
docker run -d --name page4 --network shop --network-alias team nginx""",
    probes={"team": Probe(node="host1", command="docker exec web dig +short +tries=1 team")},
)

MARK = "VANDAL"


def _ports(inside: Namespace) -> dict[str, int]:
    """For UDP and TCP, the port where the engine waits in that namespace."""
    return {s.protocol: s.port for s in inside.sockets if s.process == "dockerd"}


def _target(rule: Rule) -> int | None:
    """The port to which a DNAT rule leads."""
    port = re.search(r"--to-destination [\d.]*:(\d+)", rule.spec)
    return int(port[1]) if port else None


def _why_deaf(state: State, inside: Namespace, port: int) -> Verdict:
    """What was tried, and why web still gets no answer."""
    strays = [r for r in state.snapshot.root.rules("nat") if "127.0.0.11" in r.spec]
    tried = [
        r for r in inside.rules("nat") if r.target in ("DNAT", "REDIRECT") and "-p udp" in r.spec
    ]
    other = [r for r in tried if _target(r) != port]
    if strays and not tried:
        return not_yet(
            f"web gets no answer: `{strays[0].spec}` is in the nat table of host1, but web's "
            "packets to 127.0.0.11 never leave web's own namespace; go in with nsenter"
        )
    if other:
        return not_yet(
            f"web gets no answer: `{other[0].spec}` leads to port {_target(other[0])}; the engine "
            f"waits for UDP on another one, see `ss -lnu` in web's namespace"
        )
    if tried:
        return not_yet(
            f"web gets no answer: `{tried[0].spec}` in {tried[0].chain} leads to the right port, "
            f"but has counted {tried[0].packets} packets; a packet that web sends begins in OUTPUT"
        )
    return missing("web asks 127.0.0.11 and gets no answer; no rule of the nat table takes UDP")


def check_door(state: State) -> Verdict:
    """The UDP rule must be back in web's namespace, in the same container."""
    web = state.container("web")
    if web is None:
        return not_yet("web is not running; run it as above, then the vandal's cell again")
    inside = state.inside(web)
    port = _ports(inside).get("udp")
    if port is None:
        return not_yet("no socket of the engine waits in web's namespace; is web on shop?")
    if not re.search(r"^[\d.]+$", state.probes["db"].text, re.M):
        return _why_deaf(state, inside, port)
    if not any(c.name == MARK for c in inside.chains):
        return not_yet(
            "web gets answers, and the vandal has not been here: run the vandal's cell. If you "
            "restarted web, Docker made it a new namespace with new rules, and what the vandal did "
            "is gone with the old one"
        )
    mended = next(
        (r for r in inside.rules("nat") if "-p udp" in r.spec and _target(r) == port), None
    )
    rule = f": `{mended.spec}` counts its packets ({mended.packets} so far)" if mended else ""
    return correct(f"web finds db again{rule}")


door = Exercise(
    "mend the door",
    "A vandal has been in web's network namespace and has taken out the rule that leads UDP to the "
    "engine's socket. Put one like it back by hand, with one iptables command. Do not restart web.",
    check_door,
    (
        "`nsenter -t PID -n` gets you in; PID is what "
        "`docker inspect -f '{{.State.Pid}}' web` prints",
        "`ss -lnu` in there shows the port where the engine waits for UDP",
        "the rule was in the chain DOCKER_OUTPUT of the table nat: "
        "`-d 127.0.0.11 -p udp --dport 53 -j DNAT --to-destination 127.0.0.11:PORT`",
    ),
    """\
pid=$(docker inspect -f '{{.State.Pid}}' web)
port=$(nsenter -t $pid -n ss -lnuH | grep -o '127.0.0.11:[0-9]*')
nsenter -t $pid -n iptables -t nat -A DOCKER_OUTPUT \\
    -d 127.0.0.11 -p udp --dport 53 -j DNAT --to-destination $port""",
    probes={
        "db": Probe(node="host1", command="docker exec web dig +short +tries=1 +time=1 db"),
    },
)

progress = Progress(
    "03 names",
    asked,
    listener,
    on_the_wire,
    two_addresses,
    off_network,
    link,
    team,
    door,
)
