"""Save the snapshots that the tests draw, from a real lab: python tests/unit/snapshots/record.py

Each function below makes a network on a lab host of its own, which is then saved as the file of
the function's name. `record.py three twenty` records these only.
"""

from __future__ import annotations

import sys
from pathlib import Path

from labkit import Lab
from labkit.host import Host


def empty(host: Host) -> None:
    """A host as it starts: docker0 and nothing on it."""


def one(host: Host) -> None:
    """A web server with a published port, asked once from the LAN side and once asking outside."""
    host.run("nginx", name="web", publish="8080:80")
    host.sh("curl --silent --output /dev/null 127.0.0.1:8080 $(hostname):8080")
    host.sh("docker run --rm toolbox curl --silent outside")


def three(host: Host) -> None:
    """Three containers on the default bridge."""
    host.run("nginx", name="web", publish="8080:80")
    host.run("busybox", name="client", command="sleep 1d")
    host.run("toolbox", name="tools", command="sleep 1d")


def twenty(host: Host) -> None:
    """Twenty containers on the default bridge, every fifth with a published port."""
    for number in range(1, 21):
        ports = f"{8000 + number}:80" if number % 5 == 0 else ()
        host.run("busybox", name=f"box{number:02}", command="sleep 1d", publish=ports)


def bridges(host: Host) -> None:
    """Two bridges, and a container that is on both."""
    host.sh("docker network create --subnet 10.5.0.0/24 backend")
    host.run("nginx", name="web", publish=["8080:80", "127.0.0.1:8443:443"])
    host.run("busybox", name="database", command="sleep 1d", network="backend")
    host.run("busybox", name="cache", command="sleep 1d", network="backend")
    host.sh("docker network connect backend web")


def modes(host: Host) -> None:
    """Every network mode of one host: bridge, host, none, container, macvlan."""
    host.sh("docker network create --driver macvlan --subnet 192.168.56.0/24 "
            "--gateway 192.168.56.1 --ip-range 192.168.56.224/28 -o parent=eth0 lan")  # fmt: skip
    host.run("nginx", name="web", publish="80")
    host.run("busybox", name="sidecar", command="sleep 1d", network="container:web")
    host.run("busybox", name="native", command="sleep 1d", network="host")
    host.run("busybox", name="alone", command="sleep 1d", network="none")
    host.run("busybox", name="neighbour", command="sleep 1d", network="lan")


SCENES = (empty, one, three, twenty, bridges, modes)


def main(names: list[str]) -> None:
    """Record the scenes of these names, or all."""
    for scene in SCENES:
        if not names or scene.__name__ in names:
            with Lab(hosts=1) as lab:
                scene(lab.host1)
                lab.host1.snapshot().save(Path(__file__).with_name(f"{scene.__name__}.json"))
            print(f"{scene.__name__}: {scene.__doc__}")


if __name__ == "__main__":
    main(sys.argv[1:])
