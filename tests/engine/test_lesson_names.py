"""Notebook 03's exercises, live: the solution passes, each wrong state is recognised."""

import pytest

from labkit.lessons import names as lesson

GIVEN = """
docker network create shop
docker run -d --name web --network shop nginx
docker run -d --name db --network shop nginx
"""
PAGE3 = "docker run -d --name page3 --network shop --network-alias team nginx;"
VANDAL = """
pid=$(docker inspect -f '{{.State.Pid}}' web)
here() { nsenter -t $pid -n "$@"; }
here iptables -t nat -N VANDAL
here iptables -t nat -S DOCKER_OUTPUT | grep -e '-p udp' | sed 's/^-A/-t nat -D/' |
    xargs nsenter -t $pid -n iptables
here conntrack -F 2> /dev/null
port() { here ss -ln$1H | grep -o '127.0.0.11:[0-9]*'; }
udp() { here iptables -t nat -A $1 -d 127.0.0.11 -p udp --dport 53 -j DNAT --to-destination $2; }
"""


def verdict(host, exercise, script):
    host.read(f"{GIVEN}\n{script}")
    return exercise.judge(exercise.read())


@pytest.mark.parametrize(
    ("script", "kind", "says"),
    [
        ("", "still missing", "page3 and page4 do not exist"),
        ("docker rm -f web", "keep working", "web, which asks, is not running"),
        (PAGE3, "keep working", ".4: there is no container named page4"),
        (
            f"{PAGE3} docker run -d --name page4 --network shop nginx",
            "keep working",
            "page4 is on shop without the alias team",
        ),
        (
            f"{PAGE3} docker network create other;"
            "docker run -d --name page4 --network other --network-alias team nginx",
            "keep working",
            "page4 is on other, and not on shop",
        ),
        (
            "docker run -d --name page3 nginx; docker run -d --name page4 nginx",
            "keep working",
            "gets no address: page3 is on bridge, and not on shop",
        ),
        (
            f"{PAGE3} docker create --name page4 --network shop --network-alias team nginx",
            "keep working",
            "page4 exists and is not running (its status is created)",
        ),
        (
            f"{lesson.team.script}\ndocker run -d --name team --network shop nginx",
            "keep working",
            "team has that name too",
        ),
        (lesson.team.script, "correct", "page3 and page4"),
    ],
)
def test_team(host, script, kind, says):
    found = verdict(host, lesson.team, script)
    assert (found.kind, says in found.message) == (kind, True), found


@pytest.mark.parametrize(
    ("script", "kind", "says"),
    [
        ("docker rm -f web", "keep working", "web is not running"),
        ("", "keep working", "the vandal has not been here"),
        (VANDAL, "still missing", "no rule of the nat table takes UDP"),
        (
            f"{VANDAL} iptables -t nat -A OUTPUT -d 127.0.0.11 -p udp --dport 53 "
            "-j DNAT --to-destination 127.0.0.11:$(port u | cut -d: -f2)",
            "keep working",
            "is in the nat table of host1",
        ),
        (
            f"{VANDAL} udp DOCKER_OUTPUT $(port t)",
            "keep working",
            "the engine waits for UDP on another one",
        ),
        (
            f"{VANDAL} udp PREROUTING $(port u)",
            "keep working",
            "in PREROUTING leads to the right port, but has counted 0 packets",
        ),
        (
            f"{VANDAL} docker restart -t 1 web",
            "keep working",
            "Docker made it a new namespace with new rules",
        ),
        (f"{VANDAL} {lesson.door.script}", "correct", "web finds db again: `-d 127.0.0.11/32"),
    ],
)
def test_door(host, script, kind, says):
    try:
        found = verdict(host, lesson.door, script)
    finally:
        host.read(
            "iptables -t nat -S OUTPUT | grep 127.0.0.11/32 | sed 's/^-A/-t nat -D/' "
            "| xargs -r iptables"
        )
    assert (found.kind, says in found.message) == (kind, True), found
