"""Read the network state of a lab host: every namespace of it and of its containers.

In phases: find the namespaces; read each one through netlink (rtnetlink(7), nfnetlink,
sock_diag(7)), and where there are rules with the tools that write them as text; then resolve what
one namespace says of another. Facts only, as plain JSON values in the shape of
``labkit.model.snapshot``; what they mean is said there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from labkit.agent import diag, engine
from labkit.agent.network import Node, join
from labkit.agent.process import Children

AF_INET, AF_INET6, RT_TABLE_MAIN = 2, 10, 254
IFF_UP = 1
NUD_NOARP, NUD_PERMANENT = 0x40, 0x80  # ip-neighbour(8) does not list the former either
SEEN_REPLY, ASSURED, SRC_NAT, DST_NAT = 2, 4, 16, 32  # nf_conntrack_common.h
NEIGHBOUR_STATES = {
    1: "incomplete", 2: "reachable", 4: "stale", 8: "delay", 16: "probe",
    32: "failed", 128: "permanent",
}  # fmt: skip
SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
PROTOCOLS = {1: "redirect", 2: "kernel", 3: "boot", 4: "static", 9: "ra"}  # rtnetlink.h
TCP_STATES = [
    "NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK",
    "TIME_WAIT", "CLOSE", "SYN_SENT2",
]  # fmt: skip
MODES = {  # if_link.h
    "macvlan": (
        "IFLA_MACVLAN_MODE",
        {1: "private", 2: "vepa", 4: "bridge", 8: "passthru", 16: "source"},
    ),
    "ipvlan": ("IFLA_IPVLAN_MODE", {0: "l2", 1: "l3", 2: "l3s"}),
}
IPTABLES = ("raw", "mangle", "nat", "filter", "security")  # the names of its tables
NFT = "nft --numeric-priority list ruleset"
MARK = "@"  # a line that none of the tools writes
TOOLS_AT_ONCE = 4


async def observe(children: Children, node: Node) -> dict:
    """The facts of a node now."""
    known = await asyncio.to_thread(engine.facts, node.root)
    with contextlib.ExitStack() as open_files:
        found = places(node, known, open_files)
        # A thread that joins other namespaces is good for nothing else afterwards: one of its own.
        with ThreadPoolExecutor(max_workers=1) as own:
            loop = asyncio.get_running_loop()
            namespaces = await loop.run_in_executor(own, _join_and_read, found)
        limit = asyncio.Semaphore(TOOLS_AT_ONCE)
        pairs = zip(found, namespaces, strict=True)
        await asyncio.gather(*(_tools(children, limit, node, *pair) for pair in pairs))
        holders = await asyncio.to_thread(diag.owners, node.root)
    for listening in (s for n in namespaces for s in n["sockets"] if "inode" in s):
        listening["pid"], listening["process"] = holders.get(listening.pop("inode"), (None, None))
    return {
        "host": node.name,
        "kind": node.kind,
        "time": time.time(),
        "engine": known,
        "namespaces": namespaces,
    }


@dataclass(frozen=True)
class Place:
    """A network namespace to read. Its open file keeps it there, even when its container ends."""

    kind: str
    name: str
    file: int
    inode: int


def places(node: Node, known: dict | None, open_files: contextlib.ExitStack) -> list[Place]:
    """The node's own namespace, its containers', and Docker's own that no container has."""
    found: dict[int, Place] = {}
    nsfs = os.stat(f"/proc/{node.pid}/ns/net").st_dev

    def add(kind: str, name: str, path: Path) -> int | None:
        try:
            file = os.open(path, os.O_RDONLY)
        except OSError:
            return None  # it ended while we looked
        open_files.callback(os.close, file)
        status = os.fstat(file)
        # Docker's file of a namespace that has gone can be there still, no longer a namespace.
        if status.st_dev != nsfs:
            return None
        found.setdefault(status.st_ino, Place(kind, name, file, status.st_ino))
        return status.st_ino

    add("host", node.name, Path(f"/proc/{node.pid}/ns/net"))
    for container in (known or {}).get("containers", []):
        path = node.root / f"proc/{container['State']['Pid']}/ns/net"
        container["Namespace"] = add("container", container["Name"].lstrip("/"), path)
    sandboxes = node.root / "run/docker/netns"
    for path in sorted(sandboxes.iterdir()) if sandboxes.is_dir() else ():
        add("sandbox", path.name, path)
    return list(found.values())


