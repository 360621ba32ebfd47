"""The predictions and exercises of notebook 05: published ports, their rules, their guards."""

from __future__ import annotations

from labkit.exercises.exercise import Exercise
from labkit.exercises.prediction import Prediction
from labkit.exercises.progress import Progress
from labkit.exercises.state import Probe, State
from labkit.exercises.verdict import Verdict, correct, missing, not_yet
from labkit.model.rules import Rule
from labkit.model.snapshot import Port

unpublished = Prediction(
    "who reaches a port that is not published",
    "web listens on its port 80, and nothing is published. Which of these get an answer?",
    (
        "host1, at web's address",
        "outside, at host1's address",
        "outside, at web's address",
    ),
    many=True,
    because={
        "host1, at web's address": "host1 is on docker0 itself and needs no help.",
        "outside, at host1's address": "Nothing on host1 listens on port 80 or sends it on.",
        "outside, at web's address": "172.17.0.0/16 exists on host1 only; nobody else has a route.",
    },
)

packets_counted = Prediction(
    "what the DNAT rule counts",
    "One request with curl is about ten packets. How many will the DNAT rule count?",
    ("0", "1", "about 10"),
    because={
        "0": "The rule is what sends the request to the container.",
        "about 10": "Only a connection's first packet walks through the nat table; connection "
        "tracking rewrites the others.",
    },
)

accepted_port = Prediction(
    "the port in the filter rule",
    "Another rule lets the request pass to the container. Which port does it name?",
    ("8080", "80"),
    because={"8080": "By the time a packet meets the filter table, DNAT has rewritten it."},
)

how_many_ports = Prediction(
    "ports from -P",
    "The image nginx EXPOSEs 80. `docker run -P --expose 443 nginx` names no host port. How many "
    "ports of host1 will lead to the container?",
    ("0", "1", "2"),
    because={
        "0": "-P publishes without naming ports: Docker picks them.",
        "1": "-P takes what the image exposes and what --expose adds.",
    },
)

bound_to_loopback = Prediction(
    "who reaches 127.0.0.1:9090",
    "private is published with -p 127.0.0.1:9090:80. Which of these get an answer?",
    ("host1, at 127.0.0.1:9090", "host1, at 192.168.56.11:9090", "outside, at host1:9090"),
    many=True,
    because={
        "host1, at 127.0.0.1:9090": "That is the address it is bound to.",
        "host1, at 192.168.56.11:9090": "The rule and the socket name 127.0.0.1, no other address.",
        "outside, at host1:9090": "A packet for 127.0.0.1 never leaves the computer it is on.",
    },
)

hairpin = Prediction(
    "who asks in a hairpin",
    "shop asks for http://192.168.56.11:8080, its own published port. Which address will nginx in "
    "shop log as the client?",
    ("172.17.0.1, docker0's", "192.168.56.11, host1's", "shop's own"),
    because={
        "192.168.56.11, host1's": "That was the address asked for, not the one that asks.",
        "shop's own": "The nat table skips what comes from docker0; docker-proxy took the "
        "connection and made a second one of its own, from docker0.",
    },
)

input_rule = Prediction(
    "a rule in INPUT",
    "`iptables -I INPUT -p tcp --dport 8080 -j DROP` on host1. What does outside get at "
    "`host1:8080`?",
    ("the page", "no answer"),
    because={
        "no answer": "INPUT is for packets that end at host1 itself. After DNAT this one goes on "
        "to a container: it is forwarded."
    },
)


def _published(ports: tuple[Port, ...]) -> str:
    addresses = {
        p: f"[{p.host_address}]" if ":" in p.host_address else p.host_address for p in ports
    }
    return ", ".join(f"{addresses[p]}:{p.host_port} to {p.container_port}" for p in ports)


def check_lan_only(state: State) -> Verdict:
    """``site`` must answer on host1's LAN address at 9000 and not on 127.0.0.1."""
    site = state.running("site", mend="`docker rm site`, then try again")
    if not site.ports:
        return not_yet(
            "site runs, and publishes nothing: `docker port site` is empty; a published port can't "
            "be added later, so `docker rm -f site` and run it again with -p"
        )
    found = _published(site.ports)
    if not any(p.host_port == 9000 for p in site.ports):
        return not_yet(f"site publishes {found}; the task asks for host1's port 9000")
    if all(p.host_address.startswith("127.") for p in site.ports):
        return not_yet(f"site publishes {found}: only host1 itself can get there, outside can't")
    if any(p.host_address in ("0.0.0.0", "::") for p in site.ports):
        return not_yet(
            f"site publishes {found}: 0.0.0.0 is every address of host1, 127.0.0.1 included; "
            "give the address as well, before the port"
        )
    if not any(p.container_port == 80 for p in site.ports):
        return not_yet(f"site publishes {found}; nginx listens on port 80 of the container")
    if not state.answers("outside"):
        return not_yet(f"site publishes {found}, but outside gets no answer at host1:9000")
    if state.answers("loopback"):
        return not_yet(f"site publishes {found}, and 127.0.0.1:9000 answers on host1 too")
    return correct(f"site publishes {found}: outside gets the page, 127.0.0.1:9000 does not exist")


