"""RootMachine: the machine image in kernel namespaces of its own, booted by root."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from labkit.machine import memory
from labkit.machine.image import ensure
from labkit.machine.privilege import ROOT, SUDO, Privilege

SCRIPT = Path(__file__).with_name("namespaces.sh")
TOOLS = ("unshare", "nsenter", "pivot_root", "find")


def missing_tools() -> str:
    """Which of the programs that boot a machine in namespaces are not here, and what to do."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # a user's often lacks these
    missing = [tool for tool in TOOLS if not shutil.which(tool, path=path)]
    return f"{', '.join(missing)} not found; install util-linux" if missing else ""


class RootMachine:
    """Linux namespaces and an overlay of the image on tmpfs: namespaces(7), pivot_root(2)."""

    name, recorded = "root", ""

    def available(self) -> tuple[bool, str]:
        """Whether this machine can boot here, and why or why not, in words."""
        if not sys.platform.startswith("linux"):
            return False, f"this system is {sys.platform}; the root machine needs Linux"
        if missing := missing_tools():
            return False, missing
        if refusal := self.privilege.refusal():
            if self.privilege is ROOT:
                return False, f"this root may not make namespaces ({refusal})"
            return False, "you are not root, and sudo wants a password; run ./lab as root"
        if self.privilege is ROOT:
            return True, "Linux, and you are root"
        return True, "Linux, and sudo makes you root without a password"

    @property
    def privilege(self) -> Privilege:
        """How it becomes root."""
        return ROOT if os.geteuid() == 0 else SUDO

    def memory(self) -> int:
        """Bytes of memory that a lab's hosts may take: what this computer has."""
        return memory.available()

    def prepare(self, engine: str, image: Path | None = None) -> Path:
        """The image, built first if need be."""
        return image or ensure(engine, machine=self)

    def command(self, image: Path, run: Path) -> list[str]:
        """The command whose standard input and output are the agent's; it makes and removes run."""
        return [*self.privilege.words, "sh", str(SCRIPT), str(image), str(run), str(os.geteuid())]
