"""The peer of a snapshot: netlink's tables of some namespaces, asked for, received, not looked at.

Runs on a lab host, with nothing but Python: ``python3 - PID…``; prints the seconds that it took.
"""

import ctypes
import os
import socket
import struct
import sys
import time

CLONE_NEWNET = 0x40000000
DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
ENDS = (2, 3)  # NLMSG_ERROR, NLMSG_DONE
ROUTE, SOCK_DIAG, NETFILTER = 0, 4, 12
AF_INET, AF_INET6, AF_BRIDGE, TCP, UDP = 2, 10, 7, 6, 17
CONNTRACK = 0x101
# rtnetlink(7): links, addresses, routes of both families, neighbours, forwarding entries
TABLES = ((18, 0), (22, 0), (26, AF_INET), (26, AF_INET6), (30, 0), (30, AF_BRIDGE))
REQUESTS = (
    (ROUTE, [(kind, struct.pack("=B15x", family)) for kind, family in TABLES]),
    (
        SOCK_DIAG,  # sock_diag(7): listening TCP sockets, unconnected UDP ones
        [
            (20, struct.pack("=BBBxI48x", family, protocol, 0, states))
            for family in (AF_INET, AF_INET6)
            for protocol, states in ((TCP, 1 << 10), (UDP, 1 << 7))
        ],
    ),
    # nfnetlink: connection tracking, nf_tables' tables
    (NETFILTER, [(CONNTRACK, bytes(4)), (0xA01, bytes(4))]),
)
# Whether there is a connection: the kernel takes 5 ms to find none, which would flatter us.
COUNT = "/proc/sys/net/netfilter/nf_conntrack_count"


def main(pids: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    start = time.perf_counter()
    for pid in pids:
        file = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        assert libc.setns(file, CLONE_NEWNET) == 0
        os.close(file)
        with open(COUNT) as count:
            tracks = count.read() != "0\n"
        for family, requests in REQUESTS:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family) as netlink:
                for kind, body in requests:
                    if kind == CONNTRACK and not tracks:
                        continue
                    netlink.send(struct.pack("=IHHII", 16 + len(body), kind, DUMP, 1, 0) + body)
                    while not last(netlink.recv(1 << 18)):
                        pass
    print(time.perf_counter() - start)


def last(data: bytes) -> bool:
    """Whether the end of a dump is among these messages."""
    at = 0
    while at < len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if kind in ENDS:
            return True
        at += (length + 3) & ~3
    return False


main(["self", *sys.argv[1:]])
