"""The machine image of an engine generation: found in the cache, or built there once.

How it is made, stage by stage, each kept when a later one fails:

1. ``root``: the machine's file system, by mmdebstrap from the lists in recipe.py;
2. ``toolbox.tar``: the file system of the Docker image ``toolbox``, the same way, at the same time;
3. the store: a lab with one host is booted from ``root``, its engine builds the Docker images of
   images/, and their layers come back into ``root``, where all lab hosts share them. Where root has
   no namespaces, as in a step of a Dockerfile, it is the virtual machine that boots.

Then ``root`` takes its place in the cache, in one step. Nothing here needs the network afterwards.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from labkit.errors import CommandError, ImageError
from labkit.machine import builder, prerequisites
from labkit.machine.privilege import Privilege
from labkit.machine.progress import Steps
from labkit.machine.recipe import IMAGES, Recipe, recipe

ROOM = 2 << 30  # bytes free to begin with; a build takes 0.9 GB at its fullest, measured
LABKIT = "usr/lib/labkit"  # in the image: the store, its skeleton, and while building, images/


def cache() -> Path:
    """The folder of everything that labkit keeps: $LABKIT_CACHE, or one in the user's cache."""
    if own := os.environ.get("LABKIT_CACHE"):
        return Path(own).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "labkit"


def architecture(processor: str = "") -> str:
    """A processor, this computer's if none is named, in Debian's words."""
    name = processor or platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf"}.get(name, name)


@runtime_checkable
class Booter(Protocol):
    """A machine whose user can write an image's files, with all their owners, and boot them."""

    name: str

    @property
    def privilege(self) -> Privilege:
        """How it becomes root."""


def place(wanted: Recipe, way: Privilege) -> Path:
    """Where the image of that recipe is or will be, with the owners that this privilege gives."""
    return cache() / f"{wanted.name(architecture())}{way.owner}"


def find(engine: str = "26.1", machine: Booter | None = None) -> Path | None:
    """The image of that engine generation if it is in the cache, made from today's recipe."""
    wanted = recipe(engine)
    try:
        path = place(wanted, (machine or booter()).privilege)
    except ImageError:  # nobody here could have built one
        return None
    return path if path.is_dir() else None


def booter() -> Booter:
    """The best machine that can build an image here; ImageError when none can."""
    from labkit.machine import MACHINES

    reasons = []
    for machine in MACHINES:
        if isinstance(machine, Booter):
            able, why = machine.available()
            if able and not (refusal := machine.privilege.refusal()):
                return machine
            reasons.append(f"{machine.name}: {refusal if able else why}")
    raise ImageError(
        "building the machine image needs root, passwordless sudo or user namespaces "
        f"({'; '.join(reasons)})"
    )


def ensure(
    engine: str = "26.1", progress: builder.Say | None = None, machine: Booter | None = None
) -> Path:
    """The image of that engine generation, built first if it is not there.

    Args:
        engine: "26.1" or "20.10".
        progress: called with a job's name, its step and its number of steps; shows them if None.
        machine: the machine whose image it is, which boots it while it is built; the best if None.
    """
    recipe(engine)  # says what is wrong with it first
    machine = machine or booter()
    if image := find(engine, machine):
        return image
    with contextlib.ExitStack() as stack:
        say = progress or stack.enter_context(Steps())
        try:
            return _build(recipe(engine), machine, say)
        except KeyboardInterrupt:
            raise ImageError(
                "building the machine image was interrupted; what was finished is kept, and the "
                "next start goes on from there"
            ) from None
        except OSError as error:
            if builder.is_full(error):
                raise builder.full() from error
            raise ImageError(f"the machine image could not be written: {error}") from error


def _build(wanted: Recipe, machine: Booter, say: builder.Say) -> Path:
    way = machine.privilege
    prerequisites.install(lambda step: say("packages", step, 1))
    cache().mkdir(parents=True, exist_ok=True)
    final = place(wanted, way)
    with alone(cache() / "lock", say):
        if final.is_dir():  # somebody else built it while we waited
            return final
        part = final.with_name(f"{final.name}.part")
        part.mkdir(exist_ok=True)
        root, toolbox = part / "root", part / "toolbox.tar"
        jobs = [
            builder.Job(f"Debian {wanted.release}", wanted.machine(), wanted.release, root),
            builder.Job("toolbox", wanted.container(), wanted.release, toolbox),
        ]
        if todo := [job for job in jobs if not Path(job.result).exists()]:
            _check_room()
            builder.cook(way, todo, part, say)
        _bake(machine, root, toolbox, say)
        builder.run(*way.shell(), "mv", "--no-target-directory", str(root), str(final))
        builder.remove(way, part)
    return final


def _bake(machine: Booter, root: Path, toolbox: Path, say: builder.Say) -> None:
    """Build the Docker images on a lab host of this very image, and keep their layers in it."""
    from labkit.lab import Lab  # here, because a lab needs an image

    job, steps, way = "Docker images", 3, machine.privilege
    say(job, "booting a lab host", steps)
    builder.remove(way, root / LABKIT)
    build = root / LABKIT / "build"
    copy = 'mkdir -p "${3%/*}" && cp -r "$1" "$3" && ln "$2" "$3/toolbox/rootfs.tar"'
    builder.run(*way.shell(), "sh", "-c", copy, "sh", str(IMAGES), str(toolbox), str(build))
    try:
        with Lab(hosts=1, image=root, machine=machine.name) as lab:
            say(job, "building toolbox, nginx and busybox", steps)
            script = f"sh /{LABKIT}/build/bake.sh"
            builder.unpack(way, lambda file: lab.host1.save(script, file), root / LABKIT)
    except CommandError as error:
        raise builder.explain("docker build", error.stderr.splitlines()) from error
    builder.remove(way, build)
    say(job, "done", steps)


def _check_room() -> None:
    free = shutil.disk_usage(cache()).free
    if free < ROOM:
        raise ImageError(
            f"the machine image needs {ROOM / 1e9:.1f} GB of disk and {cache()} has "
            f"{free / 1e9:.1f} GB free: make room, or name a folder elsewhere in LABKIT_CACHE"
        )


@contextlib.contextmanager
def alone(file: Path, say: builder.Say) -> Iterator[None]:
    """Hold a lock: of two builds at once, the second waits for the first one's image."""
    import fcntl  # here, because Windows has none, and builds no image this way

    with open(file, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting", "another process is building the machine image", 1)
            fcntl.flock(lock, fcntl.LOCK_EX)
            say("waiting", "done", 1)
        yield
