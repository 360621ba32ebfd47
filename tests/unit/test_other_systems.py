"""macOS and Windows: the package imports and its doctor speaks, with no module of Linux's own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# What Python has on no Windows; macOS has some of it, and needs none of it either.
MISSING = ("fcntl", "pty", "termios", "tty", "grp", "pwd", "resource")
# Libraries are not asked: they know by themselves where they are.
AS_ELSEWHERE = """
import asyncio, builtins, os, platform, signal, sys

real = builtins.__import__

def elsewhere(name, globals=None, *rest, **more):
    if name in {missing} and globals and globals["__name__"].partition(".")[0] == "labkit":
        raise ModuleNotFoundError(f"no module named {{name!r}} here", name=name)
    return real(name, globals, *rest, **more)

builtins.__import__ = elsewhere
import docker, requests, rich.console, jupyter_core.paths
import matplotlib.pyplot, ipywidgets, msgspec, numpy, dpkt
sys.platform = {platform!r}
platform.system = lambda: {system!r}
platform.machine = lambda: "arm64"
for name in {absent}:
    for place in (os, signal, asyncio, __import__("socket")):
        if hasattr(place, name):
            delattr(place, name)
"""
WINDOWS = (
    "geteuid", "getuid", "getegid", "getgid", "fork", "setsid", "killpg", "openpty", "sysconf",
    "SIGKILL", "SIGHUP", "SIGQUIT", "start_unix_server", "open_unix_connection", "AF_UNIX",
)  # fmt: skip
SYSTEMS = [("darwin", "Darwin", ()), ("win32", "Windows", WINDOWS)]


def elsewhere(system: tuple, code: str) -> subprocess.CompletedProcess:
    platform, name, absent = system
    setup = AS_ELSEWHERE.format(missing=MISSING, platform=platform, system=name, absent=absent)
    return subprocess.run(
        [sys.executable, "-c", setup + code], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda s: s[0])
def test_every_public_name_and_every_lesson_is_imported(system):
    code = """
import labkit, pkgutil, importlib, labkit.lessons
for name in labkit.__all__:
    getattr(labkit, name)
for found in pkgutil.iter_modules(labkit.lessons.__path__):
    importlib.import_module(f"labkit.lessons.{found.name}")
print("imported")
"""
    done = elsewhere(system, code)
    assert done.stdout.strip() == "imported", done.stderr


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda s: s[0])
def test_doctor_says_which_machines_are_not_for_this_system(system):
    code = """
import sys
from labkit.cli import main
sys.exit(main(["doctor", "--json"]))
"""
    done = elsewhere(system, code)
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout, done.stderr
    machines = {m["name"]: m for m in json.loads(done.stdout)["machines"]}
    assert f"this system is {system[0]}" in machines["root"]["why"]
    assert f"this system is {system[0]}" in machines["user"]["why"]
    assert all(m["present"] or m["remedy"] for m in machines.values())
    if system[0] == "win32":
        assert not any(m["present"] for m in machines.values())
        assert "WSL" in machines["container"]["remedy"]


def test_a_missing_module_would_be_noticed():
    done = elsewhere(SYSTEMS[0], "import labkit.agent.process")
    assert "no module named 'fcntl' here" in done.stderr