async def _tools(
    children: Children, limit: asyncio.Semaphore, node: Node, place: Place, namespace: dict
) -> None:
    """Add what only a tool can tell, run with the node's own tools where there is something.

    Which tables of rules there are is the kernel's to say; no table, no process. The rules come
    as text: IPv4's and IPv6's as ``iptables-save -c`` writes them, others as ``nft`` does.
    """
    wanted = _rules_tools(namespace.pop("tables"))
    if namespace["sockets"] is None:
        wanted["sockets"] = "ss -Hlntup"
    texts = await _output(children, limit, node, place, wanted)
    # iptables-save says so when it passes over what nft has written in a way that is not its own.
    rules = [name for name in texts if name != "sockets"]
    if "nft" not in wanted and any("use 'nft' tool" in texts[name] for name in rules):
        texts |= await _output(children, limit, node, place, {"nft": NFT})
    namespace["rules"] = {name: texts[name] for name in (*rules, "nft") if name in texts}
    if namespace["sockets"] is None:
        namespace["sockets"] = _sockets(texts["sockets"])


def _rules_tools(tables: dict) -> dict[str, str]:
    """The commands that tell the rules of these tables."""
    wanted, families = {}, {"ip": "iptables", "ip6": "ip6tables"}
    for family, tool in families.items():
        if family in tables["legacy"]:
            wanted[f"{tool}-legacy"] = f"{tool}-legacy-save -c"
        if any(f == family and name in IPTABLES for f, name in tables["nf"]):
            wanted[tool] = f"{tool}-save -c"
    if any(family not in families or name not in IPTABLES for family, name in tables["nf"]):
        wanted["nft"] = NFT
    return wanted


async def _output(
    children: Children, limit: asyncio.Semaphore, node: Node, place: Place, wanted: dict[str, str]
) -> dict[str, str]:
    """What each of these commands prints in the namespace, all run by one shell."""
    if not wanted:
        return {}
    there = f"--net=/proc/{os.getpid()}/fd/{place.file}"
    script = f" && echo {MARK} && ".join(wanted.values())
    argv = ["nsenter", f"--target={node.pid}", "--mount", there, "--", "sh", "-c", script]
    async with limit:
        text = await children.output(argv)
    return dict(zip(wanted, text.split(f"{MARK}\n"), strict=True))


def _sockets(text: str) -> list[dict]:
    found = []
    for line in text.splitlines():
        protocol, _, _, _, local, *rest = line.split()
        address, _, port = local.rpartition(":")
        owner = re.search(r'\(\("(.*?)",pid=(\d+)', " ".join(rest))
        found.append(
            {
                "protocol": protocol,
                "address": address.strip("[]"),
                "port": int(port),
                "process": owner and owner[1],
                "pid": owner and int(owner[2]),
            }
        )
    return found


def _join_and_read(places: list[Place]) -> list[dict]:
    """Read every place through netlink, joining one after the other by its file: setns(2)."""
    files = {place.inode: place.file for place in places}
    read = []
    for place in places:
        join(place.file)
        read.append(_read(place, files))
    return _resolve(read)


