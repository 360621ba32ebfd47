"""Save the journeys that the tests read and draw: python tests/unit/journeys/record.py

Each function below makes a network in a lab of its own, and gives the place and the command of
a journey, which is then saved as the file of the function's name; what the agent told of it is
kept in the folder `heard`. `record.py nat drop` records these only.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from labkit import Lab
from labkit.host import ContainerHandle, Host, Node
from labkit.model import trace
from labkit.tracing import heard

HERE = Path(__file__).parent
Request = tuple[Node | ContainerHandle, str]


def nat(lab: Lab) -> Request:
    """A container's request to outside: MASQUERADE."""
    return _idle(lab.host1, "web"), "curl -s outside"


def published(lab: Lab) -> Request:
    """A station's request to a published port: DNAT."""
    lab.host1.run("nginx", name="web", publish="8080:80")
    return lab.station1, "curl -s -o /dev/null host1:8080"


def loopback(lab: Lab) -> Request:
    """The host's own request to a port published on 127.0.0.1: the userland proxy."""
    lab.host1.run("nginx", name="web", publish="127.0.0.1:8080:80")
    return lab.host1, "curl -s -o /dev/null 127.0.0.1:8080"


def bridge(lab: Lab) -> Request:
    """From container to container on a user-defined bridge."""
    lab.host1.sh("docker network create --subnet 10.5.0.0/24 backend")
    lab.host1.read("docker run -d --name web --network backend --ip 10.5.0.2 nginx")
    return _idle(lab.host1, "client", network="backend"), "curl -s -o /dev/null 10.5.0.2"


def names(lab: Lab) -> Request:
    """Two names asked of the embedded DNS server: one it knows, one it asks the router for."""
    lab.host1.sh("docker network create --subnet 10.5.0.0/24 backend")
    _idle(lab.host1, "web", network="backend")
    client = _idle(lab.host1, "client", network="backend")
    return client, "dig +short web; dig +short outside"


def macvlan(lab: Lab) -> Request:
    """From a container with an interface of its own on the LAN to a station."""
    addresses = "--subnet 192.168.56.0/24 --gateway 192.168.56.1 --ip-range 192.168.56.224/28"
    lab.host1.sh(f"docker network create --driver macvlan {addresses} -o parent=eth0 lan")
    return _idle(lab.host1, "neighbour", network="lan"), "ping -n -c 1 192.168.56.101"


def overlay(lab: Lab) -> Request:
    """From a container on host1 to one on host2, over VXLAN."""
    lab.host1.read("docker swarm init --advertise-addr 192.168.56.11")
    token = lab.host1.read("docker swarm join-token -q worker").strip()
    lab.host2.read(f"docker swarm join --token {token} host1:2377")
    lab.host1.read("docker network create --driver overlay --attachable --subnet 10.9.0.0/24 wide")
    client = _idle(lab.host1, "client", network="wide")
    lab.host2.read("docker run -d --name web --network wide --ip 10.9.0.20 nginx")
    return client, "curl -s -o /dev/null 10.9.0.20"


def host(lab: Lab) -> Request:
    """A host's own request to outside: nothing rewrites it."""
    return lab.host1, "curl -s outside"


def drop(lab: Lab) -> Request:
    """A container's request that a rule of the host's owner drops."""
    client = _idle(lab.host1, "client")
    lab.host1.sh("iptables -I DOCKER-USER -p tcp --dport 80 -j DROP")
    return client, "curl -s --max-time 0.5 203.0.113.10"


SCENES = (nat, published, loopback, bridge, names, macvlan, overlay, host, drop)


def _idle(host: Host, name: str, **options: object) -> ContainerHandle:
    return host.run("toolbox", name=name, command="sleep 1d", **options)


def main(chosen: list[str]) -> None:
    """Record the scenes of these names, or all."""
    for scene in SCENES:
        if not chosen or scene.__name__ in chosen:
            with Lab(hosts=1 + (scene is overlay), stations=1) as lab:
                found = heard(*scene(lab), timeout=10)
            name = f"{scene.__name__}.json"
            trace.join(**found).save(HERE / name)
            (HERE / "heard" / name).write_text(json.dumps(found["heard"]) + "\n")
            print(f"{scene.__name__}: {scene.__doc__}")


if __name__ == "__main__":
    main(sys.argv[1:])
