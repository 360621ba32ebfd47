"""Read the network state of a lab host: every namespace of it and of its containers.

In phases: find the namespaces; read each one through netlink (rtnetlink(7), nfnetlink,
sock_diag(7)), and meanwhile ask the engine for their names; resolve what one namespace says of
another; where there are rules, ask the tools that write them as text. Facts only, as plain JSON
values in the shape of ``labkit.model.snapshot``; what they mean is said there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from labkit.agent import diag, engine, netlink, rtnetlink
from labkit.agent.network import Node
from labkit.agent.process import Children

IPTABLES = ("raw", "mangle", "nat", "filter", "security")  # the names of its tables
NFT = "nft --numeric-priority list ruleset"
MARK = "@"  # a line that none of the tools writes
TOOLS_AT_ONCE = 4


async def observe(children: Children, node: Node) -> dict:
    """The facts of a node now."""
    with contextlib.ExitStack() as open_files:
        # Docker keeps a file of each namespace: they are read while the engine tells their names.
        early = places(node, None, open_files)
        # A thread that joins other namespaces is good for nothing else afterwards: one of its own.
        with ThreadPoolExecutor(max_workers=1) as own:
            loop = asyncio.get_running_loop()
            reading = loop.run_in_executor(own, _join_and_read, early)
            known = await asyncio.to_thread(engine.facts, node.root)
            found, read = places(node, known, open_files, early), await reading
            if any(place.inode not in read for place in found):
                read = await loop.run_in_executor(own, _join_and_read, found)
        namespaces = [{"kind": p.kind, "name": p.name, **read[p.inode]} for p in found]
        limit = asyncio.Semaphore(TOOLS_AT_ONCE)
        pairs = zip(found, namespaces, strict=True)
        await asyncio.gather(*(_tools(children, limit, node, *pair) for pair in pairs))
        sockets = [s for n in namespaces for s in n["sockets"] if "inode" in s]
        inodes = {s["inode"] for s in sockets}
        holders = await asyncio.to_thread(diag.owners, node.root, inodes)
    for listening in sockets:
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


def places(
    node: Node, known: dict | None, open_files: contextlib.ExitStack, early: Sequence[Place] = ()
) -> list[Place]:
    """The node's own namespace, its containers', and Docker's own that no container has.

    ``early`` are some that are open already.
    """
    found: dict[int, Place] = {}
    there = {place.inode: place.file for place in early}
    nsfs = os.stat(f"/proc/{node.pid}/ns/net").st_dev

    def add(kind: str, name: str, path: Path) -> int | None:
        try:
            file = os.open(path, os.O_RDONLY)
        except OSError:
            return None  # it ended while we looked
        status = os.fstat(file)
        # Docker's file of a namespace that has gone can be there still, no longer a namespace.
        if status.st_dev != nsfs:
            os.close(file)
            return None
        inode = status.st_ino
        if inode in there:
            os.close(file)
        else:
            open_files.callback(os.close, file)
            there[inode] = file
        found.setdefault(inode, Place(kind, name, there[inode], inode))
        return inode

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
        if names := tables["legacy"][family]:
            # Named, for it would look for their names in the /proc of a process of the node.
            saves = [f"{tool}-legacy-save -c -t {name}" for name in names]
            wanted[f"{tool}-legacy"] = " && ".join(saves)
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


def _join_and_read(places: list[Place]) -> dict[int, dict]:
    """Read every place through netlink, joining one after the other by its file: setns(2)."""
    files = {place.inode: place.file for place in places}
    read = {}
    for place in places:
        netlink.join(place.file)
        read[place.inode] = _read(place.inode, files)
    _resolve(read.values())
    return read


def _read(inode: int, files: dict[int, int]) -> dict:
    """One namespace, as seen by the thread that is in it."""
    with netlink.connect(netlink.ROUTE) as route:
        interfaces = rtnetlink.interfaces(route)
        names = {i["index"]: i["name"] for i in interfaces}
        return {
            "id": inode,
            "interfaces": interfaces,
            "routes": list(rtnetlink.routes(route, names)),
            "neighbours": list(rtnetlink.neighbours(route, names)),
            "forwarding": list(rtnetlink.forwarding(route, names)),
            "sockets": diag.listening(names),
            "tables": {
                "nf": diag.tables(),
                "legacy": {family: diag.legacy_tables(family) for family in ("ip", "ip6")},
            },
            "nsids": _nsids(route, inode, files, interfaces),
            "conntrack": diag.connections(),
        }


def _nsids(
    route: socket.socket, here: int, files: dict[int, int], interfaces: list[dict]
) -> dict[int, int]:
    """The namespaces that this one's interfaces point to: nsid as seen here → inode.

    A namespace id (RTM_GETNSID, ip-netns(8)) means something only inside the namespace that
    gave it; the host's file is asked first, since nearly every container points there.
    """
    wanted = {i["link_nsid"] for i in interfaces} - {None}
    found: dict[int, int] = {}
    for inode, file in files.items():
        if not wanted - found.keys():
            break
        if inode != here:
            nsid = rtnetlink.nsid(route, file)
            if nsid in wanted:
                found[nsid] = inode
    return found


def _resolve(namespaces: Collection[dict]) -> None:
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
