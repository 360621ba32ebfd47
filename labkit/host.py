"""The computers of a lab, as a learner uses them: nodes, lab hosts, containers on them."""

from __future__ import annotations

import codecs
import contextlib
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import cached_property
from typing import IO

import docker
import docker.errors
import requests
from docker.models.containers import Container, ContainerCollection
from docker.utils.ports import build_port_bindings

from labkit.channel import Channel, Sink
from labkit.errors import CommandError, EngineError, LabError, UsageError
from labkit.model.diff import Diff, diff
from labkit.model.facts import snapshot_of
from labkit.model.snapshot import Snapshot
from labkit.upgrade import mend

SOCKET = "/run/docker.sock"
LOG = "/var/log/docker.log"


class Output(str):
    """What a command wrote to standard output: text, with what else is known of the run.

    As the last value of a cell it shows nothing: the command has printed itself.

    Attributes:
        stderr: what it wrote to standard error.
        status: its exit status.
    """

    stderr: str
    status: int

    def __new__(cls, stdout: str, stderr: str, status: int) -> Output:  # noqa: D102
        self = super().__new__(cls, stdout)
        self.stderr, self.status = stderr, status
        return self

    def _ipython_display_(self) -> None:
        """Nothing: it has been printed."""


class Node:
    """A computer of the lab: its own namespaces, its own root, its own address."""

    def __init__(self, channel: Channel, name: str, address: str) -> None:
        self._channel = channel
        self.name, self.address = name, address

    def __repr__(self) -> str:
        return f"<{self.name} {self.address}>"

    @property
    def channel(self) -> Channel:
        """The way to the agent that knows every node of this one's lab."""
        return self._channel

    def sh(self, command: str, check: bool = True, timeout: float | None = None) -> Output:
        """Run a shell command as if logged in here as root; it prints as a terminal would.

        Standard output is a terminal, standard error a pipe, so that an error can carry what it
        said; of what is written to both in one breath the order can be lost: ``2>&1`` keeps it.

        Args:
            command: text for bash.
            check: raise CommandError when the exit status is not 0.
            timeout: seconds after which the command is interrupted.

        Returns:
            What it wrote to standard output, with ``.stderr`` and ``.status``.
        """
        texts: dict[int, list[str]] = {1: [], 2: []}
        decoders = {n: codecs.getincrementaldecoder("utf-8")("replace") for n in texts}

        def show(stream: int, data: bytes) -> None:
            text = decoders[stream].decode(data).replace("\r\n", "\n")
            texts[stream].append(text)
            sys.stdout.write(text)
            sys.stdout.flush()

        limit = {} if timeout is None else {"timeout": timeout}
        status = self._channel.call(
            "execute", show, node=self.name, script=command, raw=False, **limit
        )
        stdout, stderr = ("".join(parts) for parts in texts.values())
        if check and status != 0:
            raise CommandError(self.name, command, status, stdout, stderr)
        return Output(stdout, stderr, status)

    def read(self, command: str) -> str:
        """What a shell command writes to standard output, not printed; CommandError if it fails."""
        parts: dict[int, list[bytes]] = {1: [], 2: []}
        self._execute_raw(command, lambda stream, data: parts[stream].append(data), parts)
        return b"".join(parts[1]).decode(errors="replace")

    def save(self, command: str, file: IO[bytes]) -> None:
        """Write what a shell command writes to standard output to a file, byte for byte.

        Raises:
            CommandError: its exit status was not 0.
        """
        parts: dict[int, list[bytes]] = {1: [], 2: []}

        def keep(stream: int, data: bytes) -> None:
            if stream == 1:
                file.write(data)
            else:
                parts[2].append(data)

        self._execute_raw(command, keep, parts)

    def snapshot(self) -> Snapshot:
        """Everything about its networking now; works without an engine too."""
        return snapshot_of(self._channel.call("observe", node=self.name))

    def _execute_raw(self, command: str, sink: Sink, parts: dict[int, list[bytes]]) -> None:
        status = self._channel.call("execute", sink, node=self.name, script=command, raw=True)
        if status != 0:
            texts = (b"".join(p).decode(errors="replace") for p in parts.values())
            raise CommandError(self.name, command, status, *texts)


