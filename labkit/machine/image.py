"""The machine image of an engine generation: found in the cache, or built there once.

How it is made, stage by stage, each kept when a later one fails:

1. ``root``: the machine's file system, by mmdebstrap from the lists in recipe.py;
2. ``toolbox.tar``: the file system of the Docker image ``toolbox``, the same way, at the same time;
3. the store: a lab with one host is booted from ``root``, its engine builds the Docker images of
   images/, and their layers come back into ``root``, where all lab hosts share them.

Then ``root`` takes its place in the cache, in one step. Nothing here needs the network afterwards.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from labkit.errors import CommandError, ImageError
from labkit.machine import builder, prerequisites
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


def find(engine: str = "26.1") -> Path | None:
    """The image of that engine generation if it is in the cache, made from today's recipe."""
    path = cache() / recipe(engine).name(architecture())
    return path if path.is_dir() else None


def ensure(engine: str = "26.1", progress: builder.Say | None = None) -> Path:
    """The image of that engine generation, built first if it is not there.

    Args:
        engine: "26.1" or "20.10".
        progress: called with a job's name, its step and its number of steps; shows them if None.
    """
    if image := find(engine):
        return image
    with contextlib.ExitStack() as stack:
        say = progress or stack.enter_context(Steps())
        try:
            return _build(recipe(engine), say)
        except KeyboardInterrupt:
            raise ImageError(
                "building the machine image was interrupted; what was finished is kept, and the "
                "next start goes on from there"
            ) from None
        except OSError as error:
            if builder.is_full(error):
                raise builder.full() from error
            raise ImageError(f"the machine image could not be written: {error}") from error


def _build(wanted: Recipe, say: builder.Say) -> Path:
    builder.shell()  # refuses those who can't build, before anything is written
    prerequisites.install(lambda step: say("packages", step, 1))
    cache().mkdir(parents=True, exist_ok=True)
    final = cache() / wanted.name(architecture())
    with _alone(say):
        if final.is_dir():  # somebody else built it while we waited
            return final
        part = final.with_name(f"{final.name}.part")
        part.mkdir(exist_ok=True)
        root, toolbox = part / "root", part / "toolbox.tar"
        jobs = [
            builder.Job(f"Debian {wanted.release}", wanted.machine(), wanted.release, root),
            builder.Job("toolbox", wanted.container(), wanted.release, toolbox),
        ]
        if todo := [job for job in jobs if not job.result.exists()]:
            _check_room()
            builder.cook(todo, part, say)
        _bake(root, toolbox, say)
        root.rename(final)
        builder.remove(part)
    return final


def _bake(root: Path, toolbox: Path, say: builder.Say) -> None:
    """Build the Docker images on a lab host of this very image, and keep their layers in it."""
    from labkit.lab import Lab  # here, because a lab needs an image

    job, steps = "Docker images", 3
    say(job, "booting a lab host", steps)
    builder.remove(root / LABKIT)
    build = root / LABKIT / "build"
    shutil.copytree(IMAGES, build)
    os.link(toolbox, build / "toolbox" / "rootfs.tar")
    try:
        with Lab(hosts=1, image=root) as lab:
            say(job, "building toolbox, nginx and busybox", steps)
            script = f"sh /{LABKIT}/build/bake.sh"
            builder.unpack(lambda file: lab.host1.save(script, file), root / LABKIT)
    except CommandError as error:
        raise builder.explain("docker build", error.stderr.splitlines()) from error
    builder.remove(build)
    say(job, "done", steps)


def _check_room() -> None:
    free = shutil.disk_usage(cache()).free
    if free < ROOM:
        raise ImageError(
            f"the machine image needs {ROOM / 1e9:.1f} GB of disk and {cache()} has "
            f"{free / 1e9:.1f} GB free: make room, or name a folder elsewhere in LABKIT_CACHE"
        )


@contextlib.contextmanager
def _alone(say: builder.Say) -> Iterator[None]:
    """Hold the cache's lock: of two builds at once, the second waits for the first one's image."""
    with open(cache() / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting", "another process is building the machine image", 1)
            fcntl.flock(lock, fcntl.LOCK_EX)
            say("waiting", "done", 1)
        yield
