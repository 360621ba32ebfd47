"""Every machine that this computer can boot does the same: test_fixed_set.py on each of them.

On an ordinary user's machines it runs as a user who is made for it: as_user.py. There the first
run builds that user's machine image.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labkit import Lab
from labkit.machine import named
from tests.engine import as_user
from tests.engine.conftest import processes

FIXED_SET = Path(__file__).with_name("test_fixed_set.py")
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(FIXED_SET))

NEEDS = {"ids": "newuidmap", "sudo": "sudo"}


def passes(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("kind", "machine"), [("ids", "user"), ("one id", "user"), ("sudo", "root")]
)
def test_ordinary_user(kind, machine):
    if not as_user.possible():
        pytest.skip("only root makes a user")
    if (program := NEEDS.get(kind)) and not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    if kind == "sudo":
        named("root").prepare("26.1")
    passes(as_user.python(kind, *PYTEST, LABKIT_MACHINE=machine, LABKIT_NO_SKIP=""))


def test_container_of_an_engine():
    """The engine of a lab host stands for the learner's."""
    able, why = named("root").available()
    if not able:
        pytest.skip(f"the container machine's tests need an engine of root's: {why}")
    with Lab(hosts=1, machine="root", engine="26.1") as outer:
        engine = f"DOCKER_HOST=unix://{outer._channel.run}/host1.sock"
        passes(["env", engine, "LABKIT_MACHINE=container", sys.executable, *PYTEST])


@pytest.mark.slow  # emulated, it takes minutes; test_machine_virtual.py is in every run
def test_virtual():
    able, why = named("virtual").available()
    if not able:
        pytest.skip(why)
    passes(["env", "LABKIT_MACHINE=virtual", sys.executable, *PYTEST])


@pytest.mark.parametrize("kind", ["ids", "one id"])
def test_killed_build_of_an_ordinary_user_leaves_no_process(kind):
    if os.geteuid() != 0:
        pytest.skip("only root kills another user's process")
    cache = as_user.cache(kind) / "killed"
    script = "from labkit.machine import image\nimage.ensure('26.1', lambda *step: print(*step))"
    command = as_user.python(kind, "-u", "-c", script, LABKIT_CACHE=str(cache))
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as build:
            for line in build.stdout:
                if "extracting" in line:
                    break
            assert processes(f"{cache}/image-"), "it is at work"
            build.kill()
        end = time.monotonic() + 20
        while processes(f"{cache}/image-") and time.monotonic() < end:
            time.sleep(0.05)
        assert processes(f"{cache}/image-") == []
    finally:
        shutil.rmtree(cache)
