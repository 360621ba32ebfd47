"""The agent makes a running lab larger and smaller: a machine may start with more than is asked."""

from __future__ import annotations

from labkit import Lab


def build(lab: Lab, hosts: int, stations: int) -> list[str]:
    """Ask the agent for a lab of that size; the names of the nodes that there are then."""
    facts = lab._channel.call("build", hosts=hosts, stations=stations)
    return [fact["name"] for fact in facts]


def test_a_running_lab_shrinks_and_grows():
    with Lab(hosts=2, stations=1) as lab:
        engine = lab.host1.read("cat /run/docker-engine.pid")
        assert build(lab, 1, 0) == ["router", "outside", "host1"]
        assert lab.host1.read("cat /run/docker-engine.pid") == engine  # it went on
        assert "host2" not in lab.host1.read("cat /etc/hosts")
        ports = "ip -br link show master lan | cut -d@ -f1"
        assert lab.node("router").read(ports).split() == ["host1"]
        assert lab.host1.read("host -t A host2 || true").count("REFUSED")

        assert build(lab, 3, 1) == ["router", "outside", "host1", "host2", "host3", "station1"]
        assert sorted(lab.node("router").read(ports).split()) == [
            "host1", "host2", "host3", "station1",
        ]  # fmt: skip
        lab.host1.read("ping -c 1 -W 5 host2 && ping -c 1 -W 5 station1")
        assert "192.168.56.13" in lab.host1.read("host -t A host3")
        assert lab.host2.read("docker run --rm busybox hostname").strip()
