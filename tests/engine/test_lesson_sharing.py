"""Notebook 08's checks on a live lab: the solutions pass, and each mistake is named."""

from __future__ import annotations

import pytest

from labkit.lessons import sharing as lesson

SLEEP = "sleep infinity"
JOINED = f"""
docker run -d --name web nginx
docker run -d --name side --network container:web toolbox {SLEEP}
"""
LEFT = JOINED + "docker restart web\n"
POD, SHOP, HELPER = lesson.pod.script.splitlines()


@pytest.fixture(autouse=True)
def _restart():
    yield
    lesson.progress.restart()


@pytest.mark.parametrize(
    ("steps", "kind", "says"),
    [
        ("docker run -d --name web nginx", "still missing", "there is no container named side"),
        (LEFT, "still missing", "still in the namespace that web has left; it holds lo"),
        (LEFT + "docker stop -t 0 side", "keep working", "side exists and is not running"),
        (
            LEFT + f"docker rm -f side; docker run -d --name side toolbox {SLEEP}",
            "keep working",
            "side is on the network bridge",
        ),
        (
            LEFT + "docker run -d --name other nginx; docker rm -f side; "
            f"docker run -d --name side --network container:other toolbox {SLEEP}",
            "keep working",
            "side joined other, and holds lo and eth0",
        ),
        (
            LEFT + "docker rm -f web; docker run -d --name web nginx",
            "keep working",
            "side joined a container that is not running any more",
        ),
    ],
)
def test_where_side_is_is_named(host, steps, kind, says):
    host.read(steps)
    verdict = lesson.mend.check()
    assert (verdict.kind, says in verdict.message) == (kind, True), verdict


def test_side_is_brought_back(host):
    host.read(LEFT)
    assert lesson.mend.solve().kind == "correct"


@pytest.mark.parametrize(
    ("steps", "kind", "says"),
    [
        ("true", "still missing", "none of pod, shop, helper"),
        (f"{POD}; {HELPER}", "keep working", "there is no container named shop"),
        (f"{POD}; {SHOP}; {HELPER}; docker stop shop", "keep working", "shop exists and is not"),
        (
            f"{SHOP.replace('--network container:pod', '-p 9000:80')};"
            f"{POD.replace('-p 9000:80', '--network container:shop')};"
            f"{HELPER.replace(':pod', ':shop')}",
            "keep working",
            "pod joined shop: so pod's network goes when that one ends",
        ),
        (
            f"{POD}; {SHOP.replace('--network container:pod', '')}; {HELPER}",
            "keep working",
            "shop is on the network bridge; it is to join pod",
        ),
        (
            f"{POD}; {SHOP}; {HELPER.replace(':pod', ':shop')}",
            "keep working",
            "helper joined shop; it is to join pod",
        ),
        (
            f"{POD}; {SHOP}; {HELPER}; docker restart -t 0 pod",
            "keep working",
            "shop joined pod, and pod was started again since",
        ),
        (
            f"{POD.replace('busybox sleep infinity', 'nginx')}; {SHOP}; docker wait shop; {HELPER};"
            "docker rm shop; docker run -d --name shop --network container:pod nginx sleep 1d",
            "keep working",
            "pod runs nginx itself",
        ),
        (
            f"{POD.replace('-p 9000:80 ', '')}; {SHOP}; {HELPER}",
            "keep working",
            "no port leads to it",
        ),
        (
            f"{POD.replace('9000', '8000')}; {SHOP}; {HELPER}",
            "keep working",
            "publishes 8000 to 80",
        ),
        (
            f"{POD.replace(':80', ':8080')}; {SHOP}; {HELPER}",
            "keep working",
            "pod publishes 9000 to 8080, and outside gets no answer",
        ),
    ],
)
def test_what_a_pod_lacks_is_named(host, steps, kind, says):
    host.read(steps)
    verdict = lesson.pod.check()
    assert (verdict.kind, says in verdict.message) == (kind, True), verdict


def test_a_pod_stands_restarts_of_its_members(host):
    assert lesson.pod.solve().kind == "correct"
    host.read("docker restart -t 0 shop helper; sleep 0.3")
    assert lesson.pod.check().kind == "correct"
