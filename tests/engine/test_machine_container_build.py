"""The machine image built by the learner's own engine, where this computer has and makes none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import docker
import pytest

from labkit import Lab
from labkit.errors import ImageError
from labkit.machine import image
from labkit.machine.container import ContainerMachine
from labkit.machine.container_image import BASE
from tests.engine import by_hand

pytestmark = pytest.mark.slow  # it builds a machine image in the engine, three minutes and more


@pytest.fixture(scope="module")
def engine_by_hand(tmp_path_factory) -> Iterator[docker.DockerClient]:
    """An engine with Debian in it and nothing else."""
    with by_hand.engine(tmp_path_factory.mktemp("engine")) as client:
        yield client


@pytest.fixture
def engine(engine_by_hand, monkeypatch, tmp_path) -> docker.DockerClient:
    """That engine as the learner's, on a computer with no image in its cache."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{engine_by_hand.api._custom_adapter.socket_path}")
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LABKIT_MIRROR", raising=False)
    return engine_by_hand


def packages(status: str) -> list[str]:
    """The packages in dpkg's database."""
    return sorted(li.split()[1] for li in status.splitlines() if li.startswith("Package: "))


def test_mirror_that_does_not_answer_is_told(engine, monkeypatch):
    monkeypatch.setenv("LABKIT_MIRROR", "http://127.0.0.1:1/debian")
    with pytest.raises(ImageError, match=r"packages.*could not be fetched.*127\.0\.0\.1:1"):
        ContainerMachine().prepare("26.1")
    assert engine.containers.list(all=True) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_ended_build_leaves_no_container(engine, number):
    script = "from labkit.machine.container import *; ContainerMachine().prepare('26.1')"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if "extracting" in line:
            break
    assert len(engine.containers.list()) == 1
    process.send_signal(number)
    said = process.communicate()[1]
    assert number == signal.SIGKILL or "was interrupted; the next start begins again" in said
    end = time.monotonic() + 10
    while engine.containers.list(all=True, ignore_removed=True) and time.monotonic() < end:
        time.sleep(0.05)
    assert engine.containers.list(all=True) == []


def test_engine_builds_the_image_that_is_built_here(engine, monkeypatch):
    with Lab(hosts=1, machine="container") as lab:
        there = lab.host1.read("cat /var/lib/dpkg/status")
        assert lab.host1.read("ls /usr/lib/labkit").split() == ["skeleton", "store"]
        listed = lab.host1.read("docker images --format '{{.Repository}}'").split()
        assert sorted(listed) == ["busybox", "nginx", "toolbox"]
        ping = "docker run --rm --user nobody toolbox ping -c 1 -W 2 172.17.0.1"
        assert "1 received" in lab.host1.read(ping), "a file's capabilities came along"
        lab.host1.run("nginx", publish="8080:80")
        page = "curl --silent --retry 20 --retry-all-errors localhost:8080"
        assert "nginx in a container" in lab.host1.read(page)
    assert not os.path.exists(image.cache()), "nothing of it is kept here"
    assert engine.containers.list(all=True) == []
    tags = [tag for found in engine.images.list() for tag in found.tags]
    built = ContainerMachine().prepare("26.1")
    assert sorted(tags) == [BASE, built]
    monkeypatch.delenv("LABKIT_CACHE")
    assert packages(there) == packages((image.ensure("26.1") / "var/lib/dpkg/status").read_text())
