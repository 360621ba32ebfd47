"""What a check looks at: a lab host's snapshot and the answers of a few commands, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import docker.errors
import msgspec
import requests

from labkit.errors import CommandError, LabError
from labkit.exercises.verdict import Unmet, missing, not_yet
from labkit.lab import Lab
from labkit.model.snapshot import Container, Namespace, Snapshot
from labkit.model.value import Value


class Probe(Value):
    """A command that finds out what a picture of the network can't tell: does it answer?"""

    node: str
    command: str


class Answer(Value):
    """What a probe gave."""

    status: int
    text: str = ""

    @property
    def ok(self) -> bool:
        """The command succeeded."""
        return self.status == 0


class State(Value):
    """The live state that a check judges.

    Attributes:
        snapshot: the lab host's networking.
        probes: the answer of each probe, by the probe's name.
        stopped: containers that exist and don't run: name and status, as ``docker ps -a`` has them.
    """

    snapshot: Snapshot
    probes: dict[str, Answer] = msgspec.field(default_factory=dict)
    stopped: dict[str, str] = msgspec.field(default_factory=dict)

    def container(self, name: str) -> Container | None:
        """The running container of that name, or None."""
        return self.snapshot.container(name)

    def exists(self, name: str) -> bool:
        """There is a container of that name, running or not."""
        return name in self.stopped or self.container(name) is not None

    def running(self, name: str, run: str = "", mend: str = "", so_far: str = "") -> Container:
        """The running container of that name; ``Unmet`` says why there is none.

        Args:
            name: of the container.
            run: what to do if it does not exist.
            mend: what to do if it exists and does not run.
            so_far: what is right already; without it nothing is there to be judged.
        """
        if found := self.container(name):
            return found
        if name in self.stopped:
            exists = f"{name} exists and is not running (its status is {self.stopped[name]}); "
            raise Unmet(not_yet(so_far + exists + (mend or f"`docker start {name}`")))
        none = f"{so_far}there is no container named {name} on {self.snapshot.host}"
        raise Unmet((not_yet if so_far else missing)(none + f"; {run}" * bool(run)))

    def inside(self, container: Container) -> Namespace:
        """The network namespace of a container; ``Unmet`` if the snapshot has none."""
        if found := self.snapshot.namespace(container.namespace):
            return found
        raise Unmet(not_yet(f"{container.name}'s network namespace can't be read; check again"))

    def answers(self, probe: str) -> bool:
        """That probe was made and succeeded."""
        return probe in self.probes and self.probes[probe].ok

    def to_json(self) -> str:
        """The state as JSON text; ``from_json`` gives an equal one back."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> State:
        """The state in that JSON text."""
        return msgspec.json.decode(text, type=cls)


def read(lab: Lab, host: str, probes: Mapping[str, Probe]) -> State:
    """The state of a lab host now. Nothing is printed; a probe that fails is an answer too."""
    here = lab.host(host)
    # The probes come first: the counters in the snapshot then include them.
    with ThreadPoolExecutor() as pool:  # together: one that waits for nothing costs a second
        answers = dict(zip(probes, pool.map(lambda p: _ask(lab, p), probes.values()), strict=True))
    try:
        there = here.docker.containers.list(all=True, ignore_removed=True)
        stopped = {c.name: c.status for c in there if c.status != "running"}
    except (LabError, docker.errors.DockerException, requests.RequestException):
        stopped = {}  # no engine: the snapshot says so
    return State(snapshot=here.snapshot(), probes=answers, stopped=stopped)


def _ask(lab: Lab, probe: Probe) -> Answer:
    try:
        return Answer(status=0, text=lab.node(probe.node).read(probe.command))
    except CommandError as error:
        return Answer(status=error.status, text=error.stdout)
