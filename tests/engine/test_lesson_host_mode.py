"""Notebook 06's exercises on a live lab: right, untouched, and wrong in each way that is told."""

import pytest

from labkit.lessons import host_mode

WAIT = "curl -s --retry 20 --retry-all-errors --retry-delay 1 -o /dev/null 127.0.0.1"
WEB = f"docker run -d --name web --network host nginx && {WAIT}"
SECOND, FIREWALL = host_mode.second.script, host_mode.firewall.script
LOOPBACK_ONLY = SECOND.replace("listen 8080 ", "listen 127.0.0.1:8080 ")
OTHER_PORT = SECOND.replace("8080", "8081")

STATES = [
    ("second", "", "still missing", "there is no container named second"),
    ("second", "docker rm -f web", "still missing", "there is no container named web"),
    (
        "second",
        "docker run -d --name second --network host nginx; docker wait second",
        "keep working",
        "second exists and is not running (its status is exited)",
    ),
    (
        "second",
        f"docker run -d --name second -p 8080:80 nginx && {WAIT}:8080",
        "keep working",
        "on the network bridge, and port 8080 belongs to docker-proxy",
    ),
    (
        "second",
        "docker run -d --name second --network host -p 8080:80 toolbox sleep infinity",
        "keep working",
        "nobody listens on port 8080",
    ),
    ("second", OTHER_PORT, "keep working", "nobody listens on port 8080"),
    ("second", LOOPBACK_ONLY, "keep working", "only host1 itself can get there"),
    ("second", f"{SECOND}; docker kill web", "keep working", "web exists and is not running"),
    (
        "second",
        f"{SECOND}\niptables -I INPUT -p tcp --dport 8080 -j DROP",
        "keep working",
        "outside gets no page at host1:8080",
    ),
    ("second", SECOND, "correct", "listens on 80 for web and on 8080 for second"),
    ("firewall", "", "still missing", "outside still gets web's page"),
    (
        "firewall",
        "iptables -I DOCKER-USER -p tcp --dport 80 -j DROP",
        "keep working",
        "in DOCKER-USER is for packets that host1 passes on",
    ),
    (
        "firewall",
        "iptables -I INPUT -p tcp --dport 8080 -j DROP",
        "keep working",
        "in INPUT has counted 0 packets",
    ),
    (
        "firewall",
        "iptables -I INPUT -p tcp --dport 80 -j DROP",
        "keep working",
        "name the interface that outside comes in by",
    ),
    (
        "firewall",
        "iptables -I INPUT -i eth0 -j DROP",
        "keep working",
        "name the protocol and the port",
    ),
    ("firewall", "docker kill web", "keep working", "web exists and is not running"),
    (
        "firewall",
        "iptables -t raw -I PREROUTING -i eth0 -p tcp --dport 80 -j DROP",
        "keep working",
        "no rule in INPUT is the reason",
    ),
    ("firewall", FIREWALL, "correct", "host1 itself still gets web's page"),
    (
        "firewall",
        "iptables -A INPUT -s 203.0.113.0/24 -p tcp --dport 80 -j REJECT",
        "correct",
        "host1 itself still gets web's page",
    ),
]


@pytest.fixture
def rules_as_they_were(host):
    """Afterwards the rules are those of before."""
    host.read("iptables-save > /tmp/rules")
    yield
    host.read("iptables -t raw -F; docker ps -aq | xargs -r docker rm -f")
    host.read("iptables-restore /tmp/rules")


@pytest.mark.usefixtures("rules_as_they_were")
@pytest.mark.parametrize(("name", "script", "kind", "says"), STATES)
def test_the_check_says_what_is_there(host, name, script, kind, says):
    host.read(f"{WEB}\n{script}")
    exercise = getattr(host_mode, name)
    verdict = exercise.judge(exercise.read())
    assert (verdict.kind, says in verdict.message) == (kind, True), verdict
