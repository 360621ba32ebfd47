"""Runs mmdebstrap and other programs that make a file system tree, and explains their failures.

What differs between building as root and building as an ordinary user is in ``shell``: the words
before each command.
"""

from __future__ import annotations

import errno
import os
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import ImageError
from labkit.machine.prerequisites import KEYRING

Say = Callable[[str, str, int], None]
"""Called with a job's name, the step it is at, and how many steps it has about."""

FULL = "No space left on device"
NETWORK = re.compile(
    r"Temporary failure resolving|Could not resolve|Could not connect|Unable to connect|"
    r"Network is unreachable|Connection (timed out|refused|failed)|Failed to fetch|"
    r"Certificate verification failed|Unable to fetch"
)
STEP = re.compile(
    r"^I: ((?:running apt-get update|downloading|extracting|installing|cleaning|creating).*?)\.*$"
)
STEPS = 7  # of these in one run of mmdebstrap


@dataclass(frozen=True)
class Job:
    """One run of mmdebstrap."""

    name: str
    options: tuple[str, ...]
    release: str
    result: Path


def shell() -> tuple[str, ...]:
    """The words before a command that writes trees with many owners.

    Its own mount and pid namespaces: whatever it mounts or starts ends with it, and it ends with
    this process, however that ends.
    """
    if os.geteuid() != 0:
        raise ImageError("building the machine image needs root: run it once as root")
    return (
        "setpriv", "--pdeathsig", "KILL",
        "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
    )  # fmt: skip


def remove(*trees: Path) -> None:
    """Remove trees, the halves of a build that was interrupted; not there is fine."""
    there = [str(tree) for tree in trees if tree.exists() or tree.is_symlink()]
    if there:
        run(*shell(), "rm", "--recursive", "--force", "--one-file-system", "--", *there)


def run(*command: str) -> None:
    """Run a command; ImageError with its last words if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise explain(command[-1], done.stderr.splitlines())


def unpack(write: Callable[[object], None], folder: Path) -> None:
    """Unpack into a folder the tar that ``write`` writes to the file it is given."""
    command = (*shell(), "tar", "--extract", "--xattrs", "--xattrs-include=security.*")
    with subprocess.Popen(
        (*command, "--numeric-owner", "--directory", str(folder)),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as tar:
        try:
            write(tar.stdin)
            tar.stdin.close()
        except BrokenPipeError:
            pass  # tar ended early, and says why
        except BaseException:
            tar.kill()
            raise
        said = tar.stderr.read().decode(errors="replace").splitlines()
    if tar.returncode != 0:
        raise explain("tar", said)


def cook(jobs: list[Job], folder: Path, say: Say) -> None:
    """Run mmdebstrap for every job, side by side. A job's result appears when it is whole."""
    half = {job: job.result.with_name(f"half.{job.result.name}") for job in jobs}
    scratch = folder / "scratch"
    remove(scratch, *half.values())
    scratch.mkdir()
    environment = {**_proxies(), **os.environ, "TMPDIR": str(scratch)}
    said: dict[Job, list[str]] = {job: [] for job in jobs}
    lines: queue.Queue[tuple[Job, str | None]] = queue.Queue()
    running: dict[Job, subprocess.Popen] = {}
    readers = []

    def read(job: Job) -> None:
        for line in running[job].stdout:
            lines.put((job, line.rstrip("\n")))
        lines.put((job, None))

    try:
        for job in jobs:
            running[job] = subprocess.Popen(
                (*shell(), *mmdebstrap(job, half[job])),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                errors="replace",
                env=environment,
                start_new_session=True,  # Ctrl-C is for us; we end them
            )
            readers.append(threading.Thread(target=read, args=(job,), daemon=True))
            readers[-1].start()
        for _ in jobs:
            job, line = lines.get()
            while line is not None:
                said[job].append(line)
                if step := STEP.match(line):
                    say(job.name, step[1], STEPS)
                job, line = lines.get()
            if running[job].wait() != 0:
                raise explain("mmdebstrap", said[job])
            half[job].rename(job.result)
            say(job.name, "done", STEPS)
    finally:
        for process in running.values():
            process.kill()
        for reader in readers:
            reader.join()  # the end of its output: nothing that it started still writes
        for process in running.values():
            process.wait()
    remove(scratch)


def mmdebstrap(job: Job, result: Path) -> tuple[str, ...]:
    """The command line of a job."""
    keyring = (f"--keyring={KEYRING}",) if KEYRING.exists() else ()
    mirror = os.environ.get("LABKIT_MIRROR")
    return (
        "mmdebstrap", *keyring, *job.options, job.release, str(result), *([mirror] * bool(mirror)),
    )  # fmt: skip


def explain(program: str, lines: list[str]) -> ImageError:
    """The error that says in one sentence why a program failed, from what it said."""
    text = "\n".join(lines)
    spoken = [line for line in lines if line.strip()]
    errors = [line for line in spoken if line.startswith("E: ")]
    quoted = (errors or spoken or ["it said nothing"])[-1].removeprefix("E: ").strip()
    if FULL in text:
        return full()
    if found := NETWORK.search(text):
        line = next(li for li in lines if found[0] in li)
        return ImageError(
            "Debian's packages, needed once for the machine image, could not be fetched "
            f"({line.strip().removeprefix('E: ')}): check this computer's network and http_proxy, "
            "or name a mirror in LABKIT_MIRROR"
        )
    return ImageError(f"{program} could not make the machine image: {quoted}")


def full() -> ImageError:
    """The error for a full disk."""
    return ImageError(
        "the disk filled up while the machine image was built: free some 2 GB, or name a folder "
        "on a larger disk in LABKIT_CACHE; the finished part is kept"
    )


def is_full(error: OSError) -> bool:
    """Whether the error is a full disk or quota."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _proxies() -> dict[str, str]:
    """The proxies in the system's apt configuration, as variables: mmdebstrap's apt reads those."""
    if not shutil.which("apt-config"):
        return {}
    found = {}
    for scheme in ("http", "https"):
        words = ("apt-config", "dump", "--format", "%v%n", f"Acquire::{scheme}::Proxy")
        value = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
        if value.startswith("http"):
            found[f"{scheme}_proxy"] = value.splitlines()[0]
    return found