class Host(Node):
    """A lab host: a node with a Docker Engine."""

    def __init__(self, channel: Channel, name: str, address: str) -> None:
        super().__init__(channel, name, address)
        self._client: docker.DockerClient | None = None
        self._socket = channel.listen(name, SOCKET, self._refusal)

    @property
    def docker(self) -> docker.DockerClient:
        """A client of this host's engine (docker-py), over a private socket."""
        self._channel.require()
        if self._client is None:
            try:
                client = docker.DockerClient(base_url=f"unix://{self._socket}")
            except docker.errors.DockerException as error:
                raise EngineError(self._down(str(error))) from error
            self._client = mend(client, self._socket)
        return self._client

    def run(
        self,
        image: str,
        name: str | None = None,
        network: str | None = None,
        publish: str | Sequence[str] = (),
        command: str | Sequence[str] | None = None,
        **options: object,
    ) -> ContainerHandle:
        """Start a container in the background, as ``docker run -d`` does.

        Args:
            image: an image that this host has; nothing is pulled.
            name: the container's name; the engine makes one up without it.
            network: the Docker network to join; the default bridge without it.
            publish: ports as after ``docker run -p``: "8080:80", "127.0.0.1:8080:80/tcp".
            command: what to run in place of the image's command.
            options: more arguments of docker-py's ``containers.run``.

        Raises:
            UsageError: the engine refused it; no container is left behind.
        """
        try:
            ports = build_port_bindings([publish] if isinstance(publish, str) else publish)
        except ValueError as error:
            raise UsageError(f"publish={publish!r}: {error}") from error
        try:
            container = _Created(client=self.docker).create(
                image, command, name=name, network=network, ports=ports, detach=True, **options
            )
        except docker.errors.ImageNotFound as error:
            there = sorted(tag for i in self.docker.images.list() for tag in i.tags)
            raise UsageError(
                f"{self.name} has no image {image!r}; it has {', '.join(there)}"
            ) from error
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise self._refused(error) from error
        try:
            container.start()
        except (docker.errors.DockerException, requests.RequestException) as error:
            with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
                container.remove(force=True)
            raise self._refused(error) from error
        return ContainerHandle(self, container.id, name)

    def watch(self) -> Watch:
        """Tell what a block of Python does to this host's networking.

        Example:
            >>> with lab.host1.watch() as change:  # doctest: +SKIP
            ...     lab.host1.run("nginx", name="web", publish="8080:80")
            >>> change  # doctest: +SKIP
            + container web, image nginx, in network bridge
            …
        """
        return Watch(self)

    def changes(self, put: Callable[[object], None]) -> Future:
        """Have ``put`` called soon after anything in this host's networking changes, and once now.

        It is called by another thread and must not wait. Traffic changes only counters and
        connections, and is not told. Cancelling the future ends it; so does the lab's end.
        """
        return self._channel.open("events", put, node=self.name)

    def close(self) -> None:
        """Close the connections to the engine."""
        if self._client:
            self._client.close()

    def _refused(self, error: Exception) -> LabError:
        if isinstance(error, docker.errors.APIError):
            if error.status_code == 503:
                return EngineError(error.explanation)
            if error.explanation.endswith(": unavailable"):  # gRPC's word, of containerd
                return EngineError(self._down(f"its containerd is gone: {error.explanation}"))
            return UsageError(f"{self.name}'s engine refused: {error.explanation}")
        try:
            self._channel.require()
        except LabError as gone:  # the engine went with its machine
            return gone
        return EngineError(self._down(str(error)))

    def _down(self, reason: str) -> str:
        return (
            f"{self.name}'s Docker Engine does not answer ({reason}): `service docker start` on "
            f"{self.name} starts it, and {LOG} there tells why it ended"
        )

    def _refusal(self, reason: str) -> bytes:
        """The HTTP answer that a client gets while the engine is down (Engine API, status 503)."""
        body = json.dumps({"message": self._down(reason)}).encode()
        head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        return f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Watch:
    """A host's networking before and after a block; it shows itself as what is different.

    Attributes:
        before: the snapshot from the block's start; None before that.
        after: the snapshot from the block's end; None before that.
        diff: what is different; None before the block's end.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.before: Snapshot | None = None
        self.after: Snapshot | None = None
        self.diff: Diff | None = None

    def __enter__(self) -> Watch:
        self.after = self.diff = None
        self.before = self.host.snapshot()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A block that failed has its own error to tell, not that the lab is gone too.
        with contextlib.suppress(*([LabError] if kind else [])):
            self.after = self.host.snapshot()
            if self.before:
                self.diff = diff(self.before, self.after)

    def __repr__(self) -> str:
        if self.diff is None:
            return f"<watch of {self.host.name}: no two snapshots yet>"
        return repr(self.diff)

    def _repr_html_(self) -> str | None:
        return None if self.diff is None else self.diff._repr_html_()


class _Created(ContainerCollection):
    """Creates containers as docker-py does, but asks nothing of them afterwards."""

    def get(self, container_id: str) -> Container:
        return self.prepare_model({"Id": container_id})


class ContainerHandle:
    """A container that ``host.run`` started.

    Attributes:
        host: the lab host that it is on.
        id: the engine's name of it, 64 digits.
    """

    def __init__(self, host: Host, container_id: str, name: str | None) -> None:
        self.host, self.id, self._name = host, container_id, name

    @cached_property
    def container(self) -> Container:
        """The container as docker-py sees it."""
        return self.host.docker.containers.get(self.id)

    @property
    def name(self) -> str:
        """Its name, which the engine made up if none was given."""
        return self._name or self.container.name

    def __repr__(self) -> str:
        return f"<container {self.name} on {self.host.name}>"

    @property
    def pid(self) -> int:
        """The id of its process 1, as seen on its host."""
        self.container.reload()
        return self.container.attrs["State"]["Pid"]

    def sh(self, command: str, check: bool = True) -> Output:
        """Run a shell command in the container, by ``docker exec``; as ``Node.sh``."""
        return self.host.sh(f"docker exec {self.name} sh -c {shlex.quote(command)}", check=check)

    def remove(self) -> None:
        """Stop the container and remove it."""
        self.host.docker.api.remove_container(self.id, force=True)
