"""What can break in a lab is answered with one sentence, and a new lab starts."""

import concurrent.futures
import contextlib
import os
import signal
from pathlib import Path

import psutil
import pytest

from labkit import Lab
from labkit.channel import Channel
from labkit.errors import EngineError, MachineError, UsageError
from tests.engine.conftest import gone_within, processes


@pytest.fixture
def broken():
    """A lab of its own, to break; afterwards nothing of it is left, and another one starts."""
    lab = Lab(hosts=1).start()
    run = lab._channel.run
    yield lab
    lab.stop()
    assert gone_within(run, 3) == []
    with Lab(hosts=1) as fresh:
        assert fresh.host1.docker.ping()


def agent_of(lab: Lab) -> int:
    """The id, as seen here, of process 1 of the lab's machine."""
    unshare = processes(str(lab._channel.run))[-1]
    return int(Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()[0])


def every_use_says(lab: Lab, sentence: str) -> None:
    host = lab.host1
    uses = (lambda: host.read("true"), lambda: host.sh("true"), host.snapshot)
    for use in (*uses, lambda: host.run("busybox"), lambda: host.docker):
        with pytest.raises(MachineError, match=sentence) as caught:
            use()
        assert "\n" not in str(caught.value)


def test_agent_killed(broken):
    assert broken.host1.docker.ping()
    os.kill(agent_of(broken), signal.SIGKILL)
    every_use_says(broken, r"machine went away .*start a new lab with Lab\(hosts=1\)")


def test_garbage_on_the_channel_to_the_agent(broken):
    channel = broken._channel
    channel._loop.call_soon_threadsafe(channel._writer.write, b"\xff" * 100)
    every_use_says(broken, r"machine went away .*start a new lab")


def test_garbage_on_the_channel_from_the_agent():
    """A machine that says what no agent says, such as a shell's login message."""
    talk = "head -c 8 > /dev/null; yes welcome | head -n 1000; cat > /dev/null"
    channel = Channel(lambda run: ["sh", "-c", talk])
    try:
        with pytest.raises(MachineError, match=r"went away \(what arrived is no frame"):
            channel.call("build", hosts=1, stations=0)
    finally:
        channel.close()


def test_an_engine_killed(broken):
    host = broken.host1
    assert host.docker.ping()
    host.read("pkill -9 -x dockerd; while pgrep -x dockerd; do sleep 0.05; done")
    with pytest.raises(EngineError, match=r"does not answer.*`service docker start` on host1"):
        host.run("busybox", command="sleep 1000")
    assert host.snapshot().engine is None
    host.read("service docker start")
    host.run("busybox", name="again", command="sleep 1000")
    assert host.snapshot().container("again")


def test_containerd_killed(broken):
    host = broken.host1
    host.run("busybox", name="before", command="sleep 1000")
    host.read("pkill -9 -x containerd; while pgrep -x containerd; do sleep 0.05; done")
    with pytest.raises(EngineError, match=r"its containerd is gone.*`service docker start`"):
        host.run("busybox", command="sleep 1000")
    assert [c.name for c in host.docker.containers.list(all=True)] == ["before"]
    host.read("service docker start")
    host.run("busybox", name="again", command="sleep 1000")
    assert {c.name for c in host.snapshot().containers} == {"before", "again"}


def test_the_disk_of_the_data_root_is_full(broken):
    host = broken.host1
    host.read("mount -o remount,size=8m /var/lib/docker")
    host.sh("dd if=/dev/zero of=/var/lib/docker/full bs=4k", check=False)
    with pytest.raises(UsageError, match="no space left on device"):
        host.run("busybox", command="sleep 1000")
    assert host.snapshot().engine
    host.read("rm /var/lib/docker/full")
    host.run("busybox", name="again", command="sleep 1000")


# What a container's own shell says of its memory cgroup (kernel: cgroup-v2.rst, memory.events, and
# cgroup-v1/memory.rst, memory.oom_control). The engine's own word, State.OOMKilled, is no proof:
# containerd may tell of the end before it tells of the reason (containerd issue 8893).
OUT_OF_MEMORY = """tail /dev/zero
echo "exit $?"
cd /sys/fs/cgroup
cat memory.events memory/memory.oom_control 2> /dev/null | grep '^oom_kill '
"""


def test_a_container_out_of_memory(broken):
    host = broken.host1
    told = host.run("busybox", name="told", command=["sh", "-c", OUT_OF_MEMORY], mem_limit="16m")
    assert told.container.wait(timeout=60)["StatusCode"] == 0
    lines = told.container.logs(stderr=False).decode().splitlines()
    assert lines == ["exit 137", "oom_kill 1"]
    hungry = host.run("busybox", name="hungry", command="tail /dev/zero", mem_limit="16m")
    assert hungry.container.wait(timeout=60)["StatusCode"] == 137
    assert host.snapshot().engine
    host.run("busybox", name="again", command="sleep 1000")


def test_a_computer_that_sleeps(broken):
    """What was under way when the machine was stopped (SIGSTOP) ends when it goes on."""
    agent = psutil.Process(agent_of(broken))
    tree = [agent, *agent.children(recursive=True)]
    assert len(tree) > 5
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(broken.host1.read, "sleep 0.3; echo awake")
        try:
            for process in tree:
                with contextlib.suppress(psutil.NoSuchProcess):  # a shell that has just ended
                    process.suspend()
            with pytest.raises(concurrent.futures.TimeoutError):
                running.result(timeout=1)
        finally:
            for process in tree:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()
        assert running.result(timeout=60) == "awake\n"
    assert broken.host1.docker.ping()
