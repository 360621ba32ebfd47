"""The map of a live lab: what it says can be typed there shows the thing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from labkit import Lab, topology

LOCAL = (
    "docker network create --subnet 10.5.0.0/24 backend",
    "docker network create -d macvlan --subnet 192.168.56.0/24 --gateway 192.168.56.1"
    " --ip-range 192.168.56.224/28 -o parent=eth0 lan",
    "docker run -d --name web -p 8080:80 -p 127.0.0.1:8443:443 nginx",
    "docker run -d --name cache --network backend busybox sleep 1d",
    "docker run -d --name sidecar --network container:web busybox sleep 1d",
    "docker run -d --name native --network host busybox sleep 1d",
    "docker run -d --name alone --network none busybox sleep 1d",
    "docker run -d --name neighbour --network lan busybox sleep 1d",
)


@pytest.fixture(scope="module")
def swarm() -> Iterator[Lab]:
    with Lab(hosts=2, stations=1) as lab:
        lab.host1.read("docker swarm init --advertise-addr 192.168.56.11")
        token = lab.host1.read("docker swarm join-token -q worker").strip()
        lab.host2.read(f"docker swarm join --token {token} 192.168.56.11:2377")
        lab.host1.read("docker network create -d overlay --attachable shared")
        lab.host1.read("docker run -d --name near --network shared -p 8080:80 nginx")
        lab.host2.read("docker run -d --name far --network shared nginx")
        lab.host1.read("timeout 20 sh -c 'until docker exec near curl -s far; do sleep 0.2; done'")
        yield lab


def wrong(lab: Lab, things) -> list[str]:
    """The commands that fail, or whose output does not have the thing's name or what is said of it.

    All of a node's commands in one shell, in which each prints its status.
    """
    found, asked = [], {}
    for thing in things:
        for command in thing.commands:
            asked.setdefault(thing.host, {}).setdefault(command, []).append(thing)
    for host, commands in asked.items():
        script = "\n".join(f"({c}) 2>&1; echo =$?" for c in commands)
        answers = re.split(r"^=(\d+)\n", lab.node(host).read(script), flags=re.MULTILINE)
        assert len(answers) == 2 * len(commands) + 1
        pairs = zip(commands.items(), answers[::2], answers[1::2], strict=False)
        for (command, asking), text, status in pairs:
            for thing in asking:
                known = [thing.name, thing.name.split()[0]]
                known += [part for _, value in thing.details for part in value.split(", ")]
                told = any(re.search(rf"(?<!\w){re.escape(k)}(?!\w)", text) for k in known if k)
                if status != "0" or not told:
                    found.append(f"{host}: {command}: status {status}: {text[:200]}")
    return found


def test_every_command_of_a_hosts_map_shows_its_thing(host, lab):
    host.read("; ".join(LOCAL))
    figure = topology(host.snapshot())
    kinds = {t.kind for t in figure.things}
    assert kinds >= {
        "lab host", "LAN", "bridge", "interface", "container", "network", "wire",
        "published port", "rule", "macvlan on its parent",
    }  # fmt: skip
    assert all(t.commands for t in figure.things)
    assert wrong(lab, figure.things) == []


def test_every_command_of_a_swarms_map_shows_its_thing(swarm):
    figure = topology(*swarm.snapshots())
    kinds = {t.kind for t in figure.things}
    assert kinds >= {"sandbox", "VXLAN tunnel", "station", "outside"}
    assert {t.host for t in figure.things} == {"host1", "host2", "station1", "outside"}
    assert wrong(swarm, figure.things) == []


def test_a_rule_is_named_by_its_number(host):
    """The command that lists that one rule prints the text on the map."""
    host.read("; ".join(LOCAL[2:3]))
    figure = topology(host.snapshot())
    rules = [t for t in figure.things if t.kind == "rule"]
    assert len(rules) == 2
    for thing in rules:
        assert dict(thing.details)["text"] in host.read(thing.commands[0])


def test_the_map_of_a_station_alone(swarm):
    assert repr(topology(swarm.station1.snapshot())) == (
        "<map of station1: 0 containers, 0 bridges>"
    )
    shown = [t.get_text() for t in topology(swarm.router.snapshot()).axes_.texts]
    assert "lan" in shown
    assert "a bridge of the node" in shown
