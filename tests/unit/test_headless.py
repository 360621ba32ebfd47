"""./lab run on notebooks that need no lab: what is written, what is said, what is left alone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from labkit import cli
from labkit.stored import digest


@pytest.fixture(autouse=True)
def prepared(monkeypatch):
    monkeypatch.setattr(cli, "_prepare", lambda *_: None)


@pytest.fixture
def notebook(tmp_path):
    """Write a notebook with these code cells; where it is."""

    def write(*sources: str, name: str = "lesson.ipynb") -> Path:
        cells = [new_markdown_cell("# A lesson"), *map(new_code_cell, sources)]
        path = tmp_path / name
        nbformat.write(new_notebook(cells=cells), path)
        return path

    return write


def test_a_notebook_that_runs_is_left_as_it_was(notebook, capsys):
    path = notebook("print(6 * 7)", "import os; assert os.path.exists('lesson.ipynb')")
    before = path.read_bytes()
    assert cli.main(["run", str(path)]) == 0
    assert path.read_bytes() == before
    assert "lesson.ipynb" in capsys.readouterr().err


def test_a_failing_cell_is_shown_and_the_other_notebooks_run(notebook, tmp_path, capsys):
    bad = notebook("a = 1", "", "a / 0  # the culprit", "never = 1", name="bad.ipynb")
    good = notebook("open('ran', 'w').close()", name="good.ipynb")
    assert cli.main(["run", str(bad), str(good)]) == 1
    err = capsys.readouterr().err
    assert "a / 0  # the culprit" in err
    assert "bad.ipynb, code cell 2: ZeroDivisionError: division by zero" in err
    assert (tmp_path / "ran").exists()


def test_a_cell_that_is_meant_to_fail_does_not_stop_it(notebook):
    path = notebook("1 / 0")
    stored = nbformat.read(path, 4)
    stored.cells[1].metadata["tags"] = ["raises-exception"]
    nbformat.write(stored, path)
    assert cli.main(["run", str(path)]) == 0


def test_a_dead_kernel_is_a_failed_cell(notebook, capsys):
    assert cli.main(["run", str(notebook("import os", "os._exit(1)"))]) == 1
    assert "code cell 2: the kernel died" in capsys.readouterr().err


def test_save_stores_outputs_and_no_metadata_of_this_run(notebook):
    path = notebook("import sys\nprint(1)\nsys.stdout.flush()\nprint(2)", "6 * 7")
    stored = nbformat.read(path, 4)
    stored.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    stored.cells[1].metadata.update(tags=["kept"], collapsed=True)
    nbformat.write(stored, path)
    ids = [cell.id for cell in stored.cells]

    assert cli.main(["run", "--save", str(path)]) == 0
    first = path.read_bytes()
    saved = nbformat.read(path, 4)
    assert saved.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "labkit": {"ran": digest(saved)},
    }
    assert [cell.id for cell in saved.cells] == ids
    assert saved.cells[1].metadata == {"tags": ["kept"]}
    assert saved.cells[1].outputs == [{"name": "stdout", "output_type": "stream", "text": "1\n2\n"}]
    assert saved.cells[2].outputs[0]["data"] == {"text/plain": "42"}
    assert [cell.get("execution_count") for cell in saved.cells] == [None, 1, 2]

    assert cli.main(["run", "--save", str(path)]) == 0
    assert path.read_bytes() == first


def test_a_widget_is_saved_and_exported_as_what_it_shows_without_a_kernel(notebook, tmp_path):
    path = notebook("import ipywidgets\nipywidgets.IntSlider(7)")
    assert cli.main(["run", "--save", "--html", str(tmp_path), str(path)]) == 0
    assert list(nbformat.read(path, 4).cells[1].outputs[0]["data"]) == ["text/plain"]
    page = (tmp_path / "lesson.html").read_text()
    assert "IntSlider(value=7)" in page
    assert "widget-view" not in page


def test_a_failed_notebook_is_not_saved(notebook):
    path = notebook("print(1)", "1 / 0")
    before = path.read_bytes()
    assert cli.main(["run", "--save", str(path)]) == 1
    assert path.read_bytes() == before


def test_html_has_the_outputs_of_a_failed_notebook_too(notebook, tmp_path):
    path = notebook("print('forty' + 'two')", "1 / 0")
    pages = tmp_path / "new" / "pages"
    assert cli.main(["run", "--html", str(pages), str(path)]) == 1
    page = (pages / "lesson.html").read_text()
    assert "fortytwo" in page
    assert "ZeroDivisionError" in page


@pytest.mark.parametrize(
    ("text", "reason"),
    [(None, "there is no notebook"), ("{", "cannot be read as a notebook"), ("[]", "cannot be")],
)
def test_what_is_no_notebook_ends_in_one_sentence(text, reason, tmp_path, capsys):
    path = tmp_path / "none.ipynb"
    if text is not None:
        path.write_text(text)
    assert cli.main(["run", str(path)]) == 1
    err = capsys.readouterr().err
    assert reason in err
    assert err.count("\n") == 1


def test_a_place_that_cannot_be_written_ends_in_one_sentence(notebook, tmp_path, capsys):
    (tmp_path / "pages").write_text("a file, not a folder")
    assert cli.main(["run", "--html", str(tmp_path / "pages"), str(notebook("1"))]) == 1
    assert "pages" in capsys.readouterr().err.splitlines()[-1]


def test_ctrl_c_ends_the_kernel_too_and_quietly(notebook, tmp_path):
    path = notebook(
        "import os, pathlib, time",
        "pathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(60)",
    )
    words = (
        "import sys; from labkit import cli; cli._prepare = lambda *_: None; sys.exit(cli.main())"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", words, "run", str(path)], stderr=subprocess.PIPE, text=True
    )
    try:
        pid, end = "", time.monotonic() + 120
        while not pid and time.monotonic() < end:
            time.sleep(0.1)
            with contextlib.suppress(FileNotFoundError):
                pid = (tmp_path / "pid").read_text()
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=120)
    finally:
        running.kill()
    assert running.returncode == 130
    assert "Traceback" not in err
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
