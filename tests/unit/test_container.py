"""ContainerMachine without an engine: one sentence for each way in which there is none."""

from __future__ import annotations

import json
import socket
import tempfile
from pathlib import Path

import pytest

from labkit.errors import MachineError
from labkit.machine import container
from labkit.machine.container import ContainerMachine


@pytest.fixture
def docker_config(monkeypatch, tmp_path):
    """A docker command's configuration of our own, and nothing in the environment."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def context(config: Path, name: str, host: str) -> Path:
    """Make a docker context and the current one, as `docker context create, use` do; its file."""
    from docker.context.config import get_meta_file

    (config / "config.json").write_text(json.dumps({"currentContext": name}))
    file = Path(get_meta_file(name))
    file.parent.mkdir(parents=True)
    endpoints = {"docker": {"Host": host, "SkipTLSVerify": False}}
    file.write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": endpoints}))
    return file


def test_no_engine_at_the_default_socket(docker_config, monkeypatch):
    context(docker_config, "default-like", f"unix://{docker_config}/none.sock")
    able, why = ContainerMachine().available()
    assert not able
    assert why == (
        f"no Docker Engine answers at the docker context 'default-like' "
        f"(unix://{docker_config}/none.sock): no such file or directory; "
        "start Docker, or name an engine in DOCKER_HOST"
    )


def test_context_that_does_not_exist(docker_config):
    (docker_config / "config.json").write_text('{"currentContext": "colima"}')
    able, why = ContainerMachine().available()
    assert not able
    assert why == (
        "the current docker context is 'colima', and there is no context of that name; "
        "run: docker context use default"
    )


def test_context_that_cannot_be_read(docker_config):
    context(docker_config, "colima", "unix:///x").write_text("{")
    able, why = ContainerMachine().available()
    assert not able
    assert why.startswith("the docker context 'colima' cannot be read (")
    assert len(why.splitlines()) == 1


def test_environment_comes_before_the_context(docker_config, monkeypatch):
    context(docker_config, "colima", "unix:///x")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    able, why = ContainerMachine().available()
    assert not able
    assert "at DOCKER_HOST (tcp://127.0.0.1:1): connection refused" in why


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("ssh://nowhere.invalid", "Name or service not known|failure in name resolution"),
        ("gibberish", "Invalid bind address format"),
    ],
)
def test_engine_that_cannot_be_reached(docker_config, monkeypatch, host, said):
    import re

    monkeypatch.setenv("DOCKER_HOST", host)
    able, why = ContainerMachine().available()
    assert not able
    assert re.search(said, why, re.IGNORECASE)
    assert why.endswith("; start Docker, or name an engine in DOCKER_HOST")
    assert len(why.splitlines()) == 1


def test_silent_socket_is_given_up(docker_config, monkeypatch):
    monkeypatch.setattr(container, "QUICK", 0.2)
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{folder}/silent.sock")
        silent.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/silent.sock")
        able, why = ContainerMachine().available()
    assert not able
    assert "timed out" in why.lower()


def test_socket_of_others_is_a_matter_of_rights():
    said = container._silence("here", PermissionError(13, "Permission denied"))
    assert said == (
        "no Docker Engine answers at here: permission denied; "
        "you need the right to use it: on Linux, membership of the group docker"
    )


def test_engine_of_another_kind_is_refused_in_words():
    windows = container.refusal(None, {"OSType": "windows"})
    assert windows == "runs windows containers; switch it to Linux containers"
    rootless = {
        "OSType": "linux",
        "SecurityOptions": ["name=seccomp,profile=default", "name=rootless"],
    }
    assert container.refusal(None, rootless).startswith("is rootless")


def test_clean_says_nothing_where_there_is_no_engine(docker_config):
    (docker_config / "config.json").write_text('{"currentContext": "colima"}')
    assert list(container.clean()) == []


def test_prepare_without_an_engine_raises_the_same_sentence(docker_config):
    (docker_config / "config.json").write_text('{"currentContext": "colima"}')
    with pytest.raises(MachineError, match="'colima', and there is no context of that name"):
        ContainerMachine().prepare("26.1")
