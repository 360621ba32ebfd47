"""Caches, and what a killed lab can leave on this system: found here, for `./lab clean` to remove.

What a running lab or a running build uses is never among it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

STARTING = 10  # seconds in which a lab's directory may still be waiting for its machine


def words() -> frozenset[str]:
    """Every argument of every process of this system (proc_pid_cmdline(5))."""
    found: set[str] = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # that process has just ended
            found.update(file.read_text(errors="replace").split("\0"))
    return frozenset(found)


def in_use(path: Path, used: frozenset[str]) -> bool:
    """Whether a process was started with this path, or one below it, among its arguments."""
    return any(word == str(path) or word.startswith(f"{path}/") for word in used)


@contextlib.contextmanager
def images(cache: Path) -> Iterator[list[Path]]:
    """The machine images in the cache, whole and half built; none while one is being built.

    No build starts before this context ends.
    """
    lock = cache / "lock"
    if not lock.exists():  # nothing has been built here
        yield _images(cache)
        return
    import fcntl  # here, because Windows has none, and builds no image this way

    with open(lock, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield []
        else:
            yield _images(cache)


def _images(cache: Path) -> list[Path]:
    """Those in the cache, and beside it the caches of the users that the tests make."""
    return sorted([*cache.glob("image-*"), *Path(f"{cache}-tests").glob("*")])


def run_directories(used: frozenset[str]) -> list[Path]:
    """Directories of labs whose machine has gone with nobody left to remove them."""
    parents = {tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()}
    return sorted(
        path
        for parent in parents
        for path in Path(parent).glob("labkit-*")
        if path.is_dir()
        and not path.is_symlink()
        and path.stat().st_uid == os.geteuid()
        and not in_use(path, used)
        and time.time() - path.stat().st_mtime > STARTING
    )


def cgroups(used: frozenset[str]) -> list[Path]:
    """The directories of machines that have gone, in every hierarchy (cgroups(7))."""
    running = {Path(word).name for word in used if "/labkit-" in word}
    return sorted(
        path
        for hierarchy in _hierarchies()
        for path in hierarchy.glob("labkit.*")
        if path.name.removeprefix("labkit.") not in running and not _processes(path)
    )


def _hierarchies() -> list[Path]:
    table = Path("/proc/self/mounts")
    mounts = [line.split() for line in table.read_text().splitlines()] if table.exists() else []
    return [Path(place) for _, place, kind, *_ in mounts if kind in ("cgroup", "cgroup2")]


def _processes(group: Path) -> str:
    return "".join(file.read_text() for file in group.rglob("cgroup.procs"))


def remove_cgroup(path: Path) -> None:
    """Remove a cgroup directory and those below it; its files are the kernel's and go with it."""
    for folder, _, _ in os.walk(path, topdown=False):
        os.rmdir(folder)


def size(path: Path) -> int:
    """The bytes that a directory takes on disk."""
    blocks = sum(
        os.lstat(os.path.join(folder, name)).st_blocks
        for folder, folders, files in os.walk(path)
        for name in (*folders, *files)
    )
    return (path.lstat().st_blocks + blocks) * 512
