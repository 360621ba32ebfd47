"""Runs mmdebstrap and other programs that make a file system tree, and explains their failures.

What differs between building as root and building as an ordinary user is in privilege.py: the
words before each command.
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
from pathlib import Path, PurePath
from typing import IO

from labkit.errors import ImageError
from labkit.machine.prerequisites import KEYRING
from labkit.machine.privilege import Privilege

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
PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
STEPS = 7  # of these in one run of mmdebstrap


@dataclass(frozen=True)
class Job:
    """One run of mmdebstrap."""

    name: str
    options: tuple[str, ...]
    release: str
    result: PurePath


def remove(way: Privilege | None, *trees: Path) -> None:
    """Remove trees, the halves of a build that was interrupted; not there is fine.

    Who can be no root has none of other owners' files either.
    """
    there = [str(tree) for tree in trees if tree.exists() or tree.is_symlink()]
    if way is None:
        for tree in there:
            shutil.rmtree(tree)
    elif there:
        run(*way.shell(), "rm", "--recursive", "--force", "--one-file-system", "--", *there)


def run(*command: str) -> None:
    """Run a command; ImageError with its last words if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise explain(command[-1], done.stderr.splitlines())


def unpack(way: Privilege, write: Callable[[IO[bytes]], None], folder: Path) -> None:
    """Unpack into a folder the tar that ``write`` writes to the file it is given.

    But for overlayfs's scratch: a whiteout there can be listed on a lab host, and not be copied.
    """
    command = (
        *way.shell(), "tar", "--extract", "--xattrs", "--xattrs-include=security.*",
        "--anchored", "--exclude=skeleton/overlay2/*/work/work",
    )  # fmt: skip
    with subprocess.Popen(
        (*command, "--numeric-owner", "--directory", str(folder)),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as tar:
        assert tar.stdin
        assert tar.stderr
        try:
            write(tar.stdin)
            tar.stdin.close()
        except BrokenPipeError:
            pass  # tar ended early, and says why
        said = tar.stderr.read().decode(errors="replace").splitlines()
    if tar.returncode != 0:
        raise explain("tar", said)


# Runs a command for as long as standard input is open. What sudo runs can't be ended by a signal of
# ours, and should end with us, however we end.
LIFELINE = """
exec 3<&0
"$@" < /dev/null 3<&- & command=$!
{ cat <&3; kill -KILL $command; } > /dev/null 2>&1 & guard=$!
wait $command
status=$?
kill $guard
exit $status
"""


def cook(way: Privilege, jobs: list[Job], folder: Path, say: Say) -> None:
    """Run mmdebstrap for every job, side by side. A job's result appears when it is whole."""
    half = {job: Path(job.result).with_name(f"half.{job.result.name}") for job in jobs}
    scratch = folder / "scratch"
    remove(way, scratch, *half.values())
    scratch.mkdir()
    variables = {**_environment(), "TMPDIR": str(scratch)}  # sudo passes on none by itself
    said_so = ("env", *(f"{name}={value}" for name, value in variables.items()))
    before = (*way.words, *said_so, "sh", "-c", LIFELINE, "sh", *way.inside())
    said: dict[Job, list[str]] = {job: [] for job in jobs}
    lines: queue.Queue[tuple[Job, str | None]] = queue.Queue()
    running: dict[Job, subprocess.Popen[str]] = {}
    readers = []

    def read(job: Job) -> None:
        for line in running[job].stdout or ():
            lines.put((job, line.rstrip("\n")))
        lines.put((job, None))

    def release(process: subprocess.Popen[str]) -> None:
        assert process.stdin
        process.stdin.close()  # the lifeline

    try:
        for job in jobs:
            running[job] = subprocess.Popen(
                (*before, *mmdebstrap(way, job, half[job])),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.PIPE,
                text=True,
                errors="replace",
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
            release(running[job])
            if running[job].wait() != 0:
                raise explain("mmdebstrap", said[job])
            half[job].rename(job.result)
            say(job.name, "done", STEPS)
    finally:
        for process in running.values():
            release(process)
        for reader in readers:
            reader.join()  # the end of its output: nothing that it started still writes
        for process in running.values():
            process.wait()
    remove(way, scratch)


def mmdebstrap(way: Privilege, job: Job, result: PurePath) -> tuple[str, ...]:
    """The command line of a job.

    A user namespace makes no devices and mounts no /sys, one with a single id no devpts; neither
    is missed, for machines and containers bring their own.
    """
    skip: tuple[str, ...] = ("output/dev", "chroot/mount/sys") if way.flags else ()
    skip += ("chroot/mount/dev",) if way.under else ()
    skipped = (f"--skip={','.join(skip)}",) if skip else ()
    keyring = (f"--keyring={KEYRING}",) if KEYRING.exists() else ()
    mirror = os.environ.get("LABKIT_MIRROR")
    return (
        "mmdebstrap", "--mode=root", *skipped, *keyring, *job.options, job.release, str(result),
        *([mirror] * bool(mirror)),
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


def _environment() -> dict[str, str]:
    """The variables that mmdebstrap needs: where programs are, and the proxies.

    Proxies of the system's apt configuration are among them: mmdebstrap's apt reads variables.
    """
    found = {"PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}
    found |= {name: value for name, value in os.environ.items() if name.lower() in PROXIES}
    if not shutil.which("apt-config"):
        return found
    for scheme in ("http", "https"):
        words = ("apt-config", "dump", "--format", "%v%n", f"Acquire::{scheme}::Proxy")
        value = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
        if value.startswith("http"):
            found.setdefault(f"{scheme}_proxy", value.splitlines()[0])
    return found
