"""What this computer's kernel has of what Docker's networks need: tried for real, not looked up.

A child process with a network and a mount namespace of its own tries each thing and ends; all that
it made ends with it. (What may stay is a kernel module that the kernel loaded to answer.)
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from labkit.machine import netlink, privilege

NOTHING = "network namespaces"  # what the attempts are made in
ELSEWHERE = "a machine with another kernel has them: container or virtual"
NEWNS, NEWUSER, NEWNET = 0x00020000, 0x10000000, 0x40000000  # clone(2)


@dataclass(frozen=True)
class Capability:
    """One thing that a kernel has or lacks."""

    name: str
    present: bool
    why: str  # what was tried, and what the kernel answered
    remedy: str = ""  # what to do about its absence
    needed: bool = False  # whether no lab runs without it


@dataclass(frozen=True)
class Probe:
    """How to find out about a capability: ``attempt`` raises OSError where it is absent."""

    name: str
    attempt: Callable[[], None]
    trying: str
    module: str
    without: str
    needed: bool = False


def _macvlan(kind: str) -> None:
    with contextlib.suppress(FileExistsError):
        netlink.link("veth", "parent")
    netlink.link(kind, f"try-{kind}", parent=socket.if_nametoindex("parent"))


def _iptables_nat() -> None:
    netlink.nat()
    for target in ("DNAT", "MASQUERADE"):
        netlink.iptables(target, target=True)
    for match in ("conntrack", "addrtype"):
        netlink.iptables(match, target=False, revision=1)


def _overlay() -> None:
    here = "/run" if os.path.isdir("/run") else "/tmp"
    _mount("tmpfs", here, "tmpfs", "")
    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(f"{here}/{name}")
    options = f"lowerdir={here}/lower,upperdir={here}/upper,workdir={here}/work"
    _mount("overlay", f"{here}/merged", "overlay", options)


PROBES = (
    Probe(
        "bridge", lambda: netlink.link("bridge", "try-bridge"), "making a bridge", "bridge",
        "no Docker network of the default kind", needed=True,
    ),
    Probe(
        "veth", lambda: netlink.link("veth", "try-veth"), "making a veth pair", "veth",
        "no container is connected to anything", needed=True,
    ),
    Probe(
        "macvlan", lambda: _macvlan("macvlan"), "making a macvlan interface", "macvlan",
        "the lesson on macvlan can't be done",
    ),
    Probe(
        "ipvlan", lambda: _macvlan("ipvlan"), "making an ipvlan interface", "ipvlan",
        "lessons leave out ipvlan",
    ),
    Probe(
        "vxlan", lambda: netlink.vxlan("try-vxlan"), "making a VXLAN interface", "vxlan",
        "lessons on overlay networks can't be done",
    ),
    Probe(
        "nf_tables", netlink.nf_tables, "making an nftables table", "nf_tables",
        "iptables in the lab has nothing to write its rules to", needed=True,
    ),
    Probe(
        "iptables NAT", _iptables_nat, "asking for a NAT chain, DNAT and MASQUERADE",
        "nft_compat", "no published port and no way out of a container", needed=True,
    ),
    Probe(
        "conntrack", netlink.conntrack, "asking the connection tracking table",
        "nf_conntrack_netlink", "snapshots can't show connections", needed=True,
    ),
    Probe(
        "IPVS", lambda: netlink.generic("IPVS"), "asking for IPVS", "ip_vs",
        "lessons on Swarm leave out the routing mesh and virtual IPs",
    ),
    Probe(
        "overlayfs", _overlay, "making an overlay mount", "overlay",
        "hosts and containers can't share files", needed=True,
    ),
)  # fmt: skip


def capabilities() -> tuple[Capability, ...]:
    """Everything there is to know, in a fixed order."""
    if not sys.platform.startswith("linux"):
        return (Capability(NOTHING, False, f"this system is {sys.platform}", ELSEWHERE, True),)
    return (*_judge(_in_a_child(_try_all)), _bridge_netfilter(), _user_namespaces(), _cgroups())


def _judge(answers: dict[str, str | None]) -> Iterator[Capability]:
    if NOTHING in answers:
        remedy = (
            "run this as root"
            if os.geteuid()
            else "this root is powerless, as in most containers: run labkit outside, or start the "
            "container with --privileged"
        )
        yield Capability(NOTHING, False, answers[NOTHING] or "", remedy, needed=True)
        return
    for probe in PROBES:
        refusal = answers.get(probe.name, "the attempt ended without an answer")
        if refusal is None:
            yield Capability(probe.name, True, f"{probe.trying} works", needed=probe.needed)
            continue
        remedy = (
            f"as root: modprobe {probe.module}; if there is no such module, take another kernel "
            f"({probe.without})"
        )
        yield Capability(probe.name, False, f"{probe.trying}: {refusal}", remedy, probe.needed)


def _try_all() -> dict[str, str | None]:
    """Probe by probe, None or why the kernel refuses; or only why nothing could be tried."""
    try:
        _leave(NEWNET | NEWNS)
    except OSError as error:
        return {NOTHING: f"making one: {error.strerror}; so nothing else could be tried"}
    answers: dict[str, str | None] = {}
    for probe in PROBES:
        try:
            probe.attempt()
            answers[probe.name] = None
        except OSError as error:
            answers[probe.name] = error.strerror or str(error)
    return answers


def _in_a_child(work: Callable[[], dict]) -> dict:
    """What ``work`` returns when a child process does it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as file:
        text = file.read()
    os.waitpid(child, 0)
    return json.loads(text or b"{}")