def _read(place: Place, files: dict[int, int]) -> dict:
    """One namespace, as seen by the thread that is in it."""
    from pyroute2 import IPRoute  # 0.15 s: not while the engines start
    from pyroute2.netlink.nfnetlink.nfctsocket import NFCTSocket

    with IPRoute() as route:
        links = list(route.get_links())
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in links}
        interfaces = [_interface(link, names) for link in links]
        by_index = {i["index"]: i for i in interfaces}
        for message in route.get_addr():
            by_index[message["index"]]["addresses"].append(_address(message))
        namespace = {
            "id": place.inode,
            "kind": place.kind,
            "name": place.name,
            "interfaces": interfaces,
            "routes": [
                _route(m, names)
                for family in (AF_INET, AF_INET6)
                for m in route.get_routes(family=family, table=RT_TABLE_MAIN)
            ],
            "neighbours": [
                _neighbour(m, names) for m in route.get_neighbours() if m["state"] & ~NUD_NOARP
            ],
            "forwarding": [_forwarding(m, names) for m in route.fdb("dump")],
            "sockets": diag.listening(names),
            "tables": {
                "nf": diag.tables(),
                "legacy": [family for family in ("ip", "ip6") if diag.legacy_tables(family)],
            },
            "nsids": _nsids(route, place, files, interfaces),
        }
    namespace["conntrack"] = []
    if diag.tracks():  # the kernel walks one table for all namespaces, 5 ms each time
        with NFCTSocket() as conntrack:
            namespace["conntrack"] = [_conntrack(m) for m in conntrack.dump()]
    return namespace


def _interface(link, names: dict[int, str]) -> dict:
    info = link.get_attr("IFLA_LINKINFO")
    kind = (info.get_attr("IFLA_INFO_KIND") if info else None) or ""
    data = info.get_attr("IFLA_INFO_DATA") if info else None
    if kind == "" and link["ifi_type"] == 772:  # ARPHRD_LOOPBACK
        kind = "loopback"
    other, nsid = link.get_attr("IFLA_LINK"), link.get_attr("IFLA_LINK_NETNSID")
    counters = link.get_attr("IFLA_STATS64") or {}
    interface = {
        "index": link["index"],
        "name": names[link["index"]],
        "kind": kind,
        "mac": link.get_attr("IFLA_ADDRESS") or "",
        "mtu": link.get_attr("IFLA_MTU"),
        "up": bool(link["flags"] & IFF_UP),
        "state": link.get_attr("IFLA_OPERSTATE").lower(),
        "addresses": [],
        "master": names.get(link.get_attr("IFLA_MASTER")),
        "link": other,
        "link_nsid": nsid,
        "vni": data.get_attr("IFLA_VXLAN_ID") if kind == "vxlan" else None,
        "vlan": data.get_attr("IFLA_VLAN_ID") if kind == "vlan" else None,
        "mode": _mode(kind, data),
    }
    for name in ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes"):
        interface[name] = counters.get(name, 0)
    return interface


def _mode(kind: str, data) -> str | None:
    if kind not in MODES:
        return None
    attribute, names = MODES[kind]
    mode = data.get_attr(attribute)
    return names.get(mode, mode)  # pyroute2 has names for some of them


def _address(message) -> dict:
    return {
        "address": message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS"),
        "prefix": message["prefixlen"],
        "scope": SCOPES.get(message["scope"], str(message["scope"])),
    }


def _route(message, names: dict[int, str]) -> dict:
    destination = message.get_attr("RTA_DST")
    return {
        "destination": f"{destination}/{message['dst_len']}" if destination else "default",
        "gateway": message.get_attr("RTA_GATEWAY"),
        "interface": names.get(message.get_attr("RTA_OIF")),
        "source": message.get_attr("RTA_PREFSRC"),
        "scope": SCOPES.get(message["scope"], str(message["scope"])),
        "protocol": PROTOCOLS.get(message["proto"], str(message["proto"])),
    }


def _neighbour(message, names: dict[int, str]) -> dict:
    return {
        "address": message.get_attr("NDA_DST"),
        "mac": message.get_attr("NDA_LLADDR"),
        "interface": names.get(message["ifindex"], str(message["ifindex"])),
        "state": NEIGHBOUR_STATES.get(message["state"], str(message["state"])),
    }


