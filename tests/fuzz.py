"""Garbage for all that reads what it did not write: only the defined errors may come of it.

Each target takes one input and says whether it was accepted. tests/unit tries a few thousand
inputs in every test run, ``./lab bench fuzz`` a hundred thousand.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labkit.agent.wire import HEADER, Call, CallFailed, Wire, WireError, streams
from labkit.errors import SnapshotError
from labkit.model import frames, netfilter, nftables, rules
from labkit.model.snapshot import Snapshot

TESTS = Path(__file__).parent
PLUGINS = TESTS.parent / "notebooks" / "12-network-plugins.ipynb"
RULES = r"""*nat
:PREROUTING ACCEPT [12:720]
:DOCKER - [0:0]
[3:180] -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
[1:60] -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
[0:0] -A DOCKER -m comment --comment "the learner's \"own\"" -j RETURN
COMMIT
*filter
:FORWARD DROP [0:0]
[7:420] -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
[0:0] -A FORWARD -p tcp -m multiport --dports 80,443 -m limit --limit 5/m -j LOG --log-prefix "a:"
COMMIT
"""

NFT = (
    """table ip lesson {
\tset bad {
\t\ttype ipv4_addr
\t\telements = { 1.1.1.1, 10.0.0.0/8,
\t\t\t     1.1.2.1 }
\t}

\tchain guard {
\t\ttype filter hook input priority -5; policy drop;
\t\tip saddr { 1.1.1.1, 1.1.1.2 } counter packets 3 bytes 180 accept comment "}{ # x"
\t\tiifname "eth0" oifname != "docker0" masquerade
\t\ttcp dport vmap { 22 : accept, 25 : jump side }
\t\tct state established,related limit rate over 10/minute burst 5 packets log prefix "a"
\t}
}
""",
    """table inet own { # progname firewalld
\tflags owner
\tchain x {
\t\ttype nat hook prerouting device "eth0" priority 0; policy accept;
\t\tfib daddr type local tcp dport 8080 dnat ip to 172.17.0.2:80
\t\ttcp flags & (fin | syn | rst | ack) == syn meta mark set 0x00000005 goto side
\t}
}
""",
)


@dataclass(frozen=True)
class Target:
    """Something that reads, and the inputs to try on it."""

    name: str
    inputs: st.SearchStrategy
    attempt: Callable[[contextlib.ExitStack], Callable[[object], bool]]
    """Prepares what is needed; gives the function that says whether an input was accepted."""


@dataclass
class Count:
    """How many inputs were tried, and how many of them were accepted."""

    tried: int = 0
    accepted: int = 0


def attack(target: Target, examples: int) -> Count:
    """Try that many inputs; what is no defined error is raised, with the input that led to it."""
    count = Count()
    with contextlib.ExitStack() as stack:
        attempt = target.attempt(stack)

        @settings(
            max_examples=examples, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(target.inputs)
        def one(data: object) -> None:
            count.tried += 1
            count.accepted += attempt(data)

        one()
    return count


def mutated(*samples: bytes) -> st.SearchStrategy[bytes]:
    """Real inputs with some bytes cut out and others put in, and plain garbage."""
    edit = st.tuples(st.floats(0, 1), st.integers(0, 30), st.binary(max_size=8))

    def edited(sample: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
        for place, cut, new in edits:
            at = int(place * len(sample))
            sample = sample[:at] + new + sample[at + cut :]
        return sample

    real = st.builds(edited, st.sampled_from(samples), st.lists(edit, max_size=4))
    return st.one_of(real, real, st.binary(max_size=200))


def _chains(parse: Callable[[str], tuple]) -> Callable[[bytes], bool]:
    """A parser of rules: what it accepts is told in words."""

    def attempt(data: bytes) -> bool:
        try:
            chains = parse(data.decode(errors="replace"))
        except SnapshotError:
            return False
        assert all(r.condition and r.effect for c in chains for r in c.rules)
        return True

    return attempt


def _trace(_: contextlib.ExitStack) -> Callable[[bytes], bool]:
    def attempt(data: bytes) -> bool:
        body = data.hex()
        accepted = False
        for read in (  # a message is of one of the three kinds
            lambda: netfilter.rules({"chains": [body]}),
            lambda: netfilter.rules({"rules": [body]}),
            lambda: list(netfilter.runs([(0, 0, body), (0, 1, body)])),
        ):
            with contextlib.suppress(SnapshotError):
                read()
                accepted = True
        return accepted

    return attempt


def _snapshot(_: contextlib.ExitStack) -> Callable[[bytes], bool]:
    def attempt(data: bytes) -> bool:
        try:
            Snapshot.from_json(data)
        except SnapshotError:
            return False
        return True

    return attempt


def _frame(_: contextlib.ExitStack) -> Callable[[bytes], bool]:
    return lambda data: frames.frame(data) is not None


def _wire(stack: contextlib.ExitStack) -> Callable[[bytes], bool]:
    loop = asyncio.new_event_loop()
    stack.callback(loop.close)

    async def quick(call: Call) -> str:
        return "here"

    async def attempt(data: bytes) -> bool:
        arrive, sent = os.pipe()
        unread, leave = os.pipe()
        files = os.fdopen(arrive, "rb", 0), os.fdopen(leave, "wb", 0)
        wire = Wire(*await streams(*files), {"quick": quick})
        call = await wire.call("something")
        os.write(sent, data)
        os.close(sent)
        await asyncio.wait_for(wire.run(), 10)
        wire._writer.close()
        os.close(unread)
        try:
            await call.result
        except (WireError, CallFailed):
            return False
        return True

    return lambda data: loop.run_until_complete(attempt(data))


def _plugin(stack: contextlib.ExitStack) -> Callable[[bytes], bool]:
    """The lesson's own server, from its cell, with its socket and log in a folder of the test."""
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    cells = nbformat.read(PLUGINS, as_version=4).cells
    [cell] = [c.source for c in cells if "cat > /root/plugin/serve.py" in c.source]
    source = cell.split("<< 'END'\n", 1)[1].rsplit("\nEND", 1)[0]
    serve, functions = Path(folder, "serve.py"), Path(folder, "wire.py")
    serve.write_text(source.replace("/run/docker/plugins/", "").replace("/run/", ""))
    functions.write_text("def Join(request):\n    return {'SandboxKey': request['SandboxKey']}\n")
    errors = Path(folder, "errors")
    with errors.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, serve, "wire", functions], cwd=folder, stderr=file
        )
    stack.callback(lambda: (server.kill(), server.wait()))
    path = Path(folder, "wire.sock")

    def attempt(data: bytes) -> bool:
        connection = socket.socket(socket.AF_UNIX)
        with connection:
            connection.settimeout(30)
            while True:
                with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                    connection.connect(str(path))
                    break
                assert server.poll() is None
            with contextlib.suppress(BrokenPipeError):  # it has heard enough
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(connection)
            try:
                answer.begin()
                body = answer.read()
            except (http.client.HTTPException, ConnectionResetError):
                answer = None  # no request, or none that HTTP/1 knows
        assert errors.read_text() == ""
        if answer and answer.status == 200:
            assert isinstance(json.loads(body), dict)
        return bool(answer) and answer.status == 200

    return attempt


