"""How labkit becomes root over namespaces and over files with many owners: four ways, best first.

An ordinary user is root in a user namespace of their own (user_namespaces(7)): there root is that
user, and the others are subordinate ids of theirs (subuid(5)), where there are any.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import labkit.agent

SETTINGS = Path("/proc/sys")
STATUS = Path("/proc/self/status")
ONE_ID = Path(labkit.agent.__file__).with_name("one_id.py")


@dataclass(frozen=True)
class Privilege:
    """One way to become root.

    Attributes:
        words: what stands before unshare(1) on a command line.
        flags: unshare's options that make a user namespace.
        under: what stands before the command that unshare runs.
        owner: in the names of machine images, for their files have the owners of this way.
        namespaces: whether it makes any; without, it can build an image, and boot none.
    """

    words: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    under: tuple[str, ...] = ()
    owner: str = ""
    namespaces: bool = True

    def refusal(self) -> str:
        """Why this way is closed here; empty where it is open. Tried, not looked up."""
        trial = (*self.words, "unshare", *self.flags, "--mount", "--net", "--pid", "--fork", "true")
        if not self.namespaces:
            trial = ("chroot", "/", "true")
        with tempfile.TemporaryFile("w+") as said:
            try:
                process = subprocess.Popen(
                    trial, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                    start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                return f"{error.filename}: {error.strerror}"
            status = process.wait()
            # In a container, what maps the ids waits for ever for namespaces that were refused.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            said.seek(0)
            last = (said.read().strip().splitlines() or [f"{trial[0]} failed"])[-1]
        return last if status else ""

    def shell(self) -> tuple[str, ...]:
        """The words before a command that writes trees with many owners."""
        return (*self.words, *self.inside())

    def inside(self) -> tuple[str, ...]:
        """Of these words, those that make namespaces: whatever is mounted or started there ends."""
        if not self.namespaces:
            return ()
        namespaces = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        return ("unshare", *self.flags, *namespaces, *self.under)


ROOT = Privilege()
# Credentials that sudo remembers would make a way that closes after some minutes.
SUDO = Privilege(words=("sudo", "--reset-timestamp", "--non-interactive", "--"))
MANY_IDS = Privilege(flags=("--map-root-user", "--map-auto"), owner="-ids")
ONE_ID_ONLY = Privilege(
    flags=("--map-root-user",), under=(sys.executable, "-I", str(ONE_ID)), owner="-one-id"
)

# Root in a container, as in a step of a Dockerfile: there are chroot, chown and no namespaces.
CHROOT = Privilege(namespaces=False)


def first(*privileges: Privilege) -> Privilege | None:
    """The first of these ways that is open here."""
    return next((way for way in privileges if not way.refusal()), None)


def best() -> Privilege | None:
    """The best of all ways that is open here."""
    return first(ROOT, SUDO, MANY_IDS, ONE_ID_ONLY)


def ban() -> tuple[str, str]:
    """What forbids ordinary users user namespaces here, and how root allows them; or ("", "")."""
    for path, forbids, allows, what in BANS:
        try:
            value = (SETTINGS / path).read_text().strip()
        except OSError:  # this kernel has no such setting
            continue
        if value == forbids:
            name = path.replace("/", ".")
            return f"{what} ({name} is {value})", f"as root: sysctl {name}={allows}"
    try:
        status = STATUS.read_text()
    except OSError:
        return "", ""
    if "\nSeccomp:\t2" in status:
        return (
            "a seccomp filter may forbid them, as in most containers",
            "run labkit outside of the container",
        )
    return "", ""


BANS = (
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "0",
        "AppArmor leaves ordinary users' namespaces without power",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "1",
        "Debian's kernel forbids them to ordinary users",
    ),
    ("user/max_user_namespaces", "0", "10000", "this system allows none"),
)
"""Settings: the path below /proc/sys, the value that forbids, one that allows, what happened."""
