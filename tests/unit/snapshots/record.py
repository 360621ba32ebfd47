"""Save the snapshots that the tests draw, from a real lab: python tests/unit/snapshots/record.py

Each function below makes a network on a lab host of its own, which is then saved as the file of
the function's name; or in a whole lab, all of which is then saved in a folder of its name.
`record.py three twenty` records these only.
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


def fifty(host: Host) -> None:
    """Fifty containers, forty of them on the default bridge and ten on another."""
    host.sh("docker network create --subnet 10.5.0.0/24 backend")
    for number in range(1, 51):
        ports = f"{8000 + number}:80" if number % 5 == 0 else ()
        network = "bridge" if number <= 40 else "backend"
        host.run("busybox", f"box{number:02}", network, command="sleep 1d", publish=ports)


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


def cable(host: Host) -> None:
    """Containers joined by a veth pair with no bridge, and one with both ends of a pair."""
    pids = {}
    for name in ("left", "right"):
        pids[name] = host.run("busybox", name=name, command="sleep 1d", network="none").pid
    left, right = (f"nsenter --net --target {pid} ip" for pid in pids.values())
    host.sh(
        f"ip link add cable netns {pids['left']} type veth peer name cable netns {pids['right']};"
        f"{left} address add 10.9.0.1/30 dev cable; {left} link set cable up;"
        f"{right} address add 10.9.0.2/30 dev cable; {right} link set cable up;"
        f"{left} link add loop0 type veth peer name loop1"
    )


def overlay(lab: Lab) -> None:
    """A Swarm of two hosts, an overlay network with a container on each, a station."""
    lab.host1.read("docker swarm init --advertise-addr 192.168.56.11")
    token = lab.host1.read("docker swarm join-token -q worker").strip()
    lab.host2.read(f"docker swarm join --token {token} 192.168.56.11:2377")
    lab.host1.sh("docker network create --driver overlay --attachable shared")
    lab.host1.run("nginx", name="near", network="shared", publish="8080:80")
    lab.host1.run("busybox", name="local", command="sleep 1d")
    lab.host2.run("nginx", name="far", network="shared")
    lab.host1.sh("docker exec near curl --silent --output /dev/null far")
    lab.station1.sh("curl --silent --output /dev/null host1:8080")


SCENES = (empty, one, three, twenty, fifty, bridges, modes, cable)
LABS = (overlay,)


def main(names: list[str]) -> None:
    """Record the scenes of these names, or all."""
    for scene in SCENES:
        if not names or scene.__name__ in names:
            with Lab(hosts=1) as lab:
                scene(lab.host1)
                lab.host1.snapshot().save(Path(__file__).with_name(f"{scene.__name__}.json"))
            print(f"{scene.__name__}: {scene.__doc__}")
    for scene in LABS:
        if not names or scene.__name__ in names:
            folder = Path(__file__).with_name(scene.__name__)
            folder.mkdir(exist_ok=True)
            with Lab(hosts=2, stations=1) as lab:
                scene(lab)
                for snapshot in lab.snapshots():
                    snapshot.save(folder / f"{snapshot.host}.json")
            print(f"{scene.__name__}: {scene.__doc__}")


if __name__ == "__main__":
    main(sys.argv[1:])