def _post(path: str, body: bytes) -> bytes:
    return b"POST /%s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(body), body)


def _captured() -> Iterator[bytes]:
    """Frames of recorded journeys, names asked and VXLAN among them."""
    for name in ("names", "overlay"):
        heard = json.loads((TESTS / "unit/journeys/heard" / f"{name}.json").read_text())
        yield from (bytes.fromhex(frame[4]) for frame in heard["frames"])


def _reports() -> Iterator[bytes]:
    """What the kernel said of traced packets, of chains and of rules, in recorded journeys."""
    heard = json.loads((TESTS / "unit/journeys/heard/names.json").read_text())
    yield from (bytes.fromhex(report[2]) for report in heard["reports"][:40])
    for place in heard["places"]:
        for bodies in place["before"].values():
            yield from map(bytes.fromhex, bodies[:10])


def _samples() -> Iterator[bytes]:
    for path in sorted((TESTS / "unit" / "snapshots").glob("*.json")):
        if path.stat().st_size < 30_000:
            yield path.read_bytes()


FRAMES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 9), st.binary(max_size=40)).map(
        lambda t: HEADER.pack(len(t[2]), t[0], t[1]) + t[2]
    )
).map(b"".join)

TARGETS = (
    Target("rules", mutated(RULES.encode()), lambda _: _chains(rules.parse)),
    Target("nft", mutated(*map(str.encode, NFT)), lambda _: _chains(nftables.parse)),
    Target("trace", mutated(*_reports()), _trace),
    Target("snapshot", mutated(*_samples()), _snapshot),
    Target("frame", mutated(*_captured()), _frame),
    Target("wire", st.one_of(st.binary(max_size=200), FRAMES), _wire),
    Target(
        "plugin",
        mutated(
            _post("NetworkDriver.Join", b'{"SandboxKey": "/run/docker/netns/1", "Options": {}}'),
            _post("Plugin.Activate", b""),
            _post("NetworkDriver.Join", b"[" * 2000),
        ),
        _plugin,
    ),
)
