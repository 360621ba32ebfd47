"""A Docker Engine started by hand on this computer's own network, for packages come from outside.

Its base image, debian:trixie-slim, is made by mmdebstrap, for a registry may be out of reach.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker

from labkit import leftovers
from labkit.machine import image
from labkit.machine.container_image import BASE

ENGINE = Path(__file__).with_name("engine.sh")
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
# Where TLS goes through a local certificate authority, pip in a container has to know it, too.
TRUST = """
[ -e /etc/ssl/certs/ca-certificates.crt ] || exit 0
mkdir -p "$1/etc/ssl/certs"
cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/of-the-computer.crt"
printf '[global]\\ncert = /etc/ssl/certs/of-the-computer.crt\\n' > "$1/etc/pip.conf"
"""


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[docker.DockerClient]:
    """An engine with Debian in it and nothing else, whose data lie in that folder."""
    command = [*NAMESPACES, "sh", str(ENGINE), str(image.ensure("26.1")), str(folder)]
    pipe = subprocess.PIPE
    try:
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
            try:
                assert process.stdout.readline() == "ready\n"
                client = docker.DockerClient(f"unix://{folder}/docker.sock", version="auto")
                words = ["mmdebstrap", "--quiet", "--variant=minbase", f"--customize-hook={TRUST}"]
                with subprocess.Popen([*words, "trixie", "-"], stdout=pipe) as debian:
                    client.api.import_image_from_stream(debian.stdout, *BASE.split(":"))
                assert debian.returncode == 0
                yield client
            finally:
                process.stdin.close()
    finally:
        for hierarchy in leftovers._hierarchies():
            if (group := hierarchy / group_name(folder)).exists():
                leftovers.remove_cgroup(group)
        shutil.rmtree(folder / "data", ignore_errors=True)  # gigabytes, and pytest keeps folders


def group_name(folder: Path) -> str:
    """The cgroup that the engine of that folder has its containers in."""
    return f"labkit-test.{folder.name}"
