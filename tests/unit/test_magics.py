"""The cell magic %%host in a real IPython shell, with nodes that only note what they are told."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from labkit import magics
from labkit.errors import CommandError, LabStopped, UsageError


class Node:
    def __init__(self):
        self.calls = []

    def sh(self, command, check=True):
        self.calls.append((command, check))
        if check and command.startswith("false"):
            raise CommandError("host1", command, 1, "", "")


class Lab:
    def __init__(self):
        self.nodes = {"host1": Node(), "outside": Node()}

    def node(self, name):
        if name not in self.nodes:
            raise UsageError(f"there is no {name!r} in this lab; there are host1, outside")
        return self.nodes[name]


@pytest.fixture
def lab(monkeypatch):
    made = Lab()
    monkeypatch.setattr(magics.labs, "current", lambda: made)
    return made


@pytest.fixture(scope="module")
def shell():
    shell = InteractiveShell.instance()
    magics.load_ipython_extension(shell)
    yield shell
    InteractiveShell.clear_instance()


def run(shell, cell):
    return shell.run_cell(cell, store_history=False)


def test_the_body_runs_on_the_node(shell, lab):
    assert run(shell, "%%host host1\nip link\nip addr\n").success
    assert lab.nodes["host1"].calls == [("ip link\nip addr\n", True)]


def test_any_node_of_the_lab_has_a_shell(shell, lab):
    run(shell, "%%host outside\ncurl host1\n")
    assert lab.nodes["outside"].calls == [("curl host1\n", True)]


@pytest.mark.parametrize("line", ["-n host1", "host1 -n", "host1 --no-check", "-n host1 # a note"])
def test_a_failing_command_may_be_wanted(shell, lab, line):
    assert run(shell, f"%%host {line}\nfalse\n").success
    assert lab.nodes["host1"].calls == [("false\n", False)]


def test_braces_and_dollars_are_the_shells_own(shell, lab):
    shell.user_ns["name"] = "python's"
    body = "echo {name} $name ${name} '{{.Name}}'\n"
    run(shell, f"%%host host1\n{body}")
    assert lab.nodes["host1"].calls == [(body, True)]


def test_the_cell_has_no_value(shell, lab):
    assert run(shell, "%%host host1\ntrue\n").result is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "write %%host NODE"),
        ("host7", "there is no 'host7' in this lab; there are host1, outside"),
        ("host1 web", "write %%host NODE"),
        ("host1 --quiet", "write %%host NODE"),
        ("host1 'web", "write %%host NODE"),
    ],
)
def test_a_first_line_that_makes_no_sense_is_answered(shell, lab, line, says):
    result = run(shell, f"%%host {line}\ntrue\n")
    assert isinstance(result.error_in_exec, UsageError)
    assert says in str(result.error_in_exec)
    assert all(not node.calls for node in lab.nodes.values())


def test_an_error_shows_as_one_sentence(shell, lab, capsys):
    result = run(shell, "%%host host1\nfalse\n")
    assert isinstance(result.error_in_exec, CommandError)
    out = capsys.readouterr().out
    assert out == "CommandError: 'false' on host1 ended with status 1: it printed nothing\n"


def test_with_no_lab_it_says_how_to_start_one(shell, monkeypatch):
    monkeypatch.setattr(magics.labs, "_running", [])
    result = run(shell, "%%host host1\ntrue\n")
    assert isinstance(result.error_in_exec, LabStopped)
    assert "Lab(hosts=1).start()" in str(result.error_in_exec)


def test_outside_ipython_there_is_nothing_to_register(monkeypatch):
    monkeypatch.setattr(magics, "get_ipython", lambda: None)
    magics.register()


def test_an_unknown_name_in_a_cell_is_told_what_to_run_first(shell, capsys):
    magics.load_ipython_extension(shell)
    shell.run_cell("laab.host1")
    said = capsys.readouterr()
    assert "'laab' is not known here" in said.out + said.err
    assert "Run All Above" in said.out + said.err
    assert "Traceback" not in said.out + said.err


def test_something_that_is_not_there_yet_is_told_too(shell, capsys):
    magics.load_ipython_extension(shell)
    shell.run_cell("cable = None\ncable.master")
    said = capsys.readouterr()
    assert "asks for its 'master' is not there" in said.out + said.err
    shell.run_cell("'text'.master")
    said = capsys.readouterr()
    assert "Traceback" in said.out + said.err


def test_an_unknown_name_in_a_module_keeps_its_traceback(shell, capsys, tmp_path, monkeypatch):
    magics.load_ipython_extension(shell)
    (tmp_path / "slip.py").write_text("def f():\n    return laab\n")
    monkeypatch.syspath_prepend(tmp_path)
    shell.run_cell("import slip; slip.f()")
    said = capsys.readouterr()
    assert "slip.py" in said.out + said.err
    assert "Run All Above" not in said.out + said.err


class Watched(Node):
    """A lab host whose network is said to have changed once its block ends."""

    class Change:
        diff = None

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.diff = "+ interface cable0"

    def watch(self):
        return self.Change()


@pytest.fixture
def watched(lab):
    lab.nodes["host1"] = Watched()
    lab.hosts = (lab.nodes["host1"],)
    lab.nodes["host1"].name, lab.nodes["outside"].name = "host1", "outside"
    return lab.nodes["host1"]


@pytest.mark.parametrize(("body", "fails"), [("true\n", False), ("false\n", True)])
def test_a_watched_cell_runs_and_shows_what_changed(shell, watched, capsys, body, fails):
    result = run(shell, f"%%watch host1\n{body}")
    assert watched.calls == [(body, True)]
    assert isinstance(result.error_in_exec, CommandError) == fails
    assert capsys.readouterr().out.startswith("'+ interface cable0'\n")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "write %%watch HOST"),
        ("host1 --quiet", "write %%watch HOST"),
        ("host7", "there is no 'host7' in this lab"),
        ("outside", "outside is no lab host, so it cannot be watched; there are host1"),
    ],
)
def test_only_a_lab_host_can_be_watched(shell, watched, lab, line, says):
    result = run(shell, f"%%watch {line}\ntrue\n")
    assert isinstance(result.error_in_exec, UsageError)
    assert says in str(result.error_in_exec)
    assert not watched.calls
