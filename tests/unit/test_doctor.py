"""The doctor: what he reports, and that he leaves nothing behind; no privilege needed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from labkit.machine import capabilities as module
from labkit.machine import doctor
from labkit.machine.capabilities import Capability, capabilities, control_groups
from labkit.machine.doctor import Finding, Report, engine_version, examine

BRIDGE = Capability("bridge", True, "making a bridge works", needed=True)
IPVS = Capability("IPVS", False, "asking for IPVS: No such file", "as root: modprobe ip_vs")
YES = Finding("root", True, "Linux, and you are root")
NO = Finding("root", False, "you are not root", "run ./lab as root")
OTHER = Finding("container", True, "Docker Engine 28.1")
NOTHING = Capability("network namespaces", False, "this system is darwin", "", needed=True)
TOOL = Finding("mmdebstrap", False, "not installed", "run: apt-get install mmdebstrap")
BUILT = Finding("Docker 26.1", True, "engine 26.1.5")
UNBUILT = Finding("Docker 26.1", False, "its machine image is not built yet", "./lab builds it")


def report(machines=(YES,), kernel=(BRIDGE, IPVS), programs=(), images=(UNBUILT,)) -> Report:
    return Report("Linux 6.12, x86_64", machines, kernel, programs, images)


@pytest.mark.parametrize(
    ("found", "obstacles"),
    [
        (report(), ()),
        (report(machines=(NO,)), ("no machine can boot",)),
        (report(kernel=(Capability("veth", False, "", "", needed=True),)), ("veth",)),
        (report(programs=(TOOL,)), ("mmdebstrap",)),
        (report(programs=(TOOL,), images=(BUILT,)), ()),
        (report(machines=(NO, OTHER), kernel=(NOTHING,), programs=(TOOL,)), ()),
    ],
)
def test_lab_can_run_when_nothing_needed_is_missing(found, obstacles):
    assert found.obstacles == obstacles
    assert found.ok is (not obstacles)
    assert ("A lab can run here, on the" in found.text(100)) is found.ok


def test_every_no_comes_with_why_and_what_to_do():
    text = " ".join(report(machines=(NO,)).text(200).split())
    for words in ("you are not root", "run ./lab as root", "modprobe ip_vs", "./lab builds it"):
        assert words in text


def test_a_replay_is_no_lab_that_runs():
    replay = Finding("replay", True, "pictures only")
    assert report(machines=(YES, replay)).choice == "root"
    alone = report(machines=(NO, replay))
    assert (alone.choice, alone.ok) == ("", False)
    assert "No lab can run here: no machine can boot." in alone.text(100)
    assert "a replay." in alone.text(100)
    assert "a replay." not in report(machines=(NO,)).text(100)


def test_json_says_the_same():
    found = json.loads(report(machines=(NO,)).json())
    assert found["ok"] is False
    assert found["obstacles"] == ["no machine can boot"]
    assert found["machines"][0]["remedy"] == "run ./lab as root"
    assert [c["name"] for c in found["kernel"]] == ["bridge", "IPVS"]


def test_this_computer_is_examined_without_a_trace():
    before = _traces()
    found = examine()
    assert _traces() == before
    names = [c.name for c in found.kernel]
    assert names[-3:] == ["br_netfilter", "user namespaces", "cgroups"]
    assert all(c.why for c in found.kernel)
    assert all(c.remedy for c in found.kernel if not c.present), "each no says what to do"
    assert [m.name for m in found.machines] == [*(m.name for m in doctor.MACHINES), "replay"]
    json.loads(found.json())


def _traces() -> tuple[object, ...]:
    """The network interfaces, mounts and child processes of this process."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return (Path("/proc/net/dev").read_text().count(":"), os.listdir("/sys/class/net"),
            Path("/proc/self/mounts").read_text(), children)  # fmt: skip


def test_refusal_of_the_kernel_is_quoted(monkeypatch):
    def refuse():
        raise OSError(95, "Operation not supported")

    probe = module.Probe("ipvlan", refuse, "making an ipvlan interface", "ipvlan", "no ipvlan")
    monkeypatch.setattr(module, "PROBES", (probe,))
    found = capabilities()[0]
    if found.name == module.NOTHING:
        pytest.skip("no namespace to try in")
    assert not found.present
    assert found.why == "making an ipvlan interface: Operation not supported"
    assert "modprobe ipvlan" in found.remedy


def test_kernel_that_gives_no_namespace_is_one_finding(monkeypatch):
    monkeypatch.setattr(module, "_unshare", _refuse)
    found = capabilities()
    assert [c.name for c in found if c.needed and not c.present] == ["network namespaces"]
    assert "Operation not permitted" in found[0].why
    assert not next(c for c in found if c.name == "user namespaces").present


def _refuse(_: int) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_probe_that_dies_is_an_absence(monkeypatch):
    probe = module.Probe("veth", lambda: os._exit(1), "making a veth pair", "veth", "no veth")
    monkeypatch.setattr(module, "PROBES", (probe,))
    assert not capabilities()[0].present


def test_bogus_kind_of_interface_is_refused():
    from labkit.machine import netlink

    probe = module.Probe("bogus", lambda: netlink.link("bogus", "b"), "making it", "bogus", "x")
    answers = module._in_a_child(lambda: _answers(probe))
    assert answers[probe.name] or module.NOTHING in answers


def _answers(probe: module.Probe) -> dict[str, str | None]:
    module.PROBES = (probe,)  # in the child only
    return module._try_all()


VERSION_1 = """\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
"""


def test_version_1_of_cgroups_is_read_from_its_mounts(monkeypatch):
    monkeypatch.setattr(module, "_controllers_of_version_1", lambda: iter(("cpu", "memory", "io")))
    assert control_groups(VERSION_1) == (1, ("cpu", "memory"))


def test_version_2_of_cgroups_is_read_from_its_file(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    assert control_groups(f"cgroup2 {tmp_path} cgroup2 rw 0 0\n") == (2, ("cpu", "memory", "pids"))


def test_no_cgroups_at_all():
    assert control_groups("proc /proc proc rw 0 0\n") == (0, ())


@pytest.mark.parametrize(
    ("status", "version"),
    [
        (
            "Package: docker\nVersion: 1.5-2\n\nPackage: docker.io\nVersion: 26.1.5+dfsg1-9\n",
            "26.1.5",
        ),
        ("Package: bash\nVersion: 5.2\n", "unknown"),
        (None, "unknown"),
    ],
)
def test_engine_version_comes_from_the_package_database(tmp_path, status, version):
    if status is not None:
        (tmp_path / "var/lib/dpkg").mkdir(parents=True)
        (tmp_path / "var/lib/dpkg/status").write_text(status)
    assert engine_version(tmp_path) == version
