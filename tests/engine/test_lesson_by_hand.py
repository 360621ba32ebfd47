"""Notebook 07's checks on a live lab: the solution passes, and each mistake is named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labkit.host import Host
from labkit.lessons import by_hand as lesson

ALONE = "docker run -d --name alone --network none nginx\n"
UNDO = """
docker ps -aq | xargs -r docker rm -f
for link in $(ip -o link | grep -o ' \\(hand\\|cable\\|inner\\)[a-z0-9]*' | sort -u); do
    ip link show $link > /dev/null 2>&1 && ip link del $link
done
iptables-save | grep -v -e hand -e 10.77.0 -e 10.78.0 | iptables-restore
sysctl -qw net.ipv4.ip_forward=1
conntrack -F
"""


@pytest.fixture
def empty(host: Host) -> Iterator[Host]:
    """host1 with nothing that was built by hand, before and after."""
    yield host
    host.read(UNDO)
    lesson.progress.restart()


def edited(script: str, *edits: tuple[str, str]) -> str:
    """The solution with a mistake in it: the first of each pair becomes the second."""
    for old, new in edits:
        assert old in script
        script = script.replace(old, new)
    return script


def cut(script: str, text: str) -> str:
    """The solution up to the line with that text."""
    lines = script.splitlines()
    return "\n".join(lines[: next(n for n, line in enumerate(lines) if text in line)])


BUILD, AGAIN = lesson.build.script, lesson.again.script
REQUESTS = "iptables -A FORWARD -i hand0 ! -o hand0 -j ACCEPT\n"
SOURCE = "iptables -t nat -A POSTROUTING -s 10.77.0.0/24 ! -o hand0 -j MASQUERADE\n"
ANSWERS = "iptables -A FORWARD -o hand0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
PEER = "nsenter -t $pid -n "

WRONG = {
    "no container": ("true", "there is no container named alone"),
    "stopped": (f"{ALONE} docker stop alone", "not running (its status is exited)"),
    "on bridge": ("docker run -d --name alone nginx", "alone is on the network bridge"),
    "nothing": (ALONE, "a cable: alone holds only lo"),
    "both ends here": (ALONE + cut(BUILD, "netns $pid"), "both ends are on host1"),
    "no pair": (
        ALONE + "ip link add inner link eth0 type macvlan; ip link set inner netns "
        "$(docker inspect -f '{{.State.Pid}}' alone)",
        "inner in alone is no end of a veth pair",
    ),
    "unplugged": (ALONE + cut(BUILD, "master hand0"), "cable0 is plugged into nothing"),
    "Docker's bridge": (
        ALONE + edited(cut(BUILD, "ip link set hand0 up"), ("master hand0", "master docker0")),
        "a port of docker0, and that is Docker's network bridge",
    ),
    "down": (ALONE + cut(BUILD, "ip link set cable0 up"), "cable0 on host1, eth0 in alone: down"),
    "no address": (ALONE + cut(BUILD, "ip address add"), "eth0 in alone has no IPv4 address"),
    "no gateway": (
        ALONE + edited(BUILD, ("ip address add 10.77.0.1/24 dev hand0", "true")) + "; true",
        "hand0 has no IPv4 address",
    ),
    "no length": (
        ALONE + edited(cut(BUILD, "default via"), ("10.77.0.2/24", "10.77.0.2")),
        "eth0 has 10.77.0.2/32, a subnet of one address",
    ),
    "two subnets": (
        ALONE + edited(cut(BUILD, "default via"), ("10.77.0.2/24", "10.78.0.2/24")),
        "they are in different subnets",
    ),
    "one address": (
        ALONE + edited(cut(BUILD, "default via"), ("10.77.0.2/24", "10.77.0.1/24")),
        "eth0 and hand0 both have 10.77.0.1",
    ),
    "the LAN's subnet": (
        ALONE + edited(cut(BUILD, "default via"), ("10.77.0.", "192.168.56.15")),
        "192.168.56.0/24 is behind eth0 already",
    ),
    "no route": (ALONE + cut(BUILD, "default via"), "alone has no default route"),
    "another gateway": (
        ALONE + edited(BUILD, ("default via 10.77.0.1", "default via 10.77.0.9")),
        "default route names 10.77.0.9",
    ),
    "no rule": (ALONE + cut(BUILD, "iptables"), "no rule in FORWARD accepts it"),
    "requests stop": (ALONE + edited(BUILD, (REQUESTS, "")), "no rule in FORWARD accepts it"),
    "no forwarding": (ALONE + BUILD + "; sysctl -qw net.ipv4.ip_forward=0", "ip_forward is 0"),
    "no source": (ALONE + edited(BUILD, (SOURCE, "")), "outside sees 10.77.0.2"),
    "another's source": (
        ALONE + edited(BUILD, ("-s 10.77.0.0/24", "-s 10.78.0.0/24")),
        "your rule `-s 10.78.0.0/24 ! -o hand0 -j MASQUERADE` does not match",
    ),
    "made-up source": (
        ALONE + edited(BUILD, ("-j MASQUERADE", "-j SNAT --to-source 192.168.56.77")),
        "the source is rewritten to 192.168.56.77",
    ),
    "answers stop": (ALONE + edited(BUILD, (ANSWERS, "")), "the answer comes back to host1 and"),
    "only ping": (
        ALONE + edited(BUILD, ("-j ACCEPT", "-p icmp -j ACCEPT")),
        "do your rules name a protocol?",
    ),
    "restarted": (ALONE + BUILD + "; docker restart alone", "a cable: alone holds only lo"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_named(empty, name):
    steps, says = WRONG[name]
    empty.read(steps)
    verdict = lesson.build.check()
    assert says in verdict.message
    nothing = name in ("no container", "nothing", "both ends here", "no pair", "restarted")
    assert verdict.kind == ("still missing" if nothing else "keep working")


def test_the_answers_are_distinct():
    answers = [
        says for name, (_, says) in WRONG.items() if name not in ("requests stop", "nothing")
    ]
    assert len(set(answers)) == len(answers)


def test_each_step_of_the_solution_is_one_more_line_that_is_done(empty):
    empty.read(ALONE)
    done = []
    for part in BUILD.split("\n\n"):
        empty.read("pid=$(docker inspect -f '{{.State.Pid}}' alone)\n" + part)
        done.append(lesson.build.check().message.count("✓"))
    assert done[:-1] == sorted(set(done[:-1])) == [0, 1, 2, 3, 5]
    assert done[-1] == 8


def test_the_steps_in_another_order_are_right_too(empty):
    rules = "\n".join((REQUESTS, ANSWERS, SOURCE))
    empty.read(ALONE + rules + edited(BUILD, (REQUESTS, ""), (SOURCE, ""), (ANSWERS, "")))
    assert lesson.build.check().kind == "correct"


@pytest.mark.parametrize(
    ("steps", "kind", "says"),
    [
        ("true", "still missing", "there is no container named second"),
        (
            edited(AGAIN, ("ip link add hand1 type bridge", "true"), ("hand1", "hand0")),
            "keep working",
            "cable1, second's cable, is a port of hand0, as alone's is",
        ),
        (
            edited(AGAIN, ("10.78.0", "10.77.0")),
            "keep working",
            "10.77.0.0/24 is behind hand0 already",
        ),
    ],
)
def test_the_second_time_wants_its_own_bridge_and_subnet(empty, steps, kind, says):
    empty.read(ALONE + BUILD)
    empty.read(f"{steps}\ntrue")
    verdict = lesson.again.check()
    assert (verdict.kind, says in verdict.message) == (kind, True), verdict


def test_both_solutions_pass_together_and_outside_sees_host1(empty):
    empty.read(ALONE)
    assert lesson.build.solve().kind == "correct"
    assert lesson.again.solve().kind == "correct"
    assert lesson.build.check().kind == "correct"
    for name in ("alone", "second"):
        assert empty.read(f"docker exec {name} curl -s outside") == "hello, 192.168.56.11\n"
    empty.read("docker exec second ping -c 1 -W 1 10.77.0.2")  # what the notebook asks at its end
