"""Why a rule is there: the published port, the network, the name server that Docker wrote it for.

One small recogniser for each shape of rule that the engine writes; those of Docker 20.10 and 26.1
are tested on both. What none of them knows has no cause: it may be the learner's.
"""

from __future__ import annotations

from collections.abc import Callable

from labkit.model.rules import Rule
from labkit.model.snapshot import Container, Namespace, Network, Port, Snapshot
from labkit.model.value import Value

OWN_DNS = "127.0.0.11"  # Docker's embedded name server, in a container's own namespace
SWARM_CHAIN = "DOCKER-INGRESS"


class Cause(Value):
    """The object that a rule was written for."""

    kind: str  # "published port", "network", "name server", "Swarm", "engine", "your rules"
    words: str  # a few, such as "port 8080 of web"
    why: str  # a sentence
    container: str | None = None
    network: str | None = None
    ports: tuple[Port, ...] = ()


def cause(snapshot: Snapshot, namespace: Namespace, rule: Rule) -> Cause | None:
    """What the rule of that namespace was written for; None when nothing of Docker's.

    Example:
        >>> snapshot = Snapshot.load("tests/unit/snapshots/one.json")
        >>> nat = [c for c in snapshot.root.chains if c.table == "nat"]
        >>> [cause(snapshot, snapshot.root, r).words for c in nat for r in c.rules][-1]
        'port 8080 of web'
    """
    return next(filter(None, (known(snapshot, namespace, rule) for known in RECOGNISERS)), None)


def rules_of(snapshot: Snapshot, container: str, port: Port) -> tuple[Rule, ...]:
    """The rules on the host that a published port of the container has caused."""
    root = snapshot.root
    found = []
    for rule in (r for c in root.chains for r in c.rules):
        why = cause(snapshot, root, rule)
        if why and why.container == container and port in why.ports:
            found.append(rule)
    return tuple(found)


def published_port(snapshot: Snapshot, namespace: Namespace, rule: Rule) -> Cause | None:
    """``-p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80``."""
    if rule.target != "DNAT" or namespace.kind != "host":
        return None
    address, _, port = (rule.argument("to-destination") or "").rpartition(":")
    return _port(snapshot, rule, address, port, int(_asked(rule, "destination-port") or 0),
                 "leads from the host's port to the container's")  # fmt: skip


def accepted_port(snapshot: Snapshot, namespace: Namespace, rule: Rule) -> Cause | None:
    """``-d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp --dport 80 -j ACCEPT``."""
    if rule.target != "ACCEPT" or namespace.kind != "host" or rule.match("source"):
        return None
    return _port(snapshot, rule, _host(rule, "destination"), _asked(rule, "destination-port"), 0,
                 "lets through what was led to the container's port")  # fmt: skip


def hairpin(snapshot: Snapshot, namespace: Namespace, rule: Rule) -> Cause | None:
    """``-s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp --dport 80 -j MASQUERADE``."""
    address = _host(rule, "source")
    if rule.target != "MASQUERADE" or not address or address != _host(rule, "destination"):
        return None
    return _port(snapshot, rule, address, _asked(rule, "destination-port"), 0,
                 "brings the answers back when the container asks for its own port")  # fmt: skip


def link(snapshot: Snapshot, namespace: Namespace, rule: Rule) -> Cause | None:
    """``-s 172.17.0.3/32 -d 172.17.0.2/32 -i docker0 -o docker0 -p tcp --dport 80 -j ACCEPT``."""
    one, other = (_at(snapshot, _host(rule, side)) for side in ("source", "destination"))
    if rule.target != "ACCEPT" or rule.table != "filter" or not one or not other:
        return None
    return Cause(
        kind="network", words=f"link of {one.name} and {other.name}", container=one.name,
        why=f"lets {one.name} and {other.name} talk, which docker run --link joined",
    )  # fmt: skip


def masquerade(snapshot: Snapshot, namespace: Namespace, rule: Rule) -> Cause | None:
    """``-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE``."""
    out = rule.match("out-interface")
    if rule.target not in ("MASQUERADE", "SNAT") or not out:
        return None
    network = _network(snapshot, out.value)
    if rule.match("src-type"):
        return _of(network, "Swarm", "lets the host itself reach published ports of services")
    return _of(network, "network", "lets its containers reach what is outside their network")