def _leave(namespaces: int) -> None:
    """Leave these namespaces for new ones; as an ordinary user, in a new user namespace."""
    user, group = os.geteuid(), os.getegid()
    _unshare(namespaces | (NEWUSER if user else 0))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    if namespaces & NEWNS:
        _mount("none", "/", "", "", 0x4000 | 0x40000)  # MS_REC | MS_PRIVATE


def _unshare(namespaces: int) -> None:
    _call("unshare", namespaces)


def _mount(source: str, target: str, kind: str, options: str, flags: int = 0) -> None:
    words = (w.encode() for w in (source, target, kind))
    _call("mount", *words, ctypes.c_ulong(flags), options.encode())


def _call(name: str, *arguments: object) -> None:
    """Call a function of the C library; OSError if it fails."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if function is None:  # not Linux
        raise OSError(0, f"this system has no {name}")
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _bridge_netfilter() -> Capability:
    name = "br_netfilter"
    if Path("/proc/sys/net/bridge/bridge-nf-call-iptables").exists():
        return Capability(name, True, "bridge-nf-call-iptables is there")
    with contextlib.suppress(FileNotFoundError):
        known = subprocess.run(
            ("modprobe", "--dry-run", "--quiet", name), capture_output=True, check=False
        )
        if known.returncode == 0:
            return Capability(name, True, "a module that the engine loads")
    return Capability(
        name,
        False,
        "neither in the kernel nor a module",
        f"as root: modprobe {name}; without it iptables does not see what one bridge's containers "
        "say to each other",
    )


def _user_namespaces() -> Capability:
    name = "user namespaces"
    answer = _in_a_child(_try_user_namespace)
    if not answer.get("refusal", "no answer"):
        return Capability(name, True, "making one works")
    what, allows = privilege.ban()
    return Capability(
        name,
        False,
        f"making one: {answer.get('refusal', 'no answer')}{f'; {what}' if what else ''}",
        f"{allows or 'ask who runs this computer'}; only the user machine needs them: with none, "
        "a lab boots as root, in a container, or in a virtual machine, where starting takes longer",
    )


def _try_user_namespace() -> dict[str, str]:
    try:
        _unshare(NEWUSER)
        _unshare(NEWNET)  # where a user namespace is allowed and powerless, this fails
    except OSError as error:
        return {"refusal": error.strerror or str(error)}
    return {"refusal": ""}


CONTROLLERS = ("cpu", "memory", "pids")


def _cgroups() -> Capability:
    version, controllers = control_groups()
    name = "cgroups"
    if not version:
        return Capability(
            name, False, "no cgroup file system is mounted",
            "mount -t cgroup2 none /sys/fs/cgroup; the engine starts no container without", True,
        )  # fmt: skip
    absent = [c for c in CONTROLLERS if c not in controllers]
    why = f"version {version}: {', '.join(controllers) or 'no controllers'}"
    if absent:
        remedy = f"boot with cgroup_enable={','.join(absent)}; limits on containers won't work"
        return Capability(name, False, why, remedy)
    return Capability(name, True, why, needed=True)


def control_groups(mounts: str | None = None) -> tuple[int, tuple[str, ...]]:
    """The version of cgroups in use (0 for none) and its controllers, as cgroups(7) has them.

    Args:
        mounts: the text of /proc/self/mounts.
    """
    if mounts is None:
        table = Path("/proc/self/mounts")
        mounts = table.read_text() if table.exists() else ""
    rows = [line.split() for line in mounts.splitlines()]
    ones = [row for row in rows if row[2] == "cgroup"]
    if ones:
        options = {word for row in ones for word in row[3].split(",")}
        return 1, tuple(sorted(options & set(_controllers_of_version_1())))
    for _, place, kind, *_ in rows:
        if kind == "cgroup2":
            with contextlib.suppress(OSError):
                return 2, tuple(sorted(Path(place, "cgroup.controllers").read_text().split()))
            return 2, ()
    return 0, ()


def _controllers_of_version_1() -> Iterator[str]:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cgroups").read_text().splitlines()[1:]:
            yield line.split()[0]
