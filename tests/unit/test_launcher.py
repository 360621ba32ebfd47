"""The script ./lab, with programs on its PATH that only write down how they were called."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("sh", "dirname", "cksum", "cat", "cp", "mkdir", "flock")

PYTHON = """\
#!/bin/sh
echo "${0##*/} $*" >> "$CALLS"
case "$*" in
    "-c import sys; sys.exit"*) exit "${OLD:-0}" ;;
    "-c import ensurepip, venv") [ -e "$INSTALLED" ] ;;
    "-c import sys; print"*) echo 3.11 ;;
    "-m venv"*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
    "-m pip"*) exit "${PIP_FAILS:-0}" ;;
    "-P -m labkit"*) shift 3; for word; do echo "<$word>"; done ;;
esac
"""
APT = """\
#!/bin/sh
echo "apt-get $*" >> "$CALLS"
case "$*" in *install*) : > "$INSTALLED" ;; esac
"""


@dataclass
class Clone:
    """A clone of the project with just the launcher in it."""

    root: Path
    environment: dict[str, str]

    @property
    def bin(self) -> Path:
        return Path(self.environment["PATH"])

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(self.root / "lab"), *words],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=20,
        )

    def calls(self, beginning: str) -> list[str]:
        """The calls since last asked that begin like this."""
        file = Path(self.environment["CALLS"])
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [line for line in lines if line.startswith(beginning)]


@pytest.fixture
def clone(tmp_path) -> Clone:
    root, programs = tmp_path / "a clone", tmp_path / "bin"
    root.mkdir()
    programs.mkdir()
    shutil.copy(ROOT / "lab", root)
    (root / "pyproject.toml").write_text("[project]\n")
    for name in NEEDED:
        os.symlink(shutil.which(name), programs / name)
    environment = {
        "PATH": str(programs),
        "CALLS": str(tmp_path / "calls"),
        "INSTALLED": str(tmp_path / "installed"),
    }
    made = Clone(root, environment)
    made.program("id", "#!/bin/sh\necho 1000\n")
    made.program("python3", PYTHON)
    (tmp_path / "installed").touch()
    return made


def test_the_first_run_makes_a_venv_and_later_ones_start_at_once(clone):
    first = clone.run("doctor", "a b")
    assert first.returncode == 0
    assert first.stdout == "<doctor>\n<a b>\n"
    assert first.stderr.startswith("lab: installing labkit and JupyterLab into .venv")
    assert len(clone.calls("python -m pip")) == 1

    second = clone.run("doctor")
    assert (second.stdout, second.stderr) == ("<doctor>\n", "")
    assert clone.calls("python -m pip") == []


def test_a_changed_pyproject_is_installed_again(clone):
    clone.run()
    (clone.root / "pyproject.toml").write_text("[project] # changed\n")
    clone.calls("")
    clone.run()
    assert len(clone.calls("python -m pip")) == 1


def test_a_clone_that_was_moved_is_installed_again(clone):
    clone.run()
    clone.calls("")
    clone.root = clone.root.rename(clone.root.with_name("moved"))
    clone.run()
    assert len(clone.calls("python -m pip")) == 1


@pytest.mark.parametrize("command", ["test", "bench"])
def test_only_the_tests_and_the_benches_bring_the_test_tools(command, clone):
    clone.run()
    assert not any("[test]" in call for call in clone.calls("python -m pip"))
    clone.run(command)
    (call,) = clone.calls("python -m pip")
    assert call.endswith(f"--editable {clone.root}[test]")
    clone.run(command)
    assert clone.calls("python -m pip") == []


def test_an_install_that_failed_is_done_again(clone):
    failed = clone.run(PIP_FAILS="1")
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("lab: pip could not install labkit")
    assert failed.stdout == ""
    assert clone.run("help").stdout == "<help>\n"


def test_a_venv_that_is_half_made_is_made_again(clone):
    (clone.root / ".venv" / "bin").mkdir(parents=True)
    assert clone.run("help").stdout == "<help>\n"
    assert len(clone.calls("python3 -m venv --clear")) == 1


def test_an_old_python_ends_in_one_sentence(clone):
    done = clone.run(OLD="1")
    assert done.returncode == 1
    assert done.stderr == (
        "lab: Python 3.11 or newer was not found; "
        "install it, or name it: PYTHON=/path/to/python3 ./lab\n"
    )


def test_a_python_of_ones_own_is_taken(clone):
    clone.program("python3", "#!/bin/sh\nexit 1\n")
    clone.program("mine", PYTHON)
    assert clone.run("help", PYTHON="mine").stdout == "<help>\n"


def test_a_missing_venv_module_ends_in_one_sentence(clone):
    Path(clone.environment["INSTALLED"]).unlink()
    done = clone.run()
    assert done.returncode == 1
    assert done.stderr == (
        "lab: python3 has no venv module; install it "
        "(on Debian and Ubuntu: apt install python3-venv), then run ./lab again\n"
    )


def test_root_on_debian_gets_the_venv_module_and_is_told(clone):
    Path(clone.environment["INSTALLED"]).unlink()
    clone.program("apt-get", APT)
    clone.program("id", "#!/bin/sh\necho 0\n")
    done = clone.run("help")
    assert done.stdout == "<help>\n"
    assert done.stderr.startswith("lab: installing python3.11-venv with apt-get\n")
    assert clone.calls("apt-get -qq -y install") == ["apt-get -qq -y install python3.11-venv"]