lan_only = Exercise(
    "one address only",
    "On host1, run a container named `site` from `nginx`. Outside must get its page at "
    "`host1:9000`; on host1 itself, `127.0.0.1:9000` must not answer.",
    check_lan_only,
    (
        "-p takes an address of the host before the port: ADDRESS:PORT:CONTAINER-PORT",
        "host1's address on the LAN is 192.168.56.11; `ip -brief address show eth0` shows it",
    ),
    "docker run -d --name site -p 192.168.56.11:9000:80 nginx",
    probes={
        "outside": Probe(node="outside", command="curl -fsS -m 2 -o /dev/null http://host1:9000"),
        "loopback": Probe(
            node="host1", command="curl -fsS -m 2 -o /dev/null http://127.0.0.1:9000"
        ),
    },
)


def _stops(rule: Rule) -> bool:
    return rule.target in ("DROP", "REJECT")


def _in_force(state: State) -> list[Rule]:
    """The rules of DOCKER-USER that stop something, up to the RETURN that ends the chain."""
    force = []
    for rule in state.snapshot.root.rules("filter", "DOCKER-USER"):
        if rule.spec == "-j RETURN":
            break
        if _stops(rule):
            force.append(rule)
    return force


def _broken(state: State) -> str | None:
    """What of the containers and Docker's own rules is not as the exercise found it."""
    to_do = "only the way from outside is to be closed; "
    shop, _ = (state.running(n, "run it as above", so_far=to_do) for n in ("shop", "bakery"))
    if not any(p.host_port == 8080 for p in shop.ports):
        return "shop is not published on 8080 any more; run it as above, and add a rule"
    if not any("--dport 8080" in r.spec for r in state.snapshot.root.rules("nat", "DOCKER")):
        return (
            "the DNAT rule for 8080 is gone from the nat table. That rule is Docker's: "
            "`docker restart shop` brings it back. Add a rule of your own, leave Docker's alone"
        )
    return None


def _still_open(state: State) -> Verdict:
    """Why outside gets the page in spite of what was tried."""
    force = _in_force(state)
    late = [
        r
        for r in state.snapshot.root.rules("filter", "DOCKER-USER")
        if _stops(r) and r not in force
    ]
    closed = [r for r in state.snapshot.root.rules("filter", "INPUT") if _stops(r)]
    asked = [r for r in force if "--dport 8080" in r.spec]
    got = "outside still gets the page: "
    if late and not force:
        return not_yet(
            f"{got}your rule is number {late[0].number} in DOCKER-USER, behind the RETURN that "
            "ends the chain; -I puts a rule at the head, -A at the end"
        )
    if asked:
        return not_yet(
            f"{got}`{asked[0].spec}` in DOCKER-USER has counted {asked[0].packets} packets, "
            "because none has port 8080 there; DNAT came first and made it 80"
        )
    if force:
        return not_yet(
            f"{got}DOCKER-USER has `{force[0].spec}`, and these packets are not like that"
        )
    if closed:
        return not_yet(
            f"{got}`{closed[0].spec}` in INPUT is for packets that end at host1; after DNAT these "
            "are forwarded to a container, and INPUT never sees them"
        )
    return missing("outside still gets the page at host1:8080, and no rule of yours is there")


def check_guard(state: State) -> Verdict:
    """Outside must not get shop's page; all else must still work."""
    if broken := _broken(state):
        return not_yet(broken)
    if state.answers("outside to shop"):
        return _still_open(state)
    if not state.answers("outside to bakery"):
        return not_yet(
            "outside gets nothing from shop, and nothing from bakery either: your rule stops more "
            "than it should; name shop's address, or the port that was asked for"
        )
    if not state.answers("host1 to shop"):
        return not_yet("outside gets nothing from shop, but host1 at 127.0.0.1:8080 doesn't either")
    if not state.answers("shop to outside"):
        return not_yet(
            "outside gets nothing from shop, but shop gets nothing from outside either: the "
            "answers to its own requests are dropped"
        )
    where = [f" (`{r.spec}` has counted {r.packets})" for r in _in_force(state)[:1]]
    return correct(
        f"outside gets no answer at host1:8080{''.join(where)}; host1 still gets shop's page, "
        "outside still gets bakery's, and shop still reaches outside"
    )


def _asks(node: str, url: str, within: str = "") -> Probe:
    return Probe(node=node, command=f"{within} curl -fsS -m 1 -o /dev/null {url}".strip())


guard = Exercise(
    "close one door",
    "With one iptables rule on host1, keep outside from `shop`'s page at "
    "`host1:8080`. `bakery` must still answer outside at "
    "`host1:8081`, host1 must still get shop's page at `127.0.0.1:8080`, and "
    "shop must still reach outside. Leave the containers and Docker's own rules alone.",
    check_guard,
    (
        "what is forwarded to a container passes DOCKER-USER; there the packet already has the "
        "container's address and port",
        "bakery is on port 80 of its container too, so --dport 80 alone stops both; "
        "add -i eth0 and one thing that only shop's packets have",
        "`-d` with shop's address is such a thing; so is `-m conntrack --ctorigdstport 8080`, the "
        "port that the client asked for",
    ),
    "iptables -I DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 -j DROP",
    probes={
        "outside to shop": _asks("outside", "http://host1:8080"),
        "outside to bakery": _asks("outside", "http://host1:8081"),
        "host1 to shop": _asks("host1", "http://127.0.0.1:8080"),
        "shop to outside": _asks("host1", "http://203.0.113.10", within="docker exec shop"),
    },
)

progress = Progress(
    "05 publishing ports",
    unpublished,
    packets_counted,
    accepted_port,
    how_many_ports,
    bound_to_loopback,
    hairpin,
    input_rule,
    lan_only,
    guard,
)
