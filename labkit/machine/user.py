"""UserMachine: the machine image in namespaces of its own, booted by an ordinary user."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from labkit.errors import ImageError
from labkit.machine import memory, privilege
from labkit.machine.image import ensure
from labkit.machine.privilege import MANY_IDS, ONE_ID_ONLY, Privilege
from labkit.machine.root import SCRIPT, missing_tools

# What the machine mounts. Where a container hides parts of /proc, the kernel lets nobody in a user
# namespace mount another: that would show them (mount_namespaces(7)).
TRIAL = (
    "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--mount-proc",
    "mount", "-t", "sysfs", "sysfs", "/sys",
)  # fmt: skip


class UserMachine:
    """As the root machine, but in a user namespace: user_namespaces(7). No sudo, no daemon."""

    name, recorded = "user", ""

    def available(self) -> tuple[bool, str]:
        """Whether this machine can boot here, and why or why not, in words."""
        if not sys.platform.startswith("linux"):
            return False, f"this system is {sys.platform}; the user machine needs Linux"
        if missing := missing_tools():
            return False, missing
        way = privilege.first(MANY_IDS, ONE_ID_ONLY)
        if way is None:
            what, remedy = privilege.ban()
            refusal = f"you may not make user namespaces: {what or ONE_ID_ONLY.refusal()}"
            return False, f"{refusal}; {remedy or 'ask who runs this computer'}"
        trial = ["unshare", *way.flags, *TRIAL]
        done = subprocess.run(trial, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()[:1]
            return False, (
                "user namespaces work here, but /proc can't be mounted in one "
                f"({' '.join(said)}); this is so in most containers: run labkit outside"
            )
        if way is MANY_IDS:
            return True, "Linux, and your user namespaces have subordinate ids"
        return True, (
            "Linux, and user namespaces; without subordinate ids (newuidmap, /etc/subuid and "
            "unshare of util-linux 2.38) every user of a lab host is root"
        )

    @property
    def privilege(self) -> Privilege:
        """How it becomes root, where it can."""
        return privilege.first(MANY_IDS, ONE_ID_ONLY) or ONE_ID_ONLY

    def memory(self) -> int:
        """Bytes of memory that a lab's hosts may take: what this computer has."""
        return memory.available()

    def prepare(self, engine: str, image: Path | None = None) -> Path:
        """The image, built first if need be: with owners that exist in a user namespace."""
        image = image or ensure(engine, machine=self)
        if image.stat().st_uid != os.geteuid():  # root of a user namespace is its own user
            raise ImageError(
                f"the machine image {image} belongs to another user, and its files could not be "
                "changed here; name a folder of your own in LABKIT_CACHE"
            )
        return image

    def command(self, image: Path, run: Path) -> list[str]:
        """The command whose standard input and output are the agent's."""
        return ["sh", str(SCRIPT), str(image), str(run), str(os.geteuid()), *self.privilege.flags]
