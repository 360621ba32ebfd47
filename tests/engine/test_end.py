"""Whatever ends a lab, nothing of it is left; and the learner's own network never changed."""

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labkit import Lab
from tests.endurance import state_of_this_system
from tests.engine.conftest import gone_within, leftovers, processes

SCRIPT = """
import sys, time
from labkit import Lab
lab = Lab(hosts=1)
{before}
lab.start()
lab.host1.run("nginx", publish="8080:80")
print(lab._channel.run, flush=True)
lab.host1.sh("sleep 1000")
"""


def kernel(before: str = "") -> subprocess.Popen:
    """A process with a lab, as a notebook's kernel is."""
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(before=before)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_when_the_kernel_is_killed(number):
    process = kernel()
    run = Path(process.stdout.readline().strip())
    assert leftovers(run)
    process.send_signal(number)
    process.wait()
    assert gone_within(run, 2) == []


def test_nothing_is_left_when_the_kernel_is_killed_while_it_starts():
    for delay in (0.05, 0.15, 0.3, 0.5):
        process = kernel("print(time.time(), flush=True)")
        process.stdout.readline()
        time.sleep(delay)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        runs = [
            Path(word)
            for child in children
            for word in Path(f"/proc/{child}/cmdline").read_text().split("\0")
            if Path(word).name.startswith("labkit-")
        ]
        process.kill()
        process.wait()
        for run in runs:
            assert gone_within(run, 2) == []


def test_nothing_is_left_after_stop_and_this_system_is_as_before():
    before = state_of_this_system()
    lab = Lab(hosts=2).start()
    run = lab._channel.run
    lab.host1.run("nginx", publish="8080:80")
    lab.host1.sh("docker network create other; docker swarm init --advertise-addr eth0")
    files = len(os.listdir("/proc/self/fd"))
    assert state_of_this_system() == before
    lab.stop()
    assert gone_within(run, 0.5) == []
    assert state_of_this_system() == before
    assert len(os.listdir("/proc/self/fd")) < files


def test_labs_leak_no_files_and_no_threads():
    import threading

    with Lab(hosts=1) as lab:
        lab.host1.docker.ping()
    gc.collect()  # what earlier tests left to it
    files, threads = os.listdir("/proc/self/fd"), threading.active_count()
    for _ in range(3):
        with Lab(hosts=1) as lab:
            lab.host1.docker.ping()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == len(files)
    assert threading.active_count() == threads


def test_a_start_that_is_interrupted_leaves_nothing(monkeypatch):
    lab = Lab(hosts=1)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("labkit.lab.Host.__init__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lab.start()
    assert gone_within(lab._channel.run, 0.5) == []


def test_agent_killed_ends_the_lab_with_a_sentence():
    from labkit.errors import MachineError

    lab = Lab(hosts=1).start()
    run = lab._channel.run
    unshare = processes(str(run))[-1]
    agent = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()[0]
    os.kill(int(agent), signal.SIGKILL)
    with pytest.raises(MachineError, match="went away"):
        lab.host1.sh("true")
    lab.stop()
    assert gone_within(run, 2) == []
