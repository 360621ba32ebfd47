"""On a live host of each engine, every published port, MASQUERADE and DNS redirect has a cause."""

from __future__ import annotations

import pytest

from labkit import Lab, rules_table
from labkit.model.causes import cause, rules_of

NETWORKS = """
    docker network create --subnet 10.5.0.0/24 shop
    docker network create --internal --subnet 10.6.0.0/24 vault
    docker run -d --name web --network shop -p 8080:80 -p 127.0.0.1:8443:443 -p 5353:53/udp nginx
    docker run -d --name plain -p 80 busybox sleep 1d
    docker run -d --name safe --network vault busybox sleep 1d
    docker network connect shop plain
"""
SWARM = """
    docker swarm init --advertise-addr eth0
    docker network create --driver overlay --attachable over
    docker run -d --name own --network over -p 8099:80 nginx
    docker service create --quiet --detach=false --name front --network over \
        --endpoint-mode dnsrr nginx
"""
SCENES = {"networks": NETWORKS, "swarm": SWARM}


@pytest.mark.parametrize("engine", ["20.10", "26.1"])
@pytest.mark.parametrize("scene", SCENES)
def test_nothing_that_docker_wrote_is_without_its_cause(engine, scene):
    with Lab(hosts=1, engine=engine) as lab:
        lab.host1.read(SCENES[scene])
        snapshot = lab.host1.snapshot()
    assert snapshot.engine.startswith(engine)
    every = [(n, r) for n in snapshot.namespaces for _, c in n.families() for r in c.rules]
    unknown = [(n.name, r.table, r.chain, r.spec) for n, r in every if not cause(snapshot, n, r)]
    assert unknown == []
    known = {
        (r.target, cause(snapshot, n, r).kind)
        for n, r in every
        if r.target in ("MASQUERADE", "DNAT")
    }
    assert known == {
        ("DNAT", "published port"), ("DNAT", "name server"),
        ("MASQUERADE", "network"), ("MASQUERADE", "published port"),
    }  # fmt: skip
    ports = [(c.name, p) for c in snapshot.containers for p in c.ports]
    assert len(ports) >= (6 if scene == "networks" else 2)
    for name, port in ports:
        found = rules_of(snapshot, name, port)
        assert sorted(r.target for r in found) == ["ACCEPT", "DNAT", "MASQUERADE"]
    dns = [n.name for n, r in every if r.chain == "DOCKER_OUTPUT" and cause(snapshot, n, r)]
    assert set(dns) >= ({"web", "plain", "safe"} if scene == "networks" else {"own"})
    assert "host1" in repr(rules_table(snapshot))
