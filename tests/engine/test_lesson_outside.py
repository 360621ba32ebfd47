"""Notebook 04's exercises on a live lab: right, untouched, and wrong in each way that is told."""

import pytest

from labkit.lessons import outside

CLEAN = "docker ps -aq | xargs -r docker rm -f; docker network prune -f; conntrack -F"
PLAIN = "--subnet 172.30.0.0/24 -o com.docker.network.bridge.enable_ip_masquerade=false plain"
BOX = "docker run -d --name box toolbox sleep infinity"
BARE = f"""
docker network create {PLAIN}
docker run -d --name bare --network plain toolbox sleep infinity
"""
RULE = "iptables -t nat -A POSTROUTING"
GIVEN = {
    "by_hand": f"{BARE}\nsleep 0.2",
    "repair": f"{BOX}\nsleep 0.2\n{outside.faults}",
}
SOLUTION = {name: getattr(outside, name).script for name in GIVEN}

STATES = [
    ("by_hand", "", "still missing", "no rule in nat POSTROUTING is for its subnet"),
    ("by_hand", "docker rm -f bare", "still missing", "run the cell above that makes plain"),
    ("by_hand", "docker kill bare", "keep working", "(its status is exited); `docker start bare`"),
    (
        "by_hand",
        f"{RULE} -s 172.31.0.0/24 -o eth0 -j MASQUERADE",
        "keep working",
        "`-s 172.31.0.0/24 -o eth0 -j MASQUERADE` in POSTROUTING is not for the source 172.30.0.2",
    ),
    (
        "by_hand",
        f"{RULE} -s 172.30.0.0/24 -o docker0 -j MASQUERADE",
        "keep working",
        "is not for packets that leave by eth0",
    ),
    (
        "by_hand",
        f"{RULE} -s 172.30.0.0/24 -o eth0 -j SNAT --to-source 192.168.56.77",
        "keep working",
        "is the address that it writes host1's, 192.168.56.11?",
    ),
    ("by_hand", f"{RULE} -j MASQUERADE", "keep working", "names neither a source nor a way out"),
    ("by_hand", "docker network connect bridge bare", "keep working", "bridge too, and may go out"),
    (
        "by_hand",
        "docker rm -f bare; docker network rm plain; docker network create plain; "
        "docker run -d --name bare --network plain toolbox sleep infinity",
        "keep working",
        "plain was made again without enable_ip_masquerade=false",
    ),
    (
        "by_hand",
        "docker rm -f bare; docker run -d --name bare toolbox sleep infinity",
        "keep working",
        "bare is on bridge, not on plain",
    ),
    ("by_hand", "sysctl -w net.ipv4.ip_forward=0", "keep working", "ip_forward is 0"),
    ("by_hand", SOLUTION["by_hand"], "correct", "counted 1 packet"),
    (
        "by_hand",
        f"{RULE} -s 172.30.0.2 -j SNAT --to-source 192.168.56.11",
        "correct",
        "outside sees 192.168.56.11 when bare asks",
    ),
    ("repair", "", "still missing", "nothing that was broken is mended yet"),
    ("repair", "docker rm -f box", "still missing", "the cell at the top that starts it"),
    (
        "repair",
        "sysctl -w net.ipv4.ip_forward=1",
        "keep working",
        "host1 forwards again, and box still gets no answer",
    ),
    (
        "repair",
        f"{RULE} {outside.DOCKERS}",
        "keep working",
        "they do not get as far as POSTROUTING",
    ),
    (
        "repair",
        f"sysctl -w net.ipv4.ip_forward=1; {RULE} -j MASQUERADE",
        "keep working",
        "names neither a source nor a way out",
    ),
    (
        "repair",
        "nsenter -t $(docker inspect -f '{{.State.Pid}}' box) -n ip route del default",
        "keep working",
        "box has no default route now",
    ),
    (
        "repair",
        f"{SOLUTION['repair']}\niptables -I DOCKER-USER -i docker0 -j DROP",
        "keep working",
        "the FORWARD chain of the table filter has the last word",
    ),
    ("repair", f"{BARE}\ndocker network connect plain box", "keep working", "is on the network"),
    ("repair", SOLUTION["repair"], "correct", "box gets out again"),
    ("repair", "service docker restart; docker start box", "correct", "box gets out again"),
]


@pytest.fixture
def rules_as_they_were(host):
    """Afterwards the rules, and the forwarding, are those of before."""
    host.read("iptables-save > /tmp/rules")
    yield
    host.read(f"{CLEAN}; iptables-restore /tmp/rules; sysctl -w net.ipv4.ip_forward=1")


@pytest.mark.usefixtures("rules_as_they_were")
@pytest.mark.parametrize(("name", "script", "kind", "says"), STATES)
def test_the_check_says_what_is_there(host, name, script, kind, says):
    host.read(f"{GIVEN[name]}\n{script}")
    exercise = getattr(outside, name)
    verdict = exercise.judge(exercise.read())
    assert (verdict.kind, says in verdict.message) == (kind, True), verdict


@pytest.mark.usefixtures("rules_as_they_were")
def test_a_route_on_the_router_is_not_the_answer(lab, host):
    """Then outside answers, and what it sees is the container's own address."""
    host.read(GIVEN["by_hand"])
    lab.router.read("ip route add 172.30.0.0/24 via 192.168.56.11")
    try:
        verdict = outside.check_by_hand(outside.by_hand.read())
    finally:
        lab.router.read("ip route del 172.30.0.0/24")
    assert verdict.kind == "keep working"
    assert "it sees 172.30.0.2" in verdict.message
