"""The lab: a machine, its LAN, hosts, stations and outside. What a learner starts and stops."""

from __future__ import annotations

from pathlib import Path

from labkit import wake
from labkit.channel import Channel
from labkit.errors import LabStopped, UsageError
from labkit.host import Host, Node
from labkit.internet import Internet
from labkit.machine import choose, named
from labkit.machine.progress import Waking
from labkit.machine.recipe import generation
from labkit.model.snapshot import Snapshot
from labkit.replay.recorder import around

MOST_HOSTS = 80  # of the LAN's 254 addresses: .11 to .90, and .101 to .180 for the stations
MEMORY_PER_HOST = 128 << 20  # bytes: an engine takes 40 MiB, some containers the rest

_running: list[Lab] = []


def current() -> Lab:
    """The lab that was started last and is still running; LabStopped when there is none."""
    if not _running:
        raise LabStopped("no lab is running; start one with lab = Lab(hosts=1).start()")
    return _running[-1]


class Lab:
    """A small network of Docker hosts, on this computer and apart from it.

    Args:
        hosts: lab hosts, each with a Docker Engine: ``lab.host1``, ``lab.host2``, …
        stations: plain computers on the LAN: ``lab.station1``, …
        engine: which generation of Docker Engine, "26.1" or "20.10"; the one that $LABKIT_ENGINE
            names if None, else 26.1.
        image: the machine image to boot, where it is not the one that ``engine`` names.
        machine: how to boot it, by name ("root", "user"); the best that can boot here if None.
        internet: whether the lab can reach what this computer reaches: your network, the
            internet. Without it the lab has no way out. Needs passt(1).

    Example:
        >>> with Lab(hosts=2) as lab:  # doctest: +SKIP
        ...     lab.host1.sh("docker network ls")
    """

    def __init__(
        self,
        hosts: int = 1,
        stations: int = 0,
        engine: str | None = None,
        image: Path | str | None = None,
        machine: str | None = None,
        internet: bool = False,
    ) -> None:
        for name, count, least in (("hosts", hosts, 1), ("stations", stations, 0)):
            if not isinstance(count, int) or isinstance(count, bool) or count < least:
                raise UsageError(f"{name}={count!r}: give a whole number, {least} or more")
        if hosts > MOST_HOSTS or stations > MOST_HOSTS:
            raise UsageError(f"{hosts=}, {stations=}: the LAN has room for {MOST_HOSTS} of each")
        if machine is not None:
            named(machine)
        self._wanted = (hosts, stations)
        self._engine = generation(engine)
        self._image = image
        self._wanted_machine = machine
        self._wants_internet = internet
        self._internet: Internet | None = None
        self._channel: Channel | None = None
        self._nodes: dict[str, Node] = {}
        self.machine = self.recorded = ""  # the kind of machine; if a replay, of when and what

    def start(self) -> Lab:
        """Boot the machine and start every engine; the lab itself, ready.

        Nothing is left of a start that fails or is interrupted.
        """
        if self._channel and not self._channel.closed:
            raise UsageError("this lab is running already; lab.stop() ends it")
        machine = choose(self._wanted_machine)
        if self._wants_internet and machine.name == "replay":
            raise UsageError("internet=True: a replay has no network; leave it out")
        hosts, stations = self._wanted
        if hosts * MEMORY_PER_HOST > (free := machine.memory()):
            raise UsageError(
                f"hosts={hosts}: the {machine.name} machine has room for {free // MEMORY_PER_HOST} "
                f"({free >> 20} MiB of memory are free, a host takes {MEMORY_PER_HOST >> 20})"
            )
        takes_time = wake.takes_time(machine)
        with Waking(shown=takes_time) as say:
            if takes_time:  # others are asked once, by choose: for an answer they try namespaces
                say("looking for its image", f"{machine.name} machine ({machine.available()[1]})")
            image = machine.prepare(self._engine, self._image)
            say("booting", "image is there")
            woken = wake.take(image)
            channel = woken or Channel(lambda run: around(machine.command(image, run)))
            self._channel = channel
            say("starting engines", "booted while this page was loading" if woken else "booted")
            try:
                facts = channel.call("build", hosts=hosts, stations=stations)
                self._nodes = {
                    f["name"]: (Host if f["kind"] == "host" else Node)(
                        channel, f["name"], f["address"]
                    )
                    for f in facts
                }
                if self._wants_internet:
                    self._internet = Internet(channel, self.node("router"))
            except BaseException:
                self.stop()
                raise
            say("", "engine is up" if hosts == 1 else f"{hosts} engines are up")
        self.machine, self.recorded = machine.name, machine.recorded
        _running.append(self)
        return self

    def stop(self) -> None:
        """End the lab and everything in it. Does nothing when it is not running."""
        if self in _running:
            _running.remove(self)
        for host in self.hosts:
            host.close()
        if self._channel:
            self._channel.close()
        if self._internet:
            self._internet.close()
            self._internet = None

    def __enter__(self) -> Lab:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        if not self._channel:
            return "<Lab: not started>"
        if self._channel.closed:
            return "<Lab: stopped>"
        return f"<Lab on a {self.machine} machine: {', '.join(self._nodes)}>"

    def node(self, name: str) -> Node:
        """The lab host, station, router or outside of that name."""
        if not self._nodes:
            raise LabStopped("this lab is not started; call lab.start() first")
        if name not in self._nodes:
            known = ", ".join(self._nodes)
            raise UsageError(f"there is no {name!r} in this lab; there are {known}")
        return self._nodes[name]

    def host(self, name: str) -> Host:
        """The lab host of that name."""
        node = self.node(name)
        if not isinstance(node, Host):
            raise UsageError(f"{name} has no Docker Engine: it is no lab host")
        return node

    def __getattr__(self, name: str) -> Node:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self.node(name)
        except UsageError as error:
            raise AttributeError(str(error)) from error

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._nodes]

    @property
    def hosts(self) -> tuple[Host, ...]:
        """The lab hosts, in order."""
        return tuple(n for n in self._nodes.values() if isinstance(n, Host))

    @property
    def stations(self) -> tuple[Node, ...]:
        """The stations, in order."""
        return tuple(n for n in self._nodes.values() if n.name.startswith("station"))

    def snapshots(self) -> tuple[Snapshot, ...]:
        """Of every lab host and station, and of outside, now: ``topology(*lab.snapshots())``."""
        return tuple(n.snapshot() for n in self._nodes.values() if n.name != "router")

    @property
    def engine(self) -> str:
        """The version of the lab's Docker Engine, such as "26.1.5"."""
        return self.hosts[0].docker.version()["Version"].partition("+")[0]
