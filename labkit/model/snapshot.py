"""The networking of one lab host at one moment, as frozen values; JSON in and out.

Nothing here reads a network or draws one. Field names are those of iproute2 and of the Docker
Engine API where these have one.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from labkit.errors import SnapshotError
from labkit.model.nftables import NftChain
from labkit.model.rules import Chain, Rule
from labkit.model.value import Saved, Value


class Address(Value):
    """An address of an interface, as in ``ip address`` (ip-address(8))."""

    address: str
    prefix: int
    scope: str  # "global", "link", "host"


class Peer(Value):
    """The other end of a veth pair: veth(4)."""

    namespace: (
        int | None
    )  # Namespace.id; None when it lies outside this host (eth0's end at the LAN)
    name: str | None
    index: int


class Interface(Value):
    """A network interface, as in ``ip -d link`` (ip-link(8))."""

    index: int
    name: str
    kind: str  # IFLA_INFO_KIND: "veth", "bridge", "macvlan", "vxlan", …; "loopback", "" for none
    mac: str
    mtu: int
    up: bool  # administratively up (IFF_UP)
    state: str  # operational state: "up", "down", "unknown", "lowerlayerdown"
    addresses: tuple[Address, ...] = ()
    master: str | None = None  # the bridge of which this is a port
    parent: str | None = None  # of a macvlan, ipvlan or VLAN interface
    peer: Peer | None = None
    vni: int | None = None  # of a vxlan interface
    mode: str | None = None  # of a macvlan or ipvlan interface
    vlan: int | None = None  # of an 802.1Q interface
    rx_packets: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0


class Route(Value):
    """A row of the main routing table, as in ``ip route`` (ip-route(8))."""

    destination: str  # "default" or a CIDR prefix
    gateway: str | None = None
    interface: str | None = None
    source: str | None = None
    scope: str = "global"
    protocol: str = "boot"


class Neighbour(Value):
    """A row of the neighbour (ARP, NDP) table, as in ``ip neighbour`` (ip-neighbour(8))."""

    address: str
    mac: str | None
    interface: str
    state: str  # "reachable", "stale", "permanent", …


class ForwardingEntry(Value):
    """A row of a bridge's or VXLAN's forwarding database, as in ``bridge fdb`` (bridge(8))."""

    mac: str
    interface: str
    master: str | None = None
    vlan: int | None = None
    remote: str | None = None  # dst of a VXLAN entry: the VTEP behind which the MAC lives
    permanent: bool = False


class Tuple(Value):
    """One direction of a connection: addresses, and ports or the ICMP id."""

    source: str
    destination: str
    source_port: int | None = None
    destination_port: int | None = None


class ConntrackEntry(Value):
    """A row of the connection tracking table, as in ``conntrack -L`` (conntrack(8))."""

    protocol: str  # "tcp", "udp", "icmp", …
    original: Tuple
    reply: Tuple
    state: str | None = None  # TCP's: "ESTABLISHED", "TIME_WAIT", …
    timeout: int = 0  # seconds
    seen_reply: bool = False
    assured: bool = False
    snat: bool = False  # IPS_SRC_NAT
    dnat: bool = False  # IPS_DST_NAT


class Socket(Value):
    """A listening TCP socket or an unconnected UDP one, as in ``ss -lntup`` (ss(8))."""

    protocol: str  # "tcp" or "udp"
    address: str
    port: int
    process: str | None = None
    pid: int | None = None


class Namespace(Value):
    """A network namespace (network_namespaces(7)) and what is in it."""

    id: int  # inode number of the namespace file
    kind: str  # "host", "container", "sandbox" (Docker's own, of an overlay network)
    name: str  # the lab host's name, the container's name, the sandbox's file name
    interfaces: tuple[Interface, ...] = ()
    routes: tuple[Route, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    forwarding: tuple[ForwardingEntry, ...] = ()
    chains: tuple[Chain, ...] = ()  # iptables: every table's chains, in iptables-save order
    chains6: tuple[Chain, ...] = ()  # those of IPv6, in ip6tables-save order
    nftables: tuple[NftChain, ...] = ()  # those that nft made, not iptables
    conntrack: tuple[ConntrackEntry, ...] = ()
    sockets: tuple[Socket, ...] = ()

    def families(self) -> Iterator[tuple[str, Chain]]:
        """Every chain with its family: iptables' and ip6tables', then nft's."""
        yield from (("ip", c) for c in self.chains)
        yield from (("ip6", c) for c in self.chains6)
        yield from ((c.family, c) for c in self.nftables)

    def rules(self, table: str, *chains: str) -> tuple[Rule, ...]:
        """The rules of iptables in that table: in all its chains, or in those named."""
        named = (c for c in self.chains if c.table == table and (not chains or c.name in chains))
        return tuple(rule for chain in named for rule in chain.rules)

    def interface(self, name: str | None) -> Interface | None:
        """The interface of that name, or None."""
        return next((i for i in self.interfaces if i.name == name), None)


