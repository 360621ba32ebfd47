"""What the bytes of a packet say, and what names it whatever NAT does to it."""

from __future__ import annotations

import socket
import struct

import dpkt
import pytest

from labkit.model import frames


def ip(source: str, destination: str, protocol: int, body: bytes, **fields: int) -> bytes:
    """An IPv4 packet, made by dpkt."""
    addresses = {"src": socket.inet_aton(source), "dst": socket.inet_aton(destination)}
    packet = dpkt.ip.IP(**addresses, p=protocol, **{"id": 7, **fields})
    packet.data = body
    packet.len = 20 + len(body)
    return bytes(packet)


def later_fragment(packet: bytes) -> bytes:
    """The same with an offset: it has no transport header."""
    return packet[:6] + struct.pack(">H", 100) + packet[8:]


def ethernet(packet: bytes, kind: int = 0x0800) -> bytes:
    return bytes.fromhex("02420a090002 02420a090001") + struct.pack(">H", kind) + packet


def echo(number: int, sequence: int, kind: int = 8) -> bytes:
    data = dpkt.icmp.ICMP.Echo(id=number, seq=sequence, data=b"x" * 56)
    return bytes(dpkt.icmp.ICMP(type=kind, data=data))


def udp(port: int, body: bytes, source: int = 40000) -> bytes:
    return bytes(dpkt.udp.UDP(sport=source, dport=port, data=body, ulen=8 + len(body)))


def seen(packet: bytes) -> frames.Seen:
    return frames.frame(ethernet(packet))


def test_nat_does_not_change_what_a_packet_is():
    tcp = dpkt.tcp.TCP(sport=40000, dport=8080, seq=1, ack=2, flags=2)
    before = seen(ip("10.0.0.1", "10.0.0.2", 6, bytes(tcp)))
    rewritten = dpkt.tcp.TCP(sport=50000, dport=80, seq=1, ack=2, flags=2)
    after = seen(ip("10.0.0.3", "10.0.0.4", 6, bytes(rewritten), ttl=9))
    assert before.identity == after.identity
    assert before.headers != after.headers
    another = dpkt.tcp.TCP(sport=40000, dport=8080, seq=2, ack=2, flags=2)
    assert seen(ip("10.0.0.1", "10.0.0.2", 6, bytes(another))).identity != before.identity


def test_pings_are_told_apart_by_their_sequence_and_not_by_their_id():
    first, same, next_one = (
        seen(ip("10.0.0.1", "10.0.0.2", 1, echo(*numbers))) for numbers in ((5, 1), (6, 1), (5, 2))
    )
    assert first.identity == same.identity != next_one.identity
    assert first.headers.says == "echo request, sequence 1"
    assert (first.begins, next_one.begins) == (True, False)  # it began before we listened


def test_an_error_belongs_to_what_it_is_about():
    asked = ip("10.0.0.1", "10.0.0.2", 17, udp(53, b"12345678901234567890"))
    body = dpkt.icmp.ICMP(type=3, code=3, data=dpkt.icmp.ICMP.Unreach(data=asked))
    error = seen(ip("10.0.0.9", "10.0.0.1", 1, bytes(body)))
    assert error.headers.says == "port unreachable"
    assert error.flow == ("udp", ("10.0.0.2", 53), ("10.0.0.1", 40000))
    assert not error.begins


def test_a_vxlan_packet_is_the_packet_inside():
    inner = ip("10.9.0.2", "10.9.0.3", 1, echo(1, 1))
    head = b"\x08\0\0\0" + (4097).to_bytes(3, "big") + b"\0"
    outer = ip("192.168.56.11", "192.168.56.12", 17, udp(4789, head + ethernet(inner)))
    carried = seen(outer)
    assert carried.identity == seen(inner).identity
    assert (carried.headers.vni, carried.headers.source) == (4097, "10.9.0.2")
    assert carried.headers.outer.source == "192.168.56.11"
    assert seen(ip("192.168.56.11", "192.168.56.12", 17, udp(4789, head + b"\0" * 42))) is None


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({"qr": 0}, "A? web"),
        ({"qr": 1, "rcode": 3}, "no such name: A web"),
        ({"qr": 1, "rcode": 5}, "refused: A web"),
        ({"qr": 1, "rcode": 9}, "error 9: A web"),
        ({"qr": 1}, "A: none of web"),
    ],
)
def test_names(question, says):
    message = dpkt.dns.DNS(qd=[dpkt.dns.DNS.Q(name="web", type=1)])
    for name, value in question.items():
        setattr(message, name, value)
    packet = seen(ip("10.0.0.1", "10.0.0.2", 17, udp(53, bytes(message))))
    assert (packet.speaks, packet.headers.says) == ("DNS", says)


def answer_of(address: bytes) -> bytes:
    """An answer to the question for web's IPv4 address."""
    name = b"\x03web\0" + struct.pack(">HH", 1, 1)
    counts = struct.pack(">HHHHHH", 7, 0x8180, 1, 1, 0, 0)
    return counts + name + name + struct.pack(">IH", 60, len(address)) + address


def test_an_answer_is_its_address():
    body = answer_of(bytes([172, 18, 0, 2]))
    packet = seen(ip("10.0.0.1", "10.0.0.2", 17, udp(4000, body, source=53)))
    assert packet.headers.says == "A 172.18.0.2"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff" * 11,
        b"\xc0" * 40,
        b"\0" * 5 + b"\x09" + b"a" * 30,
        answer_of(b"\x04\n\x05\0\x02"),
    ],
)
def test_what_is_no_dns_on_its_port_is_so_many_bytes(body):
    packet = seen(ip("10.0.0.1", "10.0.0.2", 17, udp(53, body)))
    assert packet.headers.says == f"{len(body)} bytes"


def test_a_first_fragment_is_the_packet_that_it_is_part_of():
    whole = ip("10.0.0.1", "10.0.0.2", 1, echo(1, 1))
    part = whole[:2] + struct.pack(">H", 60) + whole[4:6] + b"\x20\0" + whole[8:60]
    assert seen(part).identity == seen(whole).identity


def test_what_is_no_packet_of_a_known_kind_is_left_out():
    assert frames.frame(b"") is None
    assert frames.frame(ethernet(b"\0" * 40, 0x0806)) is None  # ARP
    assert seen(ip("10.0.0.1", "224.0.0.22", 2, b"\0" * 20)) is None  # IGMP
    assert seen(later_fragment(ip("10.0.0.1", "10.0.0.2", 17, b"\0" * 20))) is None
    assert seen(ip("10.0.0.1", "10.0.0.2", 17, b"\0" * 3)) is None


def test_any_bytes_are_read_without_an_error():
    whole = ethernet(ip("10.0.0.1", "10.0.0.2", 1, echo(1, 1, kind=3)))
    for length in range(len(whole)):
        frames.frame(whole[:length])
        for value in (0, 0x45, 0xFF):
            frames.frame(whole[:length] + bytes([value]) + whole[length + 1 :])
