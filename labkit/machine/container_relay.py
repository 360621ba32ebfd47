"""One privileged container whose standard streams are this program's. Arguments: IMAGE RUNDIR.

Everything travels through the engine's API, so the engine may be anywhere; nothing is mounted from
this computer and no port is published. The container goes when this program's standard input ends.
When this program is killed the engine sees its connection close and closes the container's
standard input (``StdinOnce``): the agent ends with it, and ``AutoRemove`` removes the container.

It is a program by itself, and imports nothing of labkit, because it outlives the learner's kernel.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import struct
import sys
import threading
from pathlib import Path

import docker
import requests

LABEL = "labkit"  # on everything that labkit makes in an engine
PLACE = "labkit.image"  # on a Docker image: where in it the machine image's directory is
CHUNK = 1 << 16
FRAME = struct.Struct(">BxxxL")  # stream, length: ContainerAttach in the Engine API's reference


def create(api: docker.APIClient, image: str, words: list[str], network: str = "none") -> str:
    """Create a container that ends with whoever is attached to its standard input; its id."""
    host = api.create_host_config(
        privileged=True, auto_remove=True, network_mode=network, cgroupns="private"
    )
    made = api.create_container(
        image, words, stdin_open=True, labels={LABEL: "container"}, host_config=host
    )
    return made["Id"]


def run(api: docker.APIClient, image: str) -> None:
    """Run a machine until its agent ends or our standard input does; then the container is gone."""
    place = api.inspect_image(image)["Config"]["Labels"][PLACE]
    script = Path(__file__).with_name("namespaces-inner.sh").read_text()
    container = create(api, image, ["sh", "-c", script, "machine", place, "/run"])
    try:
        attached = api.attach_socket(
            container, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        )
        # What docker-py gives is a file for a UNIX socket, else the connection itself.
        connection = getattr(attached, "_sock", attached)
        connection.settimeout(None)
        api.start(container)
        threading.Thread(target=_forth, args=(connection, api, container), daemon=True).start()
        _back(connection)
    finally:
        _remove(api, container)


def _forth(connection: socket.socket, api: docker.APIClient, container: str) -> None:
    """Our standard input to the container's; its end is the container's end."""
    with contextlib.suppress(OSError):
        while data := os.read(0, CHUNK):
            connection.sendall(data)
    _remove(api, container)


def _back(connection: socket.socket) -> None:
    """The container's output to ours, until it ends."""
    with contextlib.suppress(OSError, EOFError):
        while True:
            stream, length = FRAME.unpack(_exactly(connection, FRAME.size))
            data = memoryview(_exactly(connection, length))
            while data:
                data = data[os.write(stream, data) :]


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        if not (more := connection.recv(length - len(data))):
            raise EOFError
        data += more
    return data


def _remove(api: docker.APIClient, container: str) -> None:
    """Remove the container, and wait until it is gone."""
    with contextlib.suppress(docker.errors.NotFound):
        try:
            api.remove_container(container, force=True, v=True)
        except docker.errors.APIError as error:
            if error.status_code != 409:  # its removal is already in progress
                raise
            api.wait(container, condition="removed")


def main() -> None:
    """Run the machine; complain in one line."""
    image, directory = sys.argv[1:]
    for name in ("SIGHUP", "SIGINT", "SIGTERM"):  # only the end of the machine ends this program
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_IGN)
    try:
        os.mkdir(directory, 0o700)
        run(docker.from_env(version="auto").api, image)
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        said = getattr(error, "explanation", None) or error
        print(f"the Docker Engine answers: {said}", file=sys.stderr)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
