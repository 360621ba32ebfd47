"""Interfaces, addresses, routes, neighbours and forwarding entries: rtnetlink(7).

Each function asks over a socket in the namespace in question. Numbers of messages and attributes
are those of linux/rtnetlink.h, if_link.h, if_addr.h, neighbour.h and net_namespace.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from labkit.agent.netlink import address, answer, attributes, dump, message, number

GETLINK, GETADDR, GETROUTE, GETNEIGH, GETNSID = 18, 22, 26, 30, 90
LINK, ADDRESS = struct.Struct("=2xHiI4x"), struct.Struct("=xBxBI")
ROUTE, NEIGHBOUR = struct.Struct("=xB2x3B5x"), struct.Struct("=4xiH2x")
AF_BRIDGE, RT_TABLE_MAIN = 7, 254
ARPHRD_LOOPBACK, IFF_UP = 772, 1
NUD_NOARP, NUD_PERMANENT = 0x40, 0x80  # ip-neighbour(8) does not list the former either
NEIGHBOUR_STATES = {
    1: "incomplete", 2: "reachable", 4: "stale", 8: "delay", 16: "probe",
    32: "failed", 128: "permanent",
}  # fmt: skip
LINK_STATES = ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"]
SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
PROTOCOLS = {1: "redirect", 2: "kernel", 3: "boot", 4: "static", 9: "ra"}
MODES = {
    "macvlan": {1: "private", 2: "vepa", 4: "bridge", 8: "passthru", 16: "source"},
    "ipvlan": {0: "l2", 1: "l3", 2: "l3s"},
}


def interfaces(route: socket.socket) -> list[dict]:
    """All interfaces with their addresses."""
    found = {i["index"]: i for i in map(_interface, _table(route, GETLINK))}
    for interface in found.values():
        interface["master"] = found.get(interface["master"], {}).get("name")
    for body in _table(route, GETADDR):
        prefix, scope, index = ADDRESS.unpack_from(body)
        told = attributes(body, ADDRESS.size)
        if index in found:  # else it came while we looked
            found[index]["addresses"].append(
                {
                    "address": address(told.get(2) or told[1]),  # IFA_LOCAL, IFA_ADDRESS
                    "prefix": prefix,
                    "scope": SCOPES.get(scope, str(scope)),
                }
            )
    return list(found.values())


def _interface(body: bytes) -> dict:
    hardware, index, flags = LINK.unpack_from(body)
    told = attributes(body, LINK.size)
    info = attributes(told.get(18, b""))  # IFLA_LINKINFO: IFLA_INFO_KIND, IFLA_INFO_DATA
    kind = _text(info.get(1, b""))
    # IFLA_VXLAN_ID, IFLA_VLAN_ID, IFLA_MACVLAN_MODE and IFLA_IPVLAN_MODE are 1, all of them.
    first = number(attributes(info.get(2, b"")).get(1))
    counters = told.get(23, bytes(32))  # IFLA_STATS64
    rx_packets, tx_packets, rx_bytes, tx_bytes = struct.unpack_from("=4Q", counters)
    return {
        "index": index,
        "name": _text(told[3]),  # IFLA_IFNAME
        "kind": "loopback" if kind == "" and hardware == ARPHRD_LOOPBACK else kind,
        "mac": told.get(1, b"").hex(":"),  # IFLA_ADDRESS
        "mtu": number(told[4]),  # IFLA_MTU
        "up": bool(flags & IFF_UP),
        "state": LINK_STATES[told[16][0]],  # IFLA_OPERSTATE
        "addresses": [],
        "master": number(told.get(10)),  # IFLA_MASTER
        "link": number(told.get(5)),  # IFLA_LINK
        "link_nsid": number(told.get(37)),  # IFLA_LINK_NETNSID
        "vni": first if kind == "vxlan" else None,
        "vlan": first if kind == "vlan" else None,
        "mode": MODES[kind].get(first or 0, str(first)) if kind in MODES else None,
        "rx_packets": rx_packets,
        "rx_bytes": rx_bytes,
        "tx_packets": tx_packets,
        "tx_bytes": tx_bytes,
    }


def routes(route: socket.socket, names: dict[int, str]) -> Iterator[dict]:
    """The main tables, of IPv4 and then of IPv6."""
    for family in (socket.AF_INET, socket.AF_INET6):
        for body in _table(route, GETROUTE, family):
            length, table, protocol, scope = ROUTE.unpack_from(body)
            if table == RT_TABLE_MAIN:
                told = attributes(body, ROUTE.size)
                yield {
                    "destination": f"{address(told[1])}/{length}" if 1 in told else "default",
                    "gateway": address(told.get(5)),  # RTA_GATEWAY
                    "interface": names.get(number(told.get(4, b""))),  # RTA_OIF
                    "source": address(told.get(7)),  # RTA_PREFSRC
                    "scope": SCOPES.get(scope, str(scope)),
                    "protocol": PROTOCOLS.get(protocol, str(protocol)),
                }


def neighbours(route: socket.socket, names: dict[int, str]) -> Iterator[dict]:
    """The neighbour tables of IPv4 and IPv6."""
    for body in _table(route, GETNEIGH):
        index, state = NEIGHBOUR.unpack_from(body)
        if state & ~NUD_NOARP:
            told = attributes(body, NEIGHBOUR.size)
            yield {
                "address": address(told[1]),  # NDA_DST
                "mac": told[2].hex(":") if 2 in told else None,  # NDA_LLADDR
                "interface": names.get(index, str(index)),
                "state": NEIGHBOUR_STATES.get(state, str(state)),
            }


def forwarding(route: socket.socket, names: dict[int, str]) -> Iterator[dict]:
    """The forwarding databases of bridges and VXLAN interfaces."""
    for body in _table(route, GETNEIGH, AF_BRIDGE):
        index, state = NEIGHBOUR.unpack_from(body)
        told = attributes(body, NEIGHBOUR.size)
        yield {
            "mac": told[2].hex(":"),  # NDA_LLADDR
            "interface": names.get(index, str(index)),
            "master": names.get(number(told.get(9, b""))),  # NDA_MASTER
            "vlan": number(told.get(5)),  # NDA_VLAN
            "remote": address(told.get(1)),  # NDA_DST
            "permanent": bool(state & NUD_PERMANENT),
        }


def nsid(route: socket.socket, namespace: int) -> int:
    """The number by which this namespace knows that of an open file (RTM_GETNSID, NETNSA_FD).

    It is the largest, NETNSA_NSID_NOT_ASSIGNED, where it does not.
    """
    route.send(message(GETNSID, 0, struct.pack("=4xHHi", 8, 3, namespace)))
    return number(attributes(answer(route), 4)[1])  # NETNSA_NSID


def _table(route: socket.socket, kind: int, family: int = socket.AF_UNSPEC) -> Iterator[bytes]:
    return dump(route, kind, struct.pack("=B15x", family))


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode()