def no_way_round(snapshot: Snapshot, namespace: Namespace, rule: Rule) -> Cause | None:
    """``nat DOCKER -i docker0 -j RETURN``."""
    into = rule.match("in-interface")
    if (rule.table, rule.chain, rule.target) != ("nat", "DOCKER", "RETURN") or not into:
        return None
    why = "leaves its containers' own packets to docker-proxy: they meet no DNAT rule"
    return _of(_network(snapshot, into.value), "network", why)


def isolation(snapshot: Snapshot, namespace: Namespace, rule: Rule) -> Cause | None:
    """The rules of ``DOCKER-ISOLATION-STAGE-1`` and ``-2`` for one bridge."""
    if not rule.chain.startswith("DOCKER-ISOLATION"):
        return None
    named = rule.match("in-interface") or rule.match("out-interface")
    if not named:
        return None
    network = _network(snapshot, named.value)
    if rule.match("source") or rule.match("destination"):
        return _of(network, "network", "keeps this internal network to itself")
    return _of(network, "network", "keeps it apart from other bridge networks")


def forwarding(snapshot: Snapshot, namespace: Namespace, rule: Rule) -> Cause | None:
    """The rules of ``FORWARD`` for one bridge: answers, published ports, outside, each other."""
    into, out = rule.match("in-interface"), rule.match("out-interface")
    named = out if out and not out.negated else into
    if (rule.table, rule.chain) != ("filter", "FORWARD") or not named or named.negated:
        return None
    network = _network(snapshot, named.value)
    if rule.match("ctstate"):
        why = "lets answers through to its containers"
    elif rule.target == "DOCKER":
        why = "asks for the published ports of its containers"
    elif out and out.negated:
        why = "lets its containers send to the outside"
    elif rule.target == "DROP":
        why = "keeps its containers apart: enable_icc is false"
    else:
        why = "lets its containers talk to each other"
    return _of(network, "network", why)


def name_server(snapshot: Snapshot, namespace: Namespace, rule: Rule) -> Cause | None:
    """What leads 127.0.0.11:53 to the engine's sockets in a container's namespace, and back."""
    if OWN_DNS not in (_host(rule, "destination"), _host(rule, "source")):
        return None
    inside = [c for c in snapshot.containers if c.namespace == namespace.id]
    # On the default bridge and on ingress there are no names.
    networks = [
        e.network for c in inside for e in c.endpoints if e.network not in ("bridge", "ingress")
    ]
    where = f" of {', '.join(networks)}" if networks else ""
    return Cause(
        kind="name server", words=f"DNS{where}",
        container=inside[0].name if inside else None,
        network=networks[0] if networks else None,
        why=f"joins {OWN_DNS}, port 53, to the engine's own name server",
    )  # fmt: skip


def routing_mesh(snapshot: Snapshot, namespace: Namespace, rule: Rule) -> Cause | None:
    """A published port of a Swarm service: DOCKER-INGRESS, and the rules of ``ingress_sbox``."""
    port = _asked(rule, "destination-port") or _asked(rule, "source-port")
    swarm = any(n.name == "ingress" for n in snapshot.networks)
    mesh = rule.chain == SWARM_CHAIN
    marked = namespace.kind == "sandbox" and rule.target == "MARK"
    redirected = namespace.kind == "container" and rule.target == "REDIRECT"
    if not swarm or not port or not (mesh or marked or redirected):
        return None
    return Cause(
        kind="Swarm", words=f"Swarm's port {port}", network="ingress",
        why=f"is part of the routing mesh: each node takes port {port} for a service",
    )  # fmt: skip


def mesh_network(snapshot: Snapshot, namespace: Namespace, rule: Rule) -> Cause | None:
    """The rules of a namespace on ``ingress`` for its address there, and those of IPVS."""
    if namespace.kind == "host":
        return None
    ingress = snapshot.network("ingress")
    sides = [_host(rule, side) for side in ("source", "destination")]
    here = {a.address for i in namespace.interfaces for a in i.addresses}
    if ingress and (rule.match("ipvs") or (rule.table == "filter" and set(sides) & here)):
        return _of(ingress, "Swarm", "lets only the routing mesh in at the address on ingress")
    if ingress and rule.target == "MARK" and namespace.kind == "sandbox":
        return _of(ingress, "Swarm", "marks a service's packets for IPVS")
    return None


