"""ContainerMachine: the machine image in one privileged container of an engine the learner has.

The engine is the one that the docker command would use: DOCKER_HOST, or the current context. It
may be in a virtual machine (Docker Desktop, Colima) or on another computer: all that it needs goes
through its API.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import requests
from docker.context import ContextAPI
from docker.context.config import get_current_context_name

from labkit.errors import ImageError, MachineError
from labkit.machine import container_image
from labkit.machine.container_relay import LABEL, create
from labkit.machine.image import architecture, booter, find
from labkit.machine.progress import Steps
from labkit.machine.recipe import recipe

RELAY = Path(__file__).with_name("container_relay.py")
PATIENCE = 600.0  # seconds without a sign of life from an engine that takes in an image
QUICK = 5.0  # seconds for an engine to answer at all


class ContainerMachine:
    """One privileged container, attached by its standard streams: the Engine API's way."""

    name, recorded = "container", ""

    def available(self) -> tuple[bool, str]:
        """Whether the engine can and may run this machine, and why not, in words."""
        if sys.platform == "win32":  # a lab's sockets are UNIX sockets: asyncio has none there
            return False, "this system is Windows; use labkit inside WSL"
        try:
            place = endpoint()
            with connected(QUICK) as client:
                told = client.info()
                if reason := refusal(client, told):
                    return False, f"the engine of {place} {reason}"
        except MachineError as error:
            return False, str(error)
        return True, f"Docker Engine {told['ServerVersion']} of {place}"

    def memory(self) -> int:
        """Bytes of memory that a lab's hosts may take: what the engine's computer has in all."""
        with connected(QUICK) as client:
            return client.info()["MemTotal"]

    def prepare(self, engine: str, image: Path | str | None = None) -> str:
        """The name of the machine image in the learner's engine: brought or built there, once.

        Args:
            engine: "26.1" or "20.10".
            image: the directory of another image to boot in its place, or such a name.
        """
        if isinstance(image, str):
            return image
        with connected(PATIENCE) as client:
            wanted = recipe(engine)
            processor = architecture(client.info()["Architecture"])
            name = image.resolve().name if image else wanted.name(processor)
            reference = f"{container_image.REPOSITORY}:{name.removeprefix('image-')}"
            with contextlib.suppress(docker.errors.ImageNotFound):
                client.images.get(reference)
                return reference
            image = image or _image_here(engine, processor)
            try:
                with Steps() as say:
                    if image:
                        way = booter().privilege
                        container_image.bring(client, way, image, reference, say)
                    else:
                        container_image.build(client, wanted, reference, say)
            except KeyboardInterrupt:
                raise ImageError(
                    "the machine image on its way into the engine was interrupted; the next start "
                    "begins again"
                ) from None
            return reference

    def command(self, image: Path | str, run: Path) -> list[str]:
        """The command whose standard input and output are the agent's; it makes and removes run."""
        return [sys.executable, "-P", str(RELAY), str(image), str(run)]


def _image_here(engine: str, processor: str) -> Path | None:
    """The machine image of that generation in this computer's cache, if it fits the processor."""
    if processor == architecture():
        with contextlib.suppress(ImageError):  # nobody here could read it, or make one
            return find(engine)
    return None


def endpoint() -> str:
    """Which engine the docker command would talk to, in words; MachineError when there is none."""
    if host := os.environ.get("DOCKER_HOST"):
        return f"DOCKER_HOST ({host})"
    name = os.environ.get("DOCKER_CONTEXT") or get_current_context_name()
    try:
        context = ContextAPI.get_context(name)
    except Exception as error:  # docker-py has no class of its own for a file that it can't read
        raise MachineError(f"the docker context {name!r} cannot be read ({error})") from error
    if context is None:
        raise MachineError(
            f"the current docker context is {name!r}, and there is no context of that name; "
            "run: docker context use default"
        )
    return f"the docker context {name!r} ({context.Host})"


@contextlib.contextmanager
def connected(timeout: float) -> Iterator[docker.DockerClient]:
    """The learner's engine; MachineError when it does not answer, or refuses something."""
    place = endpoint()
    try:
        client = docker.from_env(version="auto", timeout=timeout)
    except Exception as error:  # docker-py's, requests', paramiko's, pywin32's: all mean the same
        raise MachineError(_silence(place, error)) from error
    try:
        yield client
    except (docker.errors.DockerException, requests.RequestException) as error:
        said = getattr(error, "explanation", None) or error
        raise MachineError(f"the engine of {place} answers: {said}") from error
    finally:
        client.close()


def _silence(place: str, error: BaseException | None) -> str:
    """Why no engine answers, from the innermost error that the system named, and what to do."""
    said = str(error)
    denied = False
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            said, denied = error.strerror.lower(), isinstance(error, PermissionError)
        error = error.__cause__ or error.__context__
    remedy = (
        "you need the right to use it: on Linux, membership of the group docker"
        if denied
        else "start Docker, or name an engine in DOCKER_HOST"
    )
    return f"no Docker Engine answers at {place}: {said}; {remedy}"


def refusal(client: docker.DockerClient, told: dict) -> str:
    """Why this engine cannot boot the machine; empty when it can.

    That a privileged container is refused (an authorization plugin, a user namespace) shows in
    the answer to a request for one, of an image that does not exist.
    """
    if told["OSType"] != "linux":
        return f"runs {told['OSType']} containers; switch it to Linux containers"
    if "name=rootless" in told.get("SecurityOptions", ()):
        return (
            "is rootless, and its privileged containers are not root enough to start engines; "
            "name another engine in DOCKER_HOST"
        )
    try:
        create(client.api, f"{LABEL}/no-such-image", ["true"])
    except docker.errors.ImageNotFound:
        return ""
    except docker.errors.DockerException as error:
        said = getattr(error, "explanation", None) or error
        return (
            f"refuses the lab's privileged container ({said}); "
            "ask whoever runs it, or name another engine in DOCKER_HOST"
        )
    return "has an image of a name that labkit keeps free; remove labkit/no-such-image"


def clean() -> Iterator[str]:
    """Remove what killed labs and builds left in the engine, and labkit's images; say what it was.

    Says nothing where no engine answers.
    """
    try:
        endpoint()
        with connected(QUICK) as client:
            yield from _clean(client)
    except MachineError:
        return


def _clean(client: docker.DockerClient) -> Iterator[str]:
    for container in client.containers.list(all=True, filters={"label": LABEL}):
        if container.status == "running":  # it ends by itself when its lab does
            yield f"kept container {container.name}: a running lab uses it"
        elif container.status != "removing":
            container.remove(force=True, v=True)
            yield f"removed container {container.name}"
    for found in client.images.list(filters={"label": LABEL}):
        name = next(iter(found.tags), found.short_id)
        try:
            client.images.remove(found.id, force=False)
            yield f"removed image {name}"
        except docker.errors.APIError as error:
            yield f"kept image {name}: {error.explanation}"
