"""The virtual machine: a lab with a kernel of its own, and nothing of it is left.

Without hardware's help a container takes two seconds: this is what every run tries of the virtual
machine. test_machines.py, where it is marked slow, runs the whole fixed set on it.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import Lab
from labkit.channel import Channel
from labkit.errors import MachineError
from labkit.machine import virtual_state
from labkit.machine.virtual import VirtualMachine
from tests.engine.conftest import gone_within, leftovers, processes

CURL = "curl --silent --show-error --retry 20 --retry-connrefused --retry-delay 1"
ENGINE = "26.1"  # of whichever generation the other tests are: a state takes its time
ABLE, WHY = VirtualMachine().available()
pytestmark = [
    pytest.mark.skipif(not ABLE, reason=WHY),
    pytest.mark.skipif(not shutil.which("mksquashfs"), reason="mksquashfs not found"),
]


@pytest.fixture(scope="module")
def virtual() -> Iterator[Lab]:
    """Two lab hosts in a virtual machine."""
    with Lab(hosts=2, engine=ENGINE, machine="virtual") as lab:
        yield lab


def test_it_has_a_kernel_of_its_own_and_the_lab_that_was_asked_for(virtual):
    assert virtual.machine == "virtual"
    assert "cloud" in virtual.host1.read("uname -r")
    assert [node.name for node in (*virtual.hosts, *virtual.stations)] == ["host1", "host2"]
    assert "station1" not in virtual.host1.read("cat /etc/hosts")


def test_its_clock_is_right_although_its_state_is_old(virtual):
    before = time.time()
    assert before - 60 < float(virtual.host1.read("date +%s.%N")) < time.time() + 60


def test_a_container_publishes_a_port_and_the_snapshot_shows_it(virtual):
    web = virtual.host1.run("nginx", name="web", publish="8080:80")
    page = virtual.node("outside").read(f"{CURL} 192.168.56.11:8080")
    assert "nginx" in page
    snapshot = virtual.host1.snapshot()
    assert "web" in [container.name for container in snapshot.containers]
    web.remove()


def test_hosts_and_containers_reach_each_other_by_name(virtual):
    host = virtual.host1
    assert "1 received" in host.read("ping -c 1 -W 60 host2")
    host.read("docker network create mine")
    host.run("toolbox", name="one", command="sleep 1000", network="mine")
    ping = "docker run --rm --network mine toolbox ping -c 1 -W 60 one"
    assert "1 received" in host.read(ping)
    host.read("docker rm -f one && docker network rm mine")


def test_its_kernel_has_what_others_lack(virtual):
    virtual.host1.read("ip link add link eth0 name tried type ipvlan mode l2 && ip link del tried")
    virtual.host1.read("ip link add link eth0 name eth0.5 type vlan id 5 && ip link del eth0.5")
    # Loaded for who asks: it would wake an idle machine once a second for each namespace.
    assert "ip_vs" not in virtual.host1.read("cat /proc/modules")
    assert "IP Virtual Server" in virtual.host1.read("ipvsadm --list")


def test_bytes_go_through_unchanged(virtual):
    virtual.host1.read("head -c 2000000 /dev/urandom > /tmp/noise")
    got = io.BytesIO()
    virtual.host1.save("cat /tmp/noise", got)
    there = virtual.host1.read("sha256sum < /tmp/noise").split()[0]
    assert hashlib.sha256(got.getvalue()).hexdigest() == there


def test_its_sockets_are_the_users_alone(virtual):
    run = virtual._channel.run
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in run.iterdir()} == {0o600}
    (qemu,) = children(virtual._channel._process.pid)
    files = [os.readlink(f"/proc/{qemu}/fd/{n}") for n in os.listdir(f"/proc/{qemu}/fd")]
    inodes = {name[8:-1] for name in files if name.startswith("socket:")}
    tables = [Path(f"/proc/{qemu}/net/{kind}").read_text() for kind in ("tcp", "tcp6", "udp")]
    assert not {line.split()[9] for table in tables for line in table.splitlines()[1:]} & inodes


def children(pid: int) -> list[int]:
    """The ids of a process's children (proc_pid_task(5))."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


SCRIPT = """
import time
from labkit import Lab
lab = Lab(engine="26.1", machine="virtual").start()
print(lab._channel.run, flush=True)
time.sleep(1000)
"""


def test_nothing_is_left_when_the_kernel_is_killed():
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True) as it:
        run = Path(it.stdout.readline().strip())
        (outside,) = processes(str(run))
        (qemu,) = children(outside)
        assert leftovers(run)
        it.send_signal(signal.SIGKILL)
        assert gone_within(run, 60) == []
        assert not Path(f"/proc/{qemu}").exists()


def test_qemu_does_not_outlive_the_program_outside_it():
    lab = Lab(engine=ENGINE, machine="virtual").start()
    (qemu,) = children(lab._channel._process.pid)
    lab._channel._process.kill()
    lab._channel._process.wait()
    with pytest.raises(MachineError, match="went away"):
        lab.host1.read("true")
    end = time.monotonic() + 60
    while Path(f"/proc/{qemu}").exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not Path(f"/proc/{qemu}").exists()
    lab.stop()


def test_state_that_cannot_be_restored_is_removed_and_that_is_said():
    state = VirtualMachine().prepare(ENGINE)
    broken = state.with_name("broken")
    broken.mkdir()
    for name in ("ram", "initrd", "how.json"):
        os.link(state / name, broken / name)
    (broken / "devices").write_bytes(b"no such thing" * 1000)
    channel = Channel(lambda run: virtual_state.restore(broken, run))
    try:
        with pytest.raises(MachineError, match=r"could not be restored and has been removed"):
            channel.call("build", hosts=1, stations=0)
    finally:
        channel.close()
    assert not broken.exists()
    assert not channel.run.exists()
