"""Journeys of a real lab: they agree with the kernel's own books, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from labkit import Lab, LabError
from labkit.agent import netfilter as agent
from labkit.errors import LabStopped, UsageError
from labkit.host import Host, Node
from labkit.model import netfilter
from labkit.model.journey import Journey
from labkit.tracing import journey
from tests import agreement
from tests.unit.journeys import record

# What of a namespace a trace could leave behind: rules, promiscuity, sockets that listen.
STATE = r"""
look() {
    nft --stateless list ruleset; iptables-save | grep -v '^[#:]'
    ip -d -o link | grep -o '^[0-9]*: [^:]*\|promiscuity [0-9]*'
    awk '{print "packet", $3, $4, $5}' /proc/net/packet
    awk '$2 == 12 {print "netfilter", $4}' /proc/net/netlink
}
export -f look
look
places=$(ls -d /run/docker/netns/* 2> /dev/null)
containers=$(docker ps -q 2> /dev/null | xargs -r docker inspect -f '/proc/{{.State.Pid}}/ns/net')
for place in $places $containers; do
    echo $place
    nsenter --net=$place bash -c look
done
# Once each: dnsmasq has a child for every question that came by TCP, for a while.
ps -eo comm= | sort -u | grep -v '^\(kworker\|ps\|sort\|grep\|bash\|sh\)'
"""


def state(lab: Lab) -> dict[str, str]:
    """What stands in every namespace of the lab that a trace could have changed."""
    names = ["router", "outside", *(n.name for n in (*lab.hosts, *lab.stations))]
    return {name: lab.node(name).read(STATE) for name in names}


@pytest.fixture(scope="module", params=record.SCENES, ids=lambda scene: scene.__name__)
def told(request: pytest.FixtureRequest) -> Iterator[tuple[str, Journey, dict, dict]]:
    """A scene's name, its journey, and the state of its lab before and after."""
    scene = request.param
    with Lab(hosts=1 + (scene is record.overlay), stations=1) as lab:
        where, command = scene(lab)
        before = state(lab)
        found = journey(where, command)
        yield scene.__name__, found, before, state(lab)


def test_it_agrees_with_connection_tracking(told):
    name, found, *_ = told
    assert agreement.with_tracking(found) == []
    there = {(t.node, t.namespace) for t in found.tracked}
    assert (("host1", "host1") in there) == (name not in ("drop", "macvlan"))
    dnat, snat = (any(getattr(t.entry, nat) for t in found.tracked) for nat in ("dnat", "snat"))
    assert (dnat, snat) == (name in ("published", "names"), name in ("nat", "names"))


def test_it_agrees_with_the_counters(told):
    name, found, *_ = told
    # In an overlay's hosts the engines' own talk counts too.
    noisy = ("host1", "host2") if name == "overlay" else ()
    assert agreement.with_counters(found, noisy) == []
    assert bool(found.counted) == (name not in ("host", "loopback", "macvlan"))


def test_each_end_of_a_cable_saw_what_the_other_saw(told):
    assert agreement.with_cables(told[1]) == []
    assert agreement.cables_used(told[1]) >= (0 if told[0] in ("drop",) else 1)


def test_nothing_is_left_behind(told):
    _, found, before, after = told
    assert found.steps
    assert after == before


def test_it_ends_where_a_rule_drops_it(told):
    name, found, *_ = told
    last = found.of(1)[-1]
    if name == "drop":
        assert (last.chain, last.verdict, last.kind) == ("DOCKER-USER", "DROP", "rule")
        assert found.status == 28  # curl: timed out
    else:
        assert (last.kind, last.outgoing) == ("capture", False)
        assert found.status == 0


def when_running(host: Host, name: str, then: Callable[[], object]) -> threading.Thread:
    """Do something as soon as there is a process of that name on a host."""

    def wait() -> None:
        while not host.read(f"pgrep -f '{name[:-1]}[{name[-1]}]' || true"):
            time.sleep(0.01)
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_nothing_is_left_of_a_command_that_fails(lab, host):
    before = state(lab)
    assert journey(host, "curl -s outside; exit 3").status == 3
    assert state(lab) == before


@pytest.mark.parametrize("inside", [False, True], ids=["host", "container"])
def test_nothing_is_left_of_a_command_that_takes_too_long(lab, host, inside):
    where = host.run("toolbox", command="sleep 1d") if inside else host
    before = state(lab)
    found = journey(where, "curl -s 203.0.113.10; sleep 99", timeout=0.5)
    assert found.status == 124  # timeout(1)
    assert found.steps
    assert state(lab) == before


def test_nothing_is_left_of_a_command_that_is_killed(lab, host):
    before = state(lab)
    thread = when_running(host, "kill-me", lambda: host.read("pkill -9 -f 'kill-m[e]'"))
    found = journey(host, "curl -s 203.0.113.10; exec -a kill-me sleep 99")
    thread.join()
    assert found.status == 137
    assert state(lab) == before


def test_nothing_is_left_of_a_command_that_is_interrupted(lab, host):
    before = state(lab)
    interrupt = (os.getpid(), signal.SIGINT)
    thread = when_running(host, "interrupt-me", lambda: os.kill(*interrupt))
    with pytest.raises(KeyboardInterrupt):
        journey(host, "curl -s 203.0.113.10; exec -a interrupt-me sleep 99")
    thread.join()
    end = time.monotonic() + 20
    while state(lab) != before and time.monotonic() < end:
        time.sleep(0.05)
    assert state(lab) == before


def test_another_journey_waits_for_the_first(lab, host):
    found: list[Journey] = []
    outside = "curl -s 203.0.113.10"
    threads = [threading.Thread(target=lambda: found.append(journey(host, outside)))
               for _ in range(2)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[p.summary for p in j.packets].count("TCP SYN") for j in found] == [1, 1]


def test_a_second_journey_counts_its_own_packets_only(lab, host):
    client = host.run("toolbox", name="client", command="sleep 1d")
    for _ in range(2):
        found = journey(client, "curl -s outside")
        assert agreement.with_counters(found) == []
        assert found.counted


def test_a_snapshot_does_not_show_the_tracing(lab, host):
    before = host.snapshot()
    during = []
    thread = when_running(host, "end-me", lambda: (during.append(host.snapshot()),
                                                   host.read("pkill -f 'end-m[e]'")))  # fmt: skip
    journey(host, "curl -s 203.0.113.10; exec -a end-me sleep 99")
    thread.join()
    assert during[0].root.nftables == before.root.nftables
    assert (*netfilter.TRACING,) == ("inet", agent.TABLE)


def test_a_packet_in_fragments_is_one_packet(lab, host):
    client = host.run("toolbox", name="client", command="sleep 1d")
    found = journey(client, "ping -c 1 -s 3000 203.0.113.10")
    assert [p.summary for p in found.packets] == [
        "ICMP echo request, sequence 1", "ICMP echo reply, sequence 1"
    ]  # fmt: skip
    assert "MASQUERADE" in {s.verdict for s in found.of(1)}


def test_a_container_that_comes_and_goes_is_seen_from_its_host(lab, host):
    found = journey(host, "docker run --rm toolbox curl -s 203.0.113.10")
    steps = found.of(1)
    whats = [s.what for s in steps]
    assert whats[0].startswith("in by veth")
    assert whats[1:3] == ["nat PREROUTING policy → ACCEPT", "in by docker0"]
    assert "MASQUERADE" in {s.verdict for s in steps}
    assert agreement.with_tracking(found) == agreement.with_counters(found) == []


def test_what_was_before_is_no_part_of_it(lab, host):
    # A conversation that goes on all the time, and one that begins with each question.
    host.run("toolbox", name="old", command="ping -q -i 0.01 192.168.56.1")
    host.read("until conntrack -L -p icmp 2>&1 | grep -q 'dst=192.168.56.1 '; do sleep 0.05; done")
    found = journey(host, "ping -c 1 -q 203.0.113.10")
    assert [p.summary for p in found.packets] == [
        "ICMP echo request, sequence 1", "ICMP echo reply, sequence 1"
    ]  # fmt: skip


def test_a_long_download_is_cut(lab, host):
    lab.outside.read("head -c 20000000 /dev/zero > /tmp/long; cd /tmp; "
                     "busybox httpd -p 8000 -h /tmp")  # fmt: skip
    try:
        found = journey(host, "curl -s -o /dev/null 203.0.113.10:8000/long")
    finally:
        lab.outside.read("pkill -f 'busybox http[d]'; rm /tmp/long")
    assert (found.status, len(found.packets)) == (0, 200)
    assert found.remarks == ("it was long: only the first packets are told",)


def test_a_closed_port_answers(lab, host):
    found = journey(host, "curl -s 203.0.113.10:81")
    assert [p.summary for p in found.packets] == ["TCP SYN", "TCP RST, ACK"]
    udp = journey(host, "dig +tries=1 +time=1 @203.0.113.10 web")
    assert [(p.direction, p.summary) for p in udp.packets] == [
        ("request", "DNS A? web"), ("reply", "ICMP port unreachable")
    ]  # fmt: skip


def test_a_packet_that_never_left_is_told_too(lab, host):
    rule = "OUTPUT -d 203.0.113.10 -j DROP"
    host.read(f"iptables -A {rule}")
    try:
        found = journey(host, "curl -s -m 0.2 203.0.113.10")
    finally:
        host.read(f"iptables -D {rule}")
    assert {s.kind for s in found.steps} == {"rule", "policy"}
    assert (found.of(1)[-1].chain, found.of(1)[-1].verdict) == ("OUTPUT", "DROP")
    assert agreement.with_counters(found) == []


def test_rules_beside_those_of_iptables_are_told_with_their_text(lab, host):
    host.read("""nft -f - << END
table inet mine {
    chain out {
        type filter hook output priority 0
        ip daddr 203.0.113.10 counter reject with icmp host-unreachable
    }
}
END""")
    try:
        found = journey(host, "curl -s 203.0.113.10")
    finally:
        host.read("nft delete table inet mine")
    assert [(p.direction, p.summary) for p in found.packets] == [
        ("request", "TCP SYN"), ("reply", "ICMP host unreachable")
    ]  # fmt: skip
    last = found.of(1)[-1]
    assert (last.table, last.chain, last.hook, last.rule) == ("inet mine", "out", "OUTPUT", 1)
    assert last.spec == "ip daddr 203.0.113.10 counter reject with icmp host-unreachable"
    assert agreement.with_counters(found) == []


def test_a_rule_at_the_egress_hook_stands_before_the_way_out(lab, host):
    host.read("""nft -f - << END
table netdev mine {
    chain out {
        type filter hook egress device eth0 priority 0
        ip daddr 203.0.113.10 counter
    }
}
END""")
    try:
        found = journey(host, "ping -c 1 203.0.113.10")
    finally:
        host.read("nft delete table netdev mine")
    whats = [s.what for s in found.of(1) if s.namespace == "host1"]
    assert whats[-3:] == [
        "netdev mine out (in EGRESS) rule 1 `ip daddr 203.0.113.10 counter` → continue",
        "netdev mine out (in EGRESS) policy → ACCEPT",
        "out by eth0",
    ]
    assert agreement.with_counters(found) == []


def test_ipv6_is_followed_too(lab, host):
    for number, node in enumerate(lab.hosts, 1):
        node.read(f"ip address add fd00::{number}/64 dev eth0")
    host.read("ip6tables -A OUTPUT -p tcp --dport 80")
    try:
        found = journey(host, "curl -s [fd00::2]:80")
    finally:
        host.read("ip6tables -D OUTPUT -p tcp --dport 80; ip6tables -P OUTPUT ACCEPT")
        for number, node in enumerate(lab.hosts, 1):
            node.read(f"ip address del fd00::{number}/64 dev eth0")
    assert [p.summary for p in found.packets] == ["TCP SYN", "TCP RST, ACK"]
    assert [c.table for c in found.counted] == ["ip6 filter"]
    assert agreement.with_counters(found) == []
    assert agreement.with_cables(found) == []


def test_a_router_that_gives_up_says_so(lab, host):
    found = journey(host, "ping -c 1 -t 1 203.0.113.10")
    assert [(p.direction, p.summary) for p in found.packets] == [
        ("request", "ICMP echo request, sequence 1"), ("reply", "ICMP time exceeded")
    ]  # fmt: skip


def test_the_older_engine_too():
    with Lab(hosts=1, engine="20.10") as lab:
        found = journey(*record.nat(lab))
    assert "MASQUERADE" in {s.verdict for s in found.steps}
    assert agreement.with_tracking(found) == agreement.with_counters(found) == []
    assert agreement.with_cables(found) == []


def test_errors_are_one_sentence(lab, host):
    with pytest.raises(UsageError, match=r"^'true' on host1 sent no packet that could be traced$"):
        journey(host, "true")
    gone = host.run("busybox", name="gone", command="sleep 1d")
    gone.remove()
    with pytest.raises(UsageError, match=r"no packet .* it wrote: .*No such container: gone"):
        journey(gone, "wget outside")
    for wrong in ((host, ""), (host, None), ("host1", "true")):
        with pytest.raises(UsageError):
            journey(*wrong)
    with pytest.raises(UsageError, match="timeout=0"):
        journey(host, "true", timeout=0)


def test_a_stopped_lab_says_so():
    with Lab(hosts=1) as lab:
        host: Node = lab.host1
    with pytest.raises(LabStopped):
        journey(host, "true")
    assert issubclass(LabStopped, LabError)
