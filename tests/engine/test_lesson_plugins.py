"""Notebook 12's exercises on a live lab: the solutions pass, a wrong state is named."""

import pytest

from labkit import Lab
from labkit.lessons import plugins as lesson
from tests.engine.lesson_cells import run

NOTEBOOK = "12-network-plugins"
SOLUTION = lesson.endpoint.script.partition("docker rm")[0]
START = "docker run -d --name first --network wired nginx || true"


def changed(old: str, new: str = "") -> str:
    """The solution's endpoint.py with one thing in it that is wrong, and the container."""
    assert old in SOLUTION
    return SOLUTION.replace(old, new) + START


ENDPOINT = {
    "nothing": ("", "still missing", "endpoint.py defines no CreateEndpoint and no Join yet"),
    "one of two": (
        SOLUTION.replace("def Join", "def join"),
        "keep working",
        "endpoint.py defines no Join yet",
    ),
    "not Python": (
        SOLUTION.replace("return {}", "return {"),
        "keep working",
        "endpoint.py: SyntaxError",
    ),
    "no container": (
        SOLUTION,
        "keep working",
        "there is no container named first on host1; `docker run",
    ),
    "another network": (
        f"{SOLUTION}docker run -d --name first nginx",
        "keep working",
        "first runs, but not in the network wired",
    ),
    "an exception": (
        changed('run(f"ip link add', 'run(f"ip lank add'),
        "keep working",
        "first exists and is not running (its status is created); Docker said: ",
    ),
    "no such interface": (
        changed('"SrcName": theirs', '"SrcName": "nobody"'),
        "keep working",
        "first exists and is not running (its status is created); Docker said: ",
    ),
    "no interface named": (
        changed('"InterfaceName": {"SrcName": theirs, "DstPrefix": "eth"},'),
        "keep working",
        "first exists and is not running (its status is created); Docker said: ",
    ),
    "an empty answer": (
        f"{SOLUTION.partition('    return {' + chr(10))[0]}    return {{}}\nEND\n{START}",
        "keep working",
        "first has no interface of yours, only Docker's own way out",
    ),
    "not a cable": (
        changed(
            "{ours} type veth peer name {theirs}",
            "link {bridge(request)} {theirs} type macvlan mode bridge",
        ).replace('run(f"ip link set', 'print("ip link set'),
        "keep working",
        "first has an eth0, which is a macvlan with no other end on host1",
    ),
    "not plugged in": (
        changed("master {bridge(request)} up", "up"),
        "keep working",
        "is plugged in nowhere: CreateEndpoint must make it a port",
    ),
    "down": (changed(" up"), "keep working", "is plugged in, but its end veth"),
    "no gateway": (
        changed('"Gateway": gateway(request),'),
        "keep working",
        "its default route leads to 172.18.0.1 by eth1",
    ),
    "right": (lesson.endpoint.script, "correct", "Docker gave it 10.20.0."),
}

ADDRESS_SOLUTION = lesson.address.script.partition("docker rm")[0]
NETWORK = "docker network create --ipam-driver count counted || true\n"
RED, BLUE = (f"docker run -d --name {n} --network counted nginx || true\n" for n in ("red", "blue"))


def given(old: str, new: str, *steps: str) -> str:
    """The solution's address.py with one thing in it that is wrong, and what is done with it."""
    assert old in ADDRESS_SOLUTION
    return ADDRESS_SOLUTION.replace(old, new) + "".join(steps)


ADDRESS = {
    "nothing": ("", "still missing", "address.py defines no RequestAddress yet"),
    "no network": (ADDRESS_SOLUTION, "keep working", "there is no network counted yet"),
    "no prefix": (
        given("{address}/24", "{address}", NETWORK),
        "keep working",
        'your last answer to RequestAddress was {"Address": "10.77.0.1"}',
    ),
    "an exception": (
        given(" or {}", "", NETWORK, RED),
        "keep working",
        "red exists and is not running (its status is created); Docker said: ",
    ),
    "Docker's own addresses": (
        ADDRESS_SOLUTION + "docker network create counted",
        "keep working",
        "the addresses of counted come from the IPAM driver default",
    ),
    "a gateway like any other": (
        given("com.docker.network.gateway", "gateway", NETWORK),
        "keep working",
        "counted has the gateway 10.77.0.100; it should be 10.77.0.1",
    ),
    "no red": (ADDRESS_SOLUTION + NETWORK, "keep working", "there is no container named red"),
    "no blue": (
        ADDRESS_SOLUTION + NETWORK + RED,
        "keep working",
        "there is no container named blue",
    ),
    "twice the same": (
        given("    take(address)\n", "", NETWORK, RED, BLUE),
        "keep working",
        "red and blue both have 10.77.0.100",
    ),
    "from 2 on": (
        given("range(100, 255)", "range(2, 255)", NETWORK, RED, BLUE),
        "keep working",
        "red has 10.77.0.2, blue has 10.77.0.3; asked for are 10.77.0.100 and",
    ),
    "blue first": (
        ADDRESS_SOLUTION + NETWORK + BLUE + RED,
        "keep working",
        "red has 10.77.0.101, blue has 10.77.0.100",
    ),
    "only ever upwards": (
        given(
            "next(a for a in usable if a not in taken())",
            'f"10.77.0.{99 + len(taken())}"',
            NETWORK,
            RED,
            BLUE,
        ),
        "keep working",
        "10.77.0.100 free your function answers 10.77.0.101/24; the lowest free one is asked for",
    ),
    "right": (lesson.address.script, "correct", "red 10.77.0.100, blue 10.77.0.101"),
}
UNDO = """
docker ps -aq | xargs -r docker rm -f
if docker network inspect counted > /dev/null 2>&1; then docker network rm counted; fi
rm -f /root/plugin/endpoint.py /root/plugin/address.py"""


@pytest.fixture(scope="module")
def lab():
    with Lab(hosts=1) as running:
        run(running, NOTEBOOK, "serve", "wire", "wire-start", "create-run", "count")
        yield running


@pytest.fixture
def clean(lab):
    yield lab
    lab.host1.read(UNDO)


@pytest.mark.parametrize("name", ENDPOINT)
def test_the_check_of_the_driver_answers_with_what_is_there(clean, name):
    script, kind, says = ENDPOINT[name]
    clean.host1.read(script)
    verdict = lesson.endpoint.check()
    assert (verdict.kind, says in verdict.message) == (kind, True), verdict


@pytest.mark.parametrize("name", ADDRESS)
def test_the_check_of_the_addresses_answers_with_what_is_there(clean, name):
    script, kind, says = ADDRESS[name]
    clean.host1.read(f"rm -f /run/count.json\n: > /run/count.log\n{script}")
    verdict = lesson.address.check()
    assert (verdict.kind, says in verdict.message) == (kind, True), verdict


def test_a_plugin_that_does_not_run_is_one_sentence(lab):
    lab.host1.read("pkill -f '[s]erve.py count'; rm /run/docker/plugins/count.sock")
    try:
        verdict = lesson.address.check()
    finally:
        run(lab, NOTEBOOK, "count")
    assert verdict.kind == "keep working"
    assert "run the cell that starts serve.py" in verdict.message
