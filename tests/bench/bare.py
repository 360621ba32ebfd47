"""Docker Engines with nothing of labkit around them, from the same machine image."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from labkit.machine import image

SCRIPT = Path(__file__).with_suffix(".sh")
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child")


@contextlib.contextmanager
def engines(count: int, how: str = "plain") -> Iterator[int]:
    """So many engines that answer; the id of the process that all of theirs are below.

    Args:
        count: how many.
        how: "plain": ``dockerd`` starts its own containerd, which takes it a second;
            "containerd": that is started first.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [*NAMESPACES, "sh", SCRIPT, image.ensure("26.1"), folder, str(count), how]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout.readline() == "ready\n"
            yield process.pid
