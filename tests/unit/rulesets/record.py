"""Save the rules that the tests read, from real labs: python tests/unit/rulesets/record.py

Each function below makes rules on a lab host of its own, with the engines named beside it, which is
then saved as NAME-ENGINE.json. Where it yields a word, NAME-WORD-ENGINE.json is saved then.
`record.py asked` records these only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from labkit import Lab
from labkit.host import Host


def networks(host: Host) -> None:
    """Networks of every kind that has rules, published ports of every form, a link, a rule of
    the learner's.
    """
    host.sh("""
        docker network create --subnet 10.5.0.0/24 shop
        docker network create --subnet 10.6.0.0/24 --internal vault
        docker network create --subnet 10.7.0.0/24 -o com.docker.network.bridge.enable_icc=false \
            quiet
        docker network create --subnet 10.8.0.0/24 \
            -o com.docker.network.bridge.enable_ip_masquerade=false routed
        docker run -d --name plain -p 8000-8001:80-81 busybox sleep 1d
        docker run -d --name web --network shop -p 8080:80 -p 8090:80 -p 127.0.0.1:8443:443 \
            -p 5353:53/udp nginx
        docker run -d --name safe --network vault busybox sleep 1d
        docker run -d --name calm --network quiet busybox sleep 1d
        docker run -d --name far --network routed -p 9000:80 busybox sleep 1d
        iptables -I DOCKER-USER -s 192.168.56.101 -m comment --comment 'not station1' -j DROP
    """)


def swarm(host: Host) -> None:
    """One node of a Swarm: a service with a published port, a container with one of its own."""
    host.sh("""
        docker swarm init --advertise-addr eth0
        docker network create -d overlay --attachable over
        docker service create --quiet --name front --network over --publish 8088:80 nginx
        docker run -d --network over --name own -p 8099:80 nginx
    """)


def native(host: Host) -> None:
    """Tables that nft made: two of the learner's, one for two families, and a rule for IPv6."""
    host.run("nginx", name="web", publish="8080:80")
    host.sh("""
        nft add table ip lesson
        nft 'add chain ip lesson early { type filter hook prerouting priority -310; }'
        nft 'add rule ip lesson early ip protocol icmp counter'
        nft 'add chain ip lesson guard { type filter hook input priority -5; policy accept; }'
        nft add chain ip lesson shut
        nft 'add rule ip lesson guard tcp dport { 80, 443, 8080 } ct state new counter jump shut'
        nft 'add rule ip lesson shut ip saddr 203.0.113.0/24 log prefix "outside " counter drop'
        nft 'add rule ip lesson shut limit rate over 10/minute counter reject'
        nft add table inet two
        nft 'add chain inet two way_out { type nat hook postrouting priority 90; policy accept; }'
        nft 'add rule inet two way_out oifname != "lo" ip saddr 10.9.0.0/24 counter masquerade'
        ip6tables -A INPUT -p tcp --dport 8080 -j REJECT
        curl --silent --output /dev/null localhost:8080 host1:8080
    """)


def asked(host: Host) -> Iterator[str]:
    """Two web servers; then one is asked, the other ends, a third comes, a rule moves."""
    host.run("nginx", name="web", publish="8080:80")
    host.run("nginx", name="old", publish="8081:80")
    host.sh(
        "iptables -A INPUT -p udp --dport 9 -j DROP; iptables -A INPUT -p udp --dport 10 -j DROP"
    )
    yield "before"
    host.sh("""
        curl --silent --output /dev/null host1:8080
        docker run --rm toolbox curl --silent outside
        docker rm --force old
        iptables -D INPUT 1; iptables -A INPUT -p udp --dport 9 -j DROP
    """)
    host.run("nginx", name="new", publish="8082:80")


SCENES = {
    networks: ("20.10", "26.1"),
    swarm: ("20.10", "26.1"),
    native: ("26.1",),
    asked: ("26.1",),
}


def main(names: list[str]) -> None:
    """Record the scenes of these names, or all."""
    for scene, engines in SCENES.items():
        for engine in engines if not names or scene.__name__ in names else ():
            with Lab(hosts=1, engine=engine) as lab:
                there = Path(__file__).with_name
                for word in scene(lab.host1) or ():
                    name = f"{scene.__name__}-{word}-{engine}.json"
                    lab.host1.snapshot().save(there(name))
                lab.host1.snapshot().save(there(f"{scene.__name__}-{engine}.json"))
            print(f"{scene.__name__}, engine {engine}: {scene.__doc__}")


if __name__ == "__main__":
    main(sys.argv[1:])