def engine(snapshot: Snapshot, namespace: Namespace, rule: Rule) -> Cause | None:
    """The jumps that the engine writes once, whatever runs on it, and the ends of its chains."""
    why = {
        "DOCKER": "leads to the published ports",
        "DOCKER-USER": "lets your own rules decide before Docker's",
        "DOCKER-ISOLATION-STAGE-1": "keeps bridge networks apart, first half: where from",
        SWARM_CHAIN: "leads to the published ports of Swarm's services",
    }.get(rule.target or "")
    if rule.target == "RETURN" and rule.chain.startswith("DOCKER") and not rule.matches:
        why = "goes on where the chain was called"
    if not why or _asked(rule, "in-interface"):
        return None
    return Cause(kind="engine", words="Docker", why=f"{why}; the engine writes it when it starts")


def learner(snapshot: Snapshot, namespace: Namespace, rule: Rule) -> Cause | None:
    """What stands in DOCKER-USER: Docker never writes there but the last RETURN."""
    if rule.chain != "DOCKER-USER":
        return None
    return Cause(kind="your rules", words="yours",
                 why="somebody wrote it: Docker leaves this chain alone")  # fmt: skip


Recogniser = Callable[[Snapshot, Namespace, Rule], Cause | None]
RECOGNISERS: tuple[Recogniser, ...] = (
    published_port, accepted_port, hairpin, link, name_server, routing_mesh, mesh_network,
    masquerade, no_way_round, isolation, forwarding, engine, learner,
)  # fmt: skip


def _port(
    snapshot: Snapshot, rule: Rule, address: str, port: str, host_port: int, why: str
) -> Cause | None:
    """The published ports that lead to that port of the container at that address."""
    container = _at(snapshot, address)
    if container is None or not port.isdecimal():
        return None
    asked = rule.match("protocol")
    ports = tuple(
        p
        for p in container.ports
        if p.container_port == int(port)
        and (asked is None or p.protocol == asked.value)
        and host_port in (0, p.host_port)
        and _same_place(rule, p)
    )
    if not ports:
        return None
    numbers = [str(number) for number in sorted({p.host_port for p in ports})]
    words = f"port{'s' * (len(numbers) > 1)} {', '.join(numbers)} of {container.name}"
    return Cause(kind="published port", words=words, container=container.name, ports=ports,
                 why=f"{why}: {container.name} publishes {_published(ports)}")  # fmt: skip


def _same_place(rule: Rule, port: Port) -> bool:
    """Whether a DNAT rule asks for the host's address at which the port is published."""
    if rule.target != "DNAT":
        return True
    anywhere = port.host_address in ("", "0.0.0.0", "::")
    return (_host(rule, "destination") or None) == (None if anywhere else port.host_address)


def _published(ports: tuple[Port, ...]) -> str:
    pairs = {(p.host_port, f"{p.host_port} → {p.container_port}/{p.protocol}") for p in ports}
    return ", ".join(words for _, words in sorted(pairs))


def _at(snapshot: Snapshot, address: str) -> Container | None:
    """The container with that address: an endpoint's, or one that its namespace alone tells."""
    if not address:
        return None
    for container in snapshot.containers:
        if any(e.address == address for e in container.endpoints):
            return container
    for namespace in (n for n in snapshot.namespaces if n.kind == "container"):
        if any(a.address == address for i in namespace.interfaces for a in i.addresses):
            inside = (c for c in snapshot.containers if c.namespace == namespace.id)
            return next(inside, None)
    return None


def _network(snapshot: Snapshot, bridge: str) -> Network | None:
    return next((n for n in snapshot.networks if n.bridge == bridge), None)


def _of(network: Network | None, kind: str, why: str) -> Cause | None:
    if network is None:
        return None
    words = "Swarm" if kind == "Swarm" else f"network {network.name}"
    return Cause(kind=kind, words=words, network=network.name, why=f"network {network.name}: {why}")


def _asked(rule: Rule, name: str) -> str:
    """The value of a condition, or nothing when there is none or its contrary is asked for."""
    option = rule.match(name)
    return option.value if option and not option.negated else ""


def _host(rule: Rule, side: str) -> str:
    """The one address that a rule asks for as source or destination, or nothing."""
    value = _asked(rule, side)
    return value.removesuffix("/32") if value.endswith("/32") else ""
