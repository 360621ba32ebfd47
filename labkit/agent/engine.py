"""The Docker Engines of the lab hosts as process 1 sees them: are they ready, what they know."""

from __future__ import annotations

import asyncio
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
            get(root, "/_ping")
            return
        except (FileNotFoundError, ConnectionRefusedError):  # no socket yet, or not listening yet
            if not (root / "proc" / pid).exists():
                raise OSError("it ended") from None
            time.sleep(0.002)


class _Connection(http.client.HTTPConnection):
    """HTTP over the engine's UNIX socket."""

    def __init__(self, root: Path) -> None:
        super().__init__("engine", timeout=PATIENCE)
        self._root = root

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._root / SOCKET))


def get(root: Path, *paths: str) -> list[bytes]:
    """The bodies of GETs at the Engine API over one connection; OSError where nobody answers."""
    connection = _Connection(root)
    try:
        bodies = []
        for path in paths:
            connection.request("GET", path)
            bodies.append(connection.getresponse().read())
        return bodies
    except http.client.HTTPException as error:
        raise OSError(f"the engine's answer is no HTTP: {error}") from error
    finally:
        connection.close()


def facts(root: Path) -> dict | None:
    """The engine's version, networks and running containers; None when it does not answer."""
    lists = ("/version", "/networks", "/containers/json")
    try:
        version, networks, listed = map(json.loads, get(root, *lists))
        inspected = get(root, *(f"/containers/{c['Id']}/json" for c in listed))
    except OSError:
        return None
    containers = [c for c in map(json.loads, inspected) if c.get("State", {}).get("Running")]
    return {"version": version["Version"], "networks": networks, "containers": containers}
