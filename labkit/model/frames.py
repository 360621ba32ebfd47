"""What the bytes of a packet say: its headers, a few words of its content, what identifies it.

Frames come from captures, whole or cut off; a trace gives the first bytes of the network and the
transport header. Decoding is dpkt's.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from ipaddress import ip_address

import dpkt
import msgspec

from labkit.model.journey import Headers

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
PROTOCOLS = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMP6: "icmpv6"}
VXLAN = 4789
FLAGS = {2: "SYN", 1: "FIN", 4: "RST", 8: "PSH", 16: "ACK"}
ECHO = {(ICMP, 8): "request", (ICMP, 0): "reply", (ICMP6, 128): "request", (ICMP6, 129): "reply"}
ERRORS = {
    (ICMP, 3): "destination unreachable",
    (ICMP, 11): "time exceeded",
    (ICMP6, 1): "destination unreachable",
    (ICMP6, 3): "time exceeded",
}
UNREACHABLE = {0: "network", 1: "host", 2: "protocol", 3: "port"}
RECORDS = {1: "A", 28: "AAAA", 12: "PTR", 5: "CNAME", 16: "TXT", 15: "MX"}
FAILURES = {2: "server failure", 3: "no such name", 5: "refused"}  # RFC 1035, section 4.1.1

Flow = tuple[str, tuple[str, int | None], tuple[str, int | None]]  # protocol, source, destination


@dataclass(frozen=True)
class Seen:
    """A packet as it stands at one place."""

    headers: Headers
    identity: tuple  # the same wherever the packet is, whatever NAT does to it
    flow: Flow | None  # the conversation's addresses, from this packet's sender to its receiver
    begins: bool  # whether a conversation can begin with it
    speaks: str  # "TCP", "UDP", "ICMP"; "DNS", "HTTP" where the content tells
    carrier: tuple | None = None  # the identity of the VXLAN packet around it


def frame(data: bytes) -> Seen | None:
    """An Ethernet frame; None when there is no IP packet of a known protocol in it."""
    if len(data) < 34:
        return None
    kind = struct.unpack_from(">H", data, 12)[0]
    if kind not in (0x0800, 0x86DD):
        return None
    packet = data[14:]
    size = (packet[0] & 15) * 4 if kind == 0x0800 else 40
    outer = seen(packet[:size], packet[size:], data[:14])
    if outer and outer.headers.protocol == "udp" and outer.headers.destination_port == VXLAN:
        body = packet[size + 8 :]
        inner = frame(body[8:])
        if inner is None:
            return None
        vni = int.from_bytes(body[4:7], "big")
        headers = msgspec.structs.replace(inner.headers, vni=vni, outer=outer.headers)
        return replace(inner, headers=headers, carrier=outer.identity)
    return outer


def seen(network: bytes, transport: bytes, link: bytes = b"") -> Seen | None:
    """A packet from its network header and what follows; None for an unknown protocol.

    Example:
        >>> ip = bytes.fromhex("4500003c000140004006 0000 ac110002 cb00710a")
        >>> tcp = bytes.fromhex("9c400050 00000001 00000000 a002fa00 00000000")
        >>> headers = seen(ip, tcp).headers
        >>> headers.source, headers.destination_port, headers.says
        ('172.17.0.2', 80, 'SYN')
    """
    version = network[0] >> 4 if network else 0
    if len(network) < {4: 20, 6: 40}.get(version, 1 << 16):
        return None
    if version == 4:
        length, number, fragment, ttl, protocol = struct.unpack_from(">HHHBB", network, 2)
        ends = network[12:16], network[16:20]
        if fragment & 0x1FFF:
            return None  # the first fragment stands for the packet, whole or not
        mark = number
    else:
        length, protocol, ttl = struct.unpack_from(">HBB", network, 4)
        length += 40
        ends = network[8:24], network[24:40]
        mark = network[1:4]  # the flow label
    if protocol not in PROTOCOLS or len(transport) < 8:
        return None
    source, destination = (str(ip_address(end)) for end in ends)
    ports = struct.unpack_from(">HH", transport) if protocol in (TCP, UDP) else (None, None)
    # The link header of a trace may be that of a tunnel or of nothing.
    macs = [_mac(link[6:12]), _mac(link[:6])] if len(link) == 14 else [None, None]
    says, speaks = _says(protocol, transport, length - len(network), {source, destination})
    headers = Headers(
        source=source,
        destination=destination,
        protocol=PROTOCOLS[protocol],
        source_port=ports[0],
        destination_port=ports[1],
        ttl=ttl,
        length=length,
        source_mac=macs[0],
        destination_mac=macs[1],
        says=says,
    )
    identity = (protocol, mark, _content(protocol, transport))
    begins = _begins(protocol, transport)
    return Seen(headers, identity, _flow(headers, protocol, transport), begins, speaks)


def _content(protocol: int, transport: bytes) -> tuple:
    """What no NAT rewrites of the first 20 bytes from the transport header on."""
    if protocol == TCP:
        return (transport[4:14],)
    kind = (protocol, transport[0])
    if kind in ERRORS:  # the packet inside it is rewritten too, from its checksum on
        return (transport[:2], transport[8:18])
    if protocol == UDP:
        return (transport[8:20],)
    return (transport[:2], transport[6:20])  # without the id


def flow(headers: Headers) -> Flow:
    """The conversation of a packet with ports."""
    source = (headers.source, headers.source_port)
    return (headers.protocol, source, (headers.destination, headers.destination_port))


def _flow(headers: Headers, protocol: int, transport: bytes) -> Flow | None:
    kind = (protocol, transport[0])
    if protocol in (TCP, UDP):
        return flow(headers)
    if kind in ERRORS:
        return _complaint(transport[8:])
    if kind not in ECHO:
        return None
    number = struct.unpack_from(">H", transport, 4)[0]
    return (headers.protocol, (headers.source, number), (headers.destination, number))


def _complaint(packet: bytes) -> Flow | None:
    """An ICMP error belongs to the packet inside it, and goes the other way."""
    size = 40 if packet and packet[0] >> 4 == 6 else 20
    if len(packet) < size + 8:
        return None
    inner = seen(packet[:size], packet[size:])
    if inner is None or inner.flow is None:
        return None
    protocol, source, destination = inner.flow
    return (protocol, destination, source)


def _begins(protocol: int, transport: bytes) -> bool:
    if protocol == TCP:
        return transport[13] & 18 == 2 if len(transport) > 13 else False
    if ECHO.get((protocol, transport[0])) == "request":
        return struct.unpack_from(">H", transport, 6)[0] <= 1  # ping counts from 1, or from 0
    return protocol == UDP


def _says(
    protocol: int, transport: bytes, length: int, addresses: set[str]
) -> tuple[str, str]:  # fmt: skip
    """In a few words what a packet says, and what it speaks."""
    kind = (protocol, transport[0])
    if protocol == TCP and len(transport) >= 14:
        size = (transport[12] >> 4) * 4
        line = transport[size:].partition(b"\r\n")[0]
        if b"HTTP/1." in line:
            return line.decode("ascii", "replace")[:60], "HTTP"
        flags = ", ".join(n for bit, n in FLAGS.items() if transport[13] & bit)
        return (_count(length - size) if length > size else flags or "no flag"), "TCP"
    if protocol == UDP:
        names = 53 in struct.unpack_from(">HH", transport) or "127.0.0.11" in addresses
        said = names and _name_service(transport[8:])
        return (said, "DNS") if said else (_count(length - 8), "UDP")
    if kind in ECHO:
        sequence = struct.unpack_from(">H", transport, 6)[0]
        return f"echo {ECHO[kind]}, sequence {sequence}", "ICMP"
    if kind in ERRORS:
        what = UNREACHABLE.get(transport[1]) if kind == (ICMP, 3) else None
        return (f"{what} unreachable" if what else ERRORS[kind]), "ICMP"
    return f"type {transport[0]}", "ICMP"


def _name_service(payload: bytes) -> str | None:
    """A DNS question as "A? web", its answer as "A 172.18.0.2"."""
    try:
        message = dpkt.dns.DNS(payload)
    except (dpkt.UnpackError, IndexError, struct.error, UnicodeError):
        return None
    if len(message.qd) != 1:
        return None
    kind = RECORDS.get(message.qd[0].type, f"type {message.qd[0].type}")
    if message.qr == dpkt.dns.DNS_Q:
        return f"{kind}? {message.qd[0].name}"
    if message.rcode:
        failure = FAILURES.get(message.rcode, f"error {message.rcode}")
        return f"{failure}: {kind} {message.qd[0].name}"
    found = [a for a in message.an if a.type == message.qd[0].type]
    try:
        words = [_record(a) for a in found]
    except ValueError:  # an address that is too long or too short
        return None
    return f"{kind} {', '.join(words)}" if words else f"{kind}: none of {message.qd[0].name}"


def _record(answer: dpkt.dns.DNS.RR) -> str:
    if answer.type in (1, 28):
        return str(ip_address(answer.rdata))
    return getattr(answer, "ptrname", None) or getattr(answer, "cname", None) or answer.name


def _count(size: int) -> str:
    return f"{size} byte" + "s" * (size != 1)


def _mac(data: bytes) -> str:
    return data.hex(":")
