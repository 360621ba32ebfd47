"""What is typed after ./lab, and what is said about it."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from labkit import cli
from labkit.errors import MachineError, UsageError
from labkit.machine.prerequisites import TESTED


@pytest.fixture
def jupyter(monkeypatch, tmp_path):
    """The words that JupyterLab would be started with, in place of JupyterLab."""
    words: list[str] = []
    for name in ("01_second.ipynb", "00_first.ipynb"):
        (tmp_path / name).touch()
    monkeypatch.setattr(cli, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(cli, "_prepare", lambda *_: None)
    monkeypatch.setattr(os, "execv", lambda program, argv: words.extend(argv))
    return words


@pytest.fixture
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_an_unknown_command_ends_in_one_sentence_that_names_the_known_ones(capsys):
    assert cli.main(["frob"]) == 1
    out, err = capsys.readouterr()
    assert err == (
        "lab: there is no command 'frob'; "
        "there are lab, run, record, doctor, image, clean, promises, test, bench, help\n"
    )
    assert out == ""


@pytest.mark.parametrize("typed", [["help"], ["--help"], ["-h"]])
def test_help_names_every_command(typed, capsys):
    assert cli.main(typed) == 0
    out = capsys.readouterr().out
    for command in cli.COMMANDS:
        assert f"\n    {command} " in out


def test_an_error_of_labkit_is_one_sentence_and_status_1(monkeypatch, capsys):
    def command(_):
        raise MachineError("no machine can boot here")

    monkeypatch.setitem(cli.COMMANDS, "clean", command)
    assert cli.main(["clean"]) == 1
    assert capsys.readouterr().err == "lab: no machine can boot here\n"


def test_an_interrupt_is_quiet_and_status_130(monkeypatch, capsys):
    def command(_):
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.COMMANDS, "clean", command)
    assert cli.main(["clean"]) == 130
    assert capsys.readouterr() == ("", "")


def test_with_nothing_typed_jupyterlab_opens_on_the_notebooks_and_on_loopback(jupyter):
    cli.main([])
    assert jupyter[:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={cli.NOTEBOOKS}" in jupyter
    assert "--ServerApp.ip=127.0.0.1" in jupyter
    assert "--LabApp.default_url=/lab/tree/00_first.ipynb" in jupyter


def test_root_may_run_jupyterlab(jupyter, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    cli.main([])
    assert "--ServerApp.allow_root=True" in jupyter


def test_an_ordinary_user_is_not_said_to_be_root(jupyter, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    cli.main([])
    assert not [word for word in jupyter if "root=" in word]


def test_further_options_go_to_jupyterlab_as_they_are(jupyter):
    typed = ["--no-browser", "--LabApp.news_url=None"]
    cli.main(typed)
    assert jupyter[-2:] == typed
    assert not [word for word in jupyter if "port_retries" in word]


@pytest.mark.parametrize(("length", "private"), [(40, True), (80, False)])
def test_kernels_are_on_private_sockets_where_their_path_is_short_enough(
    length, private, jupyter, monkeypatch
):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", "/" + "x" * length)
    cli.main([])
    assert ("--KernelManager.transport=ipc" in jupyter) is private


def test_an_address_of_the_learners_own_replaces_loopback(jupyter):
    cli.main(["--ip", "0.0.0.0"])
    assert not [word for word in jupyter if word.startswith("--ServerApp.ip")]


def test_a_free_port_is_used_and_no_other(jupyter, taken_port):
    free = taken_port - 1 if taken_port > 60000 else taken_port + 1
    assert cli.main(["--port", str(free)]) is None
    assert "--ServerApp.port_retries=0" in jupyter


@pytest.mark.parametrize("spelling", ["--port {}", "--port={}", "--ServerApp.port={}"])
def test_a_taken_port_ends_in_one_sentence(jupyter, taken_port, spelling, capsys):
    assert cli.main(spelling.format(taken_port).split()) == 1
    assert jupyter == []
    assert capsys.readouterr().err == (
        f"lab: JupyterLab cannot listen on port {taken_port} of 127.0.0.1 "
        "(address already in use); give another --port, or none\n"
    )


@pytest.mark.parametrize("port", ["many", "70000", ""])
def test_a_port_that_is_no_port_ends_in_one_sentence(jupyter, port, capsys):
    assert cli.main(["--port", port]) == 1
    assert "a port is a number from 1 to 65535" in capsys.readouterr().err


def test_a_port_that_was_in_use_a_moment_ago_is_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()  # ours closes first: TIME_WAIT stays on this port
    cli.check_port("127.0.0.1", str(port))


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ([], None),
        (["--no-browser"], None),
        (["--port", "1"], "1"),
        (["--port=1"], "1"),
        (["--LabApp.port=1", "--ServerApp.port=2"], "2"),
        (["--port"], ""),
        (["--ServerApp.port_retries=3"], None),
    ],
)
def test_an_option_is_found_in_all_its_spellings(typed, value):
    assert cli.option(typed, "port") == value


def test_without_notebooks_it_says_where_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "NOTEBOOKS", tmp_path)
    with pytest.raises(UsageError, match=r"there are no notebooks in .*; run \./lab in a clone"):
        cli.open_lab([])


def test_the_tests_stop_at_the_first_tool_that_fails(monkeypatch):
    tools = []

    def tool(command, **_):
        tools.append(command[:2])
        return 3 if "mypy" in command else 0

    monkeypatch.setattr(cli, "_tool", tool)
    assert cli.main(["test", "-k", "nothing"]) == 3
    assert tools == [["ruff", "check"], ["ruff", "format"], ["mypy"]]


def test_what_follows_test_goes_to_pytest_with_both_images_there(monkeypatch):
    tools, engines = [], []
    monkeypatch.setattr(cli, "install_for_tests", lambda programs: tools.append(sorted(programs)))
    monkeypatch.setattr(cli, "MACHINES", [SimpleNamespace(available=lambda: (True, ""))])
    monkeypatch.setattr(cli, "_prepare", lambda *wanted: engines.extend(wanted))
    monkeypatch.setattr(cli, "_tool", lambda command, **_: tools.append(command) or 0)
    assert cli.main(["test", "-k", "nothing"]) == 0
    assert set(tools[-2]) > {*TESTED, "mksquashfs"}
    assert tools[-1][0] == "pytest"
    assert tools[-1][-2:] == ["-k", "nothing"]
    assert engines == ["26.1", "20.10"]


@pytest.mark.parametrize(
    ("typed", "runs"),
    [
        ([], ["26.1"]),
        (["--engine", "trixie"], ["26.1"]),
        (["--engine=bookworm"], ["20.10"]),
        (["--engine", "all"], ["26.1", "20.10"]),
    ],
)
def test_tests_of_an_older_engine_compare_verdicts_only(monkeypatch, typed, runs):
    seen = []

    def tool(command, LABKIT_ENGINE=None):
        if command[0] == "pytest":
            seen.append((LABKIT_ENGINE, [w for w in cli.OF_AN_OLDER_ENGINE if w in command]))
            assert command[-2:] == ["-k", "nothing"]
            assert "--engine" not in command

    monkeypatch.setattr(cli, "_tool", tool)
    monkeypatch.setattr(cli, "MACHINES", [])
    assert cli.main(["test", *typed, "-k", "nothing"]) == 0
    assert seen == [(r, [] if r == "26.1" else list(cli.OF_AN_OLDER_ENGINE)) for r in runs]


def test_where_no_machine_can_boot_no_image_is_built_for_the_tests(monkeypatch):
    monkeypatch.setattr(cli, "MACHINES", [SimpleNamespace(available=lambda: (False, "no"))])
    monkeypatch.setattr(cli, "_prepare", lambda *_: pytest.fail("built an image"))
    monkeypatch.setattr(cli, "_tool", lambda *_, **__: 0)
    assert cli.main(["test"]) == 0


def test_jupyter_finds_our_kernel_and_our_settings_before_its_own(monkeypatch, capsys):
    monkeypatch.setenv("JUPYTER_PATH", "/mine")
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")
    cli.main(["help"])
    data, mine = os.environ["JUPYTER_PATH"].split(os.pathsep)
    assert mine == "/mine"
    assert (Path(data) / "kernels/python3/kernel.json").exists()
    settings = Path(os.environ["JUPYTER_CONFIG_PATH"], "labconfig/default_setting_overrides.json")
    assert settings.exists()


def test_bench_goes_to_the_benches_with_its_words_as_they_are(monkeypatch):
    done = []
    monkeypatch.setattr(cli, "install_for_tests", lambda programs: None)
    monkeypatch.setattr(cli, "_prepare", lambda *engines: done.append(engines))
    monkeypatch.setattr(cli, "_tool", lambda command: done.append(command) or 3)
    assert cli.main(["bench", "start", "--runs", "2"]) == 3
    assert done == [("26.1", "20.10"), ["tests.bench", "start", "--runs", "2"]]


def test_the_benches_help_needs_no_image(monkeypatch):
    monkeypatch.setattr(cli, "_prepare", lambda *_: pytest.fail("built an image"))
    monkeypatch.setattr(cli, "_tool", lambda _: 0)
    assert cli.main(["bench", "--help"]) == 0


@pytest.mark.parametrize("command", ["test", "bench"])
def test_outside_a_clone_there_are_no_tests(command, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    for name in ("_prepare", "_tool", "install_for_tests"):
        monkeypatch.setattr(cli, name, lambda *_: pytest.fail("it went on"))
    assert cli.main([command]) == 1
    assert capsys.readouterr().err == (
        f"lab: the tests are in a clone of the project; run ./lab {command} there\n"
    )
