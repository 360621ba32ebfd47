"""The Docker Engines of the lab hosts as process 1 sees them: are they ready, what they know."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import time
from pathlib import Path

SOCKET = "run/docker.sock"
PATIENCE = 180.0  # seconds; a loaded computer with software emulation needs some 90


async def ready(name: str, root: Path) -> None:
    """Wait until the engine of the node with that root answers; OSError with its last words."""
    try:
        await asyncio.wait_for(asyncio.to_thread(_knock, root), PATIENCE)
    except (OSError, TimeoutError) as error:
        log = (root / "var/log/docker.log").read_text(errors="replace").strip()
        last = log.splitlines()[-1] if log else "its log is empty"
        raise OSError(f"the Docker Engine of {name} did not start ({error}): {last}") from None


def _knock(root: Path) -> None:
    """Connect as soon as somebody listens. The engine accepts at once and answers when ready."""
    pid = (root / "run/docker-engine.pid").read_text().strip()
    while True:
        try:
            with contextlib.closing(_Connection(root)) as engine:
                engine.get("/_ping")
            return
        except (FileNotFoundError, ConnectionRefusedError):  # no socket yet, or not listening yet
            if not (root / "proc" / pid).exists():
                raise OSError("it ended") from None
            time.sleep(0.002)


class _Connection(http.client.HTTPConnection):
    """HTTP over the engine's UNIX socket."""

    software = ""  # the last answer's Server: "Docker/26.1.5+dfsg1 (linux)"

    def __init__(self, root: Path) -> None:
        super().__init__("engine", timeout=PATIENCE)
        self._root = root

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._root / SOCKET))

    def get(self, path: str) -> bytes:
        """The body of a GET at the Engine API; OSError where nobody answers."""
        try:
            self.request("GET", path)
            answer = self.getresponse()
            self.software = answer.getheader("Server", "")
            return answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"the engine's answer is no HTTP: {error}") from error


def facts(root: Path) -> dict | None:
    """The engine's version, networks and running containers; None when it does not answer."""
    try:
        with contextlib.closing(_Connection(root)) as engine:
            networks = json.loads(engine.get("/networks"))
            listed = json.loads(engine.get("/containers/json"))
            paths = [f"/containers/{c['Id']}/json" for c in listed]
            containers = [c for path in paths if (c := _container(json.loads(engine.get(path))))]
    except OSError:
        return None
    # /version would tell too: after 5 ms, because it runs runc to ask for that one's.
    version = engine.software.removeprefix("Docker/").partition(" ")[0]
    return {"version": version, "networks": networks, "containers": containers}


def _container(told: dict) -> dict | None:
    """The part of ``GET /containers/ID/json`` that is wanted, in its shape; None if none runs.

    The whole is some eight times as much, and the learner's side would wait for it.
    """
    if not told.get("State", {}).get("Running"):
        return None
    settings = told["NetworkSettings"]
    return {
        "Id": told["Id"],
        "Name": told["Name"],
        "State": {"Pid": told["State"]["Pid"]},
        "Config": {"Image": told["Config"]["Image"]},
        "HostConfig": {"NetworkMode": told["HostConfig"]["NetworkMode"]},
        "NetworkSettings": {"Networks": settings["Networks"], "Ports": settings["Ports"]},
    }