class Subnet(Value):
    """A subnet of a Docker network (IPAM.Config)."""

    subnet: str
    gateway: str | None = None


class Network(Value):
    """A Docker network, as the engine tells it (``docker network inspect``)."""

    id: str
    name: str
    driver: str
    scope: str
    internal: bool = False
    subnets: tuple[Subnet, ...] = ()
    options: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def bridge(self) -> str | None:
        """The bridge interface of a bridge network: its name option, else br- and the id."""
        if self.driver != "bridge":
            return None
        return self.options.get("com.docker.network.bridge.name") or f"br-{self.id[:12]}"


class Endpoint(Value):
    """A container's attachment to a Docker network."""

    network: str  # Network.name
    address: str | None = None
    mac: str | None = None
    aliases: tuple[str, ...] = ()


class Port(Value):
    """A published port, as in ``docker port``."""

    container_port: int
    protocol: str
    host_address: str
    host_port: int


class Container(Value):
    """A running container, as the engine tells it (``docker inspect``)."""

    id: str
    name: str
    image: str
    namespace: int | None  # Namespace.id; the host's own id with --network host
    network_mode: str
    pid: int
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[Port, ...] = ()

    @property
    def mode(self) -> str:
        """What ``--network`` named; the engine may call the default bridge "default"."""
        return "bridge" if self.network_mode == "default" else self.network_mode

    @property
    def where(self) -> str:
        """The names of its networks, for a sentence."""
        return " and ".join(e.network for e in self.endpoints) or "no network"

    def endpoint(self, network: str) -> Endpoint | None:
        """Its attachment to that network, or None."""
        return next((e for e in self.endpoints if e.network == network), None)


class Snapshot(Saved):
    """Everything about a lab host's networking at one moment, or about another node's.

    Example:
        >>> text = '{"host": "host1", "time": 0.0, "engine": null, "namespaces": []}'
        >>> Snapshot.from_json(text).host
        'host1'
    """

    host: str
    time: float  # seconds since the epoch
    engine: str | None  # the engine's version; None when it does not answer
    namespaces: tuple[Namespace, ...]
    networks: tuple[Network, ...] = ()
    containers: tuple[Container, ...] = ()
    kind: str = "host"  # "host", "station", "router", "outside"

    @property
    def root(self) -> Namespace:
        """The node's own namespace; SnapshotError if the snapshot has none."""
        for namespace in self.namespaces:
            if namespace.kind == "host":
                return namespace
        raise SnapshotError(f"this snapshot has no namespace of a lab host, such as {self.host}")

    def namespace(self, id: int | None) -> Namespace | None:
        """The namespace with that inode number, or None."""
        return next((n for n in self.namespaces if n.id == id), None)

    def network(self, name: str) -> Network | None:
        """The Docker network of that name, or None."""
        return next((n for n in self.networks if n.name == name), None)

    def container(self, name: str) -> Container | None:
        """The container of that name, or None."""
        return next((c for c in self.containers if c.name == name), None)
