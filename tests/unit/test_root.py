"""The root machine: whether it can boot here, and why not, in words."""

import subprocess

import pytest

from labkit import machine
from labkit.errors import MachineError
from labkit.machine.root import RootMachine


def test_not_root(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert RootMachine().available() == (False, "you are not root; run ./lab as root")
    with pytest.raises(
        MachineError, match=r"no machine can boot here \(root: you are not root.*doctor"
    ):
        machine.choose()


def test_not_linux(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    able, why = RootMachine().available()
    assert not able
    assert "darwin" in why


def test_a_tool_is_missing(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda tool: None if tool == "unshare" else f"/bin/{tool}")
    assert RootMachine().available() == (False, "unshare not found; install util-linux")


def test_a_root_that_may_not_make_namespaces(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    refused = subprocess.CompletedProcess((), 1, "", "unshare: Operation not permitted\n")
    monkeypatch.setattr("subprocess.run", lambda *_, **__: refused)
    able, why = RootMachine().available()
    assert not able
    assert why == "this root may not make namespaces (unshare: Operation not permitted)"
