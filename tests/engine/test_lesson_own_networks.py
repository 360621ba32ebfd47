"""Notebook 02's exercises, live: the solution passes, each wrong state is recognised."""

import pytest

from labkit.lessons import own_networks as lesson

BACKROOM = "docker network create --internal backroom; docker network create street;"
TILL = "docker run -d --name till --network backroom nginx;"
OFFICE = "docker network create --subnet 10.20.30.0/24 --gateway 10.20.30.254 office;"


def verdict(host, exercise, script):
    host.read(script)
    return exercise.judge(exercise.read())


@pytest.mark.parametrize(
    ("script", "kind", "says"),
    [
        ("", "still missing", "neither a container named shop nor one named till"),
        (f"{BACKROOM} {TILL}", "keep working", "there is no container named shop"),
        (
            f"{BACKROOM} {TILL} docker create --name shop --network street nginx",
            "keep working",
            "shop exists and is not running (its status is created)",
        ),
        (
            f"{BACKROOM} {TILL} docker run -d --name shop --network street nginx",
            "keep working",
            "shop is on street, till is on backroom: they have no network in common",
        ),
        (
            "docker run -d --name shop nginx; docker run -d --name till nginx",
            "keep working",
            "only the default bridge, where containers have no names",
        ),
        (
            "docker network create both; docker run -d --name shop --network both nginx;"
            "docker run -d --name till --network both nginx",
            "keep working",
            "till reaches outside: by both, which is not internal",
        ),
        (
            f"{BACKROOM} {TILL} docker run -d --name shop --network backroom nginx",
            "keep working",
            "it is on backroom only; connect it to one more network",
        ),
        (
            f"{BACKROOM} {TILL} docker run -d --name shop --network street nginx;"
            "docker network connect backroom shop;"
            "docker exec till true; iptables -I DOCKER-USER -j DROP",
            "keep working",
            "shop gets no answer from the name till",
        ),
        (lesson.back_room.script, "correct", "does not reach outside"),
    ],
)
def test_back_room(host, script, kind, says):
    try:
        found = verdict(host, lesson.back_room, script)
    finally:
        host.read("iptables -D DOCKER-USER -j DROP 2> /dev/null || true")
    assert (found.kind, says in found.message) == (kind, True), found


@pytest.mark.parametrize(
    ("script", "kind", "says"),
    [
        ("", "still missing", "there is no network named office"),
        ("docker run -d --name printer nginx", "keep working", "printer runs on bridge, but"),
        ("docker network create office", "keep working", "the plan says 10.20.30.0/24"),
        (
            "docker network create --subnet 10.20.30.0/24 office",
            "keep working",
            "has 10.20.30.1; the plan says 10.20.30.254",
        ),
        (
            "docker network create -d macvlan -o parent=eth0 --subnet 10.20.30.0/24 office",
            "keep working",
            "office has the driver macvlan",
        ),
        (OFFICE, "keep working", "office is as planned; there is no container named printer"),
        (
            f"{OFFICE} docker run -d --name printer nginx",
            "keep working",
            "printer runs, but on bridge",
        ),
        (
            f"{OFFICE} docker run -d --name printer --network office nginx",
            "keep working",
            "printer has the address 10.20.30.1 on office; the plan says 10.20.30.9",
        ),
        (
            f"{OFFICE} docker network create annex;"
            "docker run -d --name printer --network office --ip 10.20.30.9 nginx;"
            "docker network connect annex printer",
            "keep working",
            "and not via 10.20.30.254; it is on annex and office",
        ),
        (lesson.plan.script, "correct", "printer answers at 10.20.30.9"),
    ],
)
def test_address_plan(host, script, kind, says):
    found = verdict(host, lesson.plan, script)
    assert (found.kind, says in found.message) == (kind, True), found