def _forwarding(message, names: dict[int, str]) -> dict:
    return {
        "mac": message.get_attr("NDA_LLADDR"),
        "interface": names.get(message["ifindex"], str(message["ifindex"])),
        "master": names.get(message.get_attr("NDA_MASTER")),
        "vlan": message.get_attr("NDA_VLAN"),
        "remote": message.get_attr("NDA_DST"),
        "permanent": bool(message["state"] & NUD_PERMANENT),
    }


def _conntrack(message) -> dict:
    original = message.get_attr("CTA_TUPLE_ORIG")
    protocol = original.get_attr("CTA_TUPLE_PROTO").get_attr("CTA_PROTO_NUM")
    status = message.get_attr("CTA_STATUS") or 0
    info = message.get_attr("CTA_PROTOINFO")
    tcp = info.get_attr("CTA_PROTOINFO_TCP") if info else None
    state = tcp.get_attr("CTA_PROTOINFO_TCP_STATE") if tcp else None
    return {
        "protocol": {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}.get(protocol, str(protocol)),
        "original": _tuple(original),
        "reply": _tuple(message.get_attr("CTA_TUPLE_REPLY")),
        "state": TCP_STATES[state] if state is not None else None,
        "timeout": message.get_attr("CTA_TIMEOUT") or 0,
        "seen_reply": bool(status & SEEN_REPLY),
        "assured": bool(status & ASSURED),
        "snat": bool(status & SRC_NAT),
        "dnat": bool(status & DST_NAT),
    }


def _tuple(message) -> dict:
    addresses, protocol = message.get_attr("CTA_TUPLE_IP"), message.get_attr("CTA_TUPLE_PROTO")
    v = "V4" if addresses.get_attr("CTA_IP_V4_SRC") else "V6"
    return {
        "source": addresses.get_attr(f"CTA_IP_{v}_SRC"),
        "destination": addresses.get_attr(f"CTA_IP_{v}_DST"),
        "source_port": protocol.get_attr("CTA_PROTO_SRC_PORT"),
        "destination_port": protocol.get_attr("CTA_PROTO_DST_PORT"),
    }


def _nsids(route, place: Place, files: dict[int, int], interfaces: list[dict]) -> dict[int, int]:
    """The namespaces that this one's interfaces point to: nsid as seen here → inode.

    A namespace id (RTM_GETNSID, ip-netns(8)) means something only inside the namespace that
    gave it; the host's file is asked first, since nearly every container points there.
    """
    wanted = {i["link_nsid"] for i in interfaces} - {None}
    found: dict[int, int] = {}
    for inode, file in files.items():
        if not wanted - found.keys():
            break
        if inode != place.inode:
            nsid = route.get_netnsid(fd=file)["nsid"]
            if nsid in wanted:
                found[nsid] = inode
    return found


def _resolve(namespaces: list[dict]) -> list[dict]:
    """Give each veth its peer and each child its parent: IFLA_LINK is an index over there."""
    names = {(n["id"], i["index"]): i["name"] for n in namespaces for i in n["interfaces"]}
    for namespace in namespaces:
        nsids = namespace.pop("nsids")
        for interface in namespace["interfaces"]:
            index, nsid = interface.pop("link"), interface.pop("link_nsid")
            # IFLA_LINK_NETNSID is absent when the other end is in the same namespace.
            place = namespace["id"] if nsid is None else nsids.get(nsid)
            interface["parent"], interface["peer"] = None, None
            if interface["kind"] == "veth" and index:
                name = names.get((place, index))
                known = place if name else None
                interface["peer"] = {"namespace": known, "name": name, "index": index}
            elif interface["kind"] in ("macvlan", "ipvlan", "vlan") and index:
                interface["parent"] = names.get((place, index), f"if{index}")
    return namespaces
