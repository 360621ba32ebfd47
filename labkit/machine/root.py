"""RootMachine: the machine image in kernel namespaces of its own, booted by root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from labkit.machine.image import ensure

TOOLS = ("unshare", "nsenter", "pivot_root", "find")
TRIAL = "unshare --mount --pid --net --uts --ipc --cgroup --fork"


class RootMachine:
    """Linux namespaces and an overlay of the image on tmpfs: namespaces(7), pivot_root(2)."""

    name = "root"

    def available(self) -> tuple[bool, str]:
        """Whether this machine can boot here, and why or why not, in words."""
        if not sys.platform.startswith("linux"):
            return False, f"this system is {sys.platform}; the root machine needs Linux"
        if os.geteuid() != 0:
            return False, "you are not root; run ./lab as root"
        missing = [tool for tool in TOOLS if not shutil.which(tool)]
        if missing:
            return False, f"{', '.join(missing)} not found; install util-linux"
        trial = [*TRIAL.split(), "true"]
        done = subprocess.run(trial, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return False, f"this root may not make namespaces ({done.stderr.strip()})"
        return True, "Linux, and you are root"

    def prepare(self, engine: str, image: Path | None = None) -> Path:
        """The image's directory: it boots as it is."""
        return image or ensure(engine)

    def command(self, image: Path, run: Path) -> list[str]:
        """The command whose standard input and output are the agent's.

        It removes ``run``, the directory of the lab's sockets, when the machine has gone.
        """
        return ["sh", str(Path(__file__).with_name("root.sh")), str(image), str(run)]
