"""The predictions and exercises of notebook 04: how a container's packets get out, and back."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from labkit.exercises.exercise import Exercise
from labkit.exercises.prediction import Prediction
from labkit.exercises.progress import Progress
from labkit.exercises.state import Probe, State
from labkit.exercises.verdict import Verdict, correct, missing, not_yet
from labkit.model.rules import Rule
from labkit.model.snapshot import Container

seen_address = Prediction(
    "whom outside sees",
    "box asks outside for its page. Which address will outside say that the request came from?",
    ("172.17.0.2, box's", "172.17.0.1, docker0's", "192.168.56.11, host1's"),
    because={
        "172.17.0.2, box's": "box did send it with that source; host1 rewrote it on the way.",
        "172.17.0.1, docker0's": "That address is box's gateway. It passes packets on under "
        "host1's address of the other side, where they leave.",
    },
)

without_route = Prediction(
    "without the default route",
    "box's default route is taken away. Which of these will box still reach?",
    ("172.17.0.1, docker0", "203.0.113.10, outside"),
    many=True,
    because={
        "172.17.0.1, docker0": "It is in box's own subnet, and the route to that is still there.",
        "203.0.113.10, outside": "No other route leads to it: box does not even send a packet.",
    },
)

without_forwarding = Prediction(
    "without forwarding",
    "`ip_forward` of host1 is 0. Which of these will box still reach?",
    ("172.17.0.1, docker0", "192.168.56.11, host1's eth0", "203.0.113.10, outside"),
    many=True,
    because={
        "172.17.0.1, docker0": "It is an address of host1 itself: nothing is forwarded.",
        "192.168.56.11, host1's eth0": "It is an address of host1 too, whatever the interface: "
        "the packet has arrived, and nothing is forwarded.",
        "203.0.113.10, outside": "For that, host1 has to pass on a packet that is not its own.",
    },
)

without_masquerade = Prediction(
    "without MASQUERADE",
    "The MASQUERADE rule is taken away and box asks again. What will arrive at outside?",
    ("nothing", "the request, from 172.17.0.2", "the request, from 192.168.56.11"),
    because={
        "nothing": "host1 forwards with or without the rule; routers on the way look at the "
        "destination only.",
        "the request, from 192.168.56.11": "It was the rule that wrote this address.",
    },
)

packets_counted = Prediction(
    "what MASQUERADE counts",
    "One request with curl is about ten packets. How many will the MASQUERADE rule count?",
    ("0", "1", "about 10"),
    because={
        "0": "The rule is what gives the request its new source.",
        "about 10": "Only a connection's first packet goes through the nat table.",
    },
)

same_port = Prediction(
    "two containers, one port",
    "box and box2 both send from port 20040 to outside's port 80, and both leave as "
    "192.168.56.11. From which port will box2's packets leave?",
    ("20040 too", "another port"),
    because={
        "20040 too": "Then host1 could not tell whose answer it is when one comes back to 20040."
    },
)

answers_rule = Prediction(
    "the answer's rule",
    "Outside's answer goes to 192.168.56.11, and has to get to box. Which chain of the nat table "
    "will it go through?",
    ("PREROUTING", "POSTROUTING", "none"),
    because={
        "PREROUTING": "The way back was written down with the first packet; no rule is asked.",
        "POSTROUTING": "The rule there is for what begins a connection. This is an answer.",
    },
)

DOCKERS = "-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE"

# What the second exercise breaks on host1: two things that happen on real hosts.
faults = f"""\
sysctl -q -w net.ipv4.ip_forward=0
iptables -t nat -D POSTROUTING {DOCKERS}
iptables -t nat -A POSTROUTING -s 172.18.0.0/16 ! -o docker0 -j MASQUERADE"""

HELLO = "hello, 192.168.56.11"


def _rewriting(state: State) -> list[Rule]:
    """The rules of nat POSTROUTING that give packets another source."""
    rules = state.snapshot.root.rules("nat", "POSTROUTING")
    return [r for r in rules if r.target in ("MASQUERADE", "SNAT")]


def _source_fits(rule: Rule, address: str) -> bool:
    wanted = rule.match("source")
    if wanted is None:
        return True
    return (ip_address(address) in ip_network(wanted.value, strict=False)) != wanted.negated


def _way_fits(rule: Rule) -> bool:
    """It takes what leaves by eth0, the way to outside."""
    wanted = rule.match("out-interface")
    return wanted is None or (wanted.value == "eth0") != wanted.negated


def _covering(state: State, address: str) -> Rule | None:
    """The first rule that rewrites what that address sends to outside."""
    fitting = (r for r in _rewriting(state) if _source_fits(r, address) and _way_fits(r))
    return next(fitting, None)


def _boundless(rule: Rule) -> str | None:
    """What is wrong with a rule that takes too much, or None."""
    if rule.match("source") or rule.match("out-interface"):
        return None
    return (
        f"outside answers, but `{rule.spec}` names neither a source nor a way out: it rewrites "
        "every connection that leaves host1, by any interface; clients of a published port would "
        "all look like host1. Name the subnet with -s"
    )


def _attached_elsewhere(container: Container, network: str) -> str | None:
    others = [e.network for e in container.endpoints if e.network != network]
    if not others:
        return None
    return (
        f"{container.name} is on the network {others[0]} too, and may go out that way; "
        f"`docker network disconnect {others[0]} {container.name}`, and change host1 instead"
    )


def _forwards(state: State) -> bool:
    return state.probes["forwarding"].text.strip() == "1"


def _unlike(rule: Rule, address: str) -> str:
    """Why this rule does not give that address a new source on the way to outside."""
    if not _source_fits(rule, address):
        return f"`{rule.spec}` in POSTROUTING is not for the source {address}"
    return (
        f"`{rule.spec}` in POSTROUTING is not for packets that leave by eth0, and the way to "
        "outside is eth0"
    )


def check_by_hand(state: State) -> Verdict:
    """Outside must answer ``bare``, and must take it for host1."""
    bare = state.running("bare", "run the cell above that makes plain and bare")
    plain = state.snapshot.network("plain")
    own = bare.endpoint("plain")
    if plain is None or own is None or own.address is None:
        return not_yet(
            f"bare is on {bare.where}, not on plain; `docker rm -f bare`, and run the cell above "
            "again"
        )
    if plain.options.get("com.docker.network.bridge.enable_ip_masquerade") != "false":
        return not_yet(
            "plain was made again without enable_ip_masquerade=false, so Docker wrote the rule; "
            "make plain and bare as above, and write the rule yourself"
        )
    if elsewhere := _attached_elsewhere(bare, "plain"):
        return not_yet(elsewhere)
    answer = state.probes["bare to outside"]
    rule = _covering(state, own.address)
    if answer.ok and answer.text.strip() != HELLO:
        seen = answer.text.strip().removeprefix("hello, ")
        return not_yet(
            f"outside answers bare, but it sees {seen}: somebody out there was given a route to "
            "172.30.0.0/24; the world's routers will not have one, so change host1 only"
        )
    if answer.ok and rule:
        if wrong := _boundless(rule):
            return not_yet(wrong)
        return correct(
            f"outside sees 192.168.56.11 when bare asks; `{rule.spec}` in POSTROUTING counted "
            f"{rule.packets} packet" + "s" * (rule.packets != 1)
        )
    if answer.ok:
        return not_yet(
            "outside sees host1's address when bare asks, but no rule in nat POSTROUTING does it; "
            "the task asks for one rule there"
        )
    if not _forwards(state):
        return not_yet("host1's ip_forward is 0: no container gets out, with or without a rule")
    if rule:
        return not_yet(
            f"`{rule.spec}` in POSTROUTING has counted {rule.packets} packets, and bare still gets "
            "no answer; is the address that it writes host1's, 192.168.56.11?"
        )
    if learners := [r for r in _rewriting(state) if r.spec != DOCKERS]:
        return not_yet(f"bare gets no answer: {_unlike(learners[-1], own.address)}")
    return missing(
        "bare gets no answer from outside, and no rule in nat POSTROUTING is for its subnet"
    )


def _asks(name: str) -> Probe:
    command = f"docker exec {name} curl -fsS -m 0.9 203.0.113.10"
    return Probe(node="host1", command=command)


FORWARDING = Probe(node="host1", command="cat /proc/sys/net/ipv4/ip_forward")

by_hand = Exercise(
    "a MASQUERADE of your own",
    "Docker wrote no MASQUERADE rule for the network `plain`, so `bare` gets no answer from "
    "outside. With one iptables rule on host1, make `docker exec bare curl 203.0.113.10` print "
    "`hello, 192.168.56.11`. Leave the container, its network and the router alone.",
    check_by_hand,
    (
        "Docker's own rule for docker0 is the pattern: `iptables -t nat -S POSTROUTING`",
        "the source is plain's subnet; `docker network inspect plain` has it. The way out is eth0",
        "`iptables -t nat -A POSTROUTING -s SUBNET -o eth0 -j MASQUERADE`",
    ),
    "iptables -t nat -A POSTROUTING -s 172.30.0.0/24 -o eth0 -j MASQUERADE",
    probes={"bare to outside": _asks("bare"), "forwarding": FORWARDING},
)


def check_repair(state: State) -> Verdict:
    """Box must get outside's answer again, as host1."""
    box = state.running("box", "run the cell at the top that starts it")
    own = box.endpoint("bridge")
    if own is None or own.address is None:
        return not_yet("box is not on the network bridge any more; `docker network connect bridge`")
    if elsewhere := _attached_elsewhere(box, "bridge"):
        return not_yet(elsewhere)
    answer, forwards, rule = (
        state.probes["box to outside"],
        _forwards(state),
        _covering(state, own.address),
    )
    if answer.ok and answer.text.strip() == HELLO:
        if rule and (wrong := _boundless(rule)):
            return not_yet(wrong)
        by = f", by `{rule.spec}` in POSTROUTING" if rule else ""
        return correct(f"box gets out again, and outside sees 192.168.56.11{by}")
    if answer.ok:
        return not_yet(
            f"outside answers box with {answer.text.strip()!r}: the source is not rewritten as "
            "it was"
        )
    if not any(r.destination == "default" for r in state.inside(box).routes):
        return not_yet(
            "box has no default route now; it had one before: `docker restart box` makes it again"
        )
    if forwards and rule:
        return not_yet(
            f"host1 forwards, and `{rule.spec}` rewrites, and box still gets no answer; the FORWARD"
            " chain of the table filter has the last word: `iptables -L FORWARD -n -v`"
        )
    if forwards:
        return not_yet(
            "host1 forwards again, and box still gets no answer. See with which source its packets "
            "reach outside: `tcpdump -nn -i eth0 tcp port 80` there, while box asks"
        )
    if rule:
        return not_yet(
            f"`{rule.spec}` in POSTROUTING fits box's packets and has counted {rule.packets} since "
            "you wrote it: they do not get as far as POSTROUTING. What comes before it?"
        )
    return missing("box gets no answer from outside, and nothing that was broken is mended yet")


repair = Exercise(
    "find the faults",
    "Somebody has been at host1, and `box` gets no answer from outside any more. Find what is "
    "wrong, and mend it on host1 without restarting the engine: "
    "`docker exec box curl 203.0.113.10` must print `hello, 192.168.56.11` again.",
    check_repair,
    (
        "go along the way of the packet: box's route, host1's forwarding, the rule in POSTROUTING; "
        "there may be more than one fault",
        "`sysctl net.ipv4.ip_forward` and `iptables -t nat -S POSTROUTING`: compare with above",
        "forwarding must be 1, and the MASQUERADE rule must be for 172.17.0.0/16",
    ),
    """\
sysctl -w net.ipv4.ip_forward=1
iptables -t nat -D POSTROUTING -s 172.18.0.0/16 ! -o docker0 -j MASQUERADE
iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE""",
    probes={"box to outside": _asks("box"), "forwarding": FORWARDING},
)

progress = Progress(
    "04 reaching the outside",
    seen_address,
    without_route,
    without_forwarding,
    without_masquerade,
    packets_counted,
    same_port,
    answers_rule,
    by_hand,
    repair,
)
