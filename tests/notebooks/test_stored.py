"""The stored notebooks: complete, with outputs that nbval can compare, and it does compare them."""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from labkit import stored

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[p.stem for p in NOTEBOOKS])


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [c for c in nbformat.read(path, 4).cells if c.cell_type == "code" and c.source.strip()]


def text(path: Path) -> str:
    return "\n".join(c.source for c in nbformat.read(path, 4).cells)


def test_the_notebooks_are_there():
    assert [p.stem[:2] for p in NOTEBOOKS] == [f"{number:02}" for number in range(13)]


@each_notebook
def test_the_outputs_are_there_and_of_this_code(path):
    assert stored.complaint(path) is None  # nbval skips a cell with no count


def test_outputs_that_are_not_there_or_of_other_code_are_told(tmp_path):
    notebook = nbformat.read(NOTEBOOKS[0], 4)
    copy = tmp_path / "a.ipynb"
    cell = next(c for c in notebook.cells if c.cell_type == "code")
    for change, says in (
        (lambda: cell.update(source=cell.source + " "), "not the code that its outputs are of"),
        (lambda: cell.update(execution_count=None), "not every cell was run once and in order"),
    ):
        change()
        nbformat.write(notebook, copy)
        command = [sys.executable, "-m", "labkit.stored", str(copy), str(NOTEBOOKS[1])]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, says in done.stdout) == (1, True), done
        assert f"run ./lab run --save {copy}" in done.stdout
        assert len(done.stdout.splitlines()) == 1


@each_notebook
def test_no_cell_ended_in_an_error_and_none_is_exempt(path):
    for cell in code_cells(path):
        assert [o for o in cell.outputs if o.output_type == "error"] == []
        assert cell.metadata.get("tags", []) == []  # nbval's tags turn the comparison off
        assert "NBVAL" not in cell.source


@each_notebook
def test_metadata_holds_nothing_of_the_author(path):
    notebook = nbformat.read(path, 4)
    assert set(notebook.metadata) == {"kernelspec", "language_info", "labkit"}
    assert notebook.metadata.language_info == {"name": "python"}


@each_notebook
def test_a_lesson_has_all_its_parts(path):
    sources = [c.source for c in code_cells(path)]
    title = nbformat.read(path, 4).cells[0].source
    assert [part for part in ("You will", "You will learn", "You need") if part not in title] == []
    assert sum(".grade(" in s for s in sources) >= 2
    assert sum("claim(" in s for s in sources) >= 3
    assert any(".check()" in s for s in sources)
    assert any("topology(" in s for s in sources)
    assert "lesson.progress" in sources
    assert sources[-1].startswith("lab.stop()")


@each_notebook
def test_every_prediction_is_graded_and_every_exercise_checked(path):
    sources = "\n".join(c.source for c in code_cells(path))
    lesson = re.search(r"from labkit.lessons import (\w+) as lesson", sources)[1]
    module = __import__(f"labkit.lessons.{lesson}", fromlist=["progress"])
    names = {id(v): k for k, v in vars(module).items()}
    for item in module.progress.items:
        name = names[id(item)]
        assert re.search(rf"^lesson\.{name}$", sources, re.M), f"{name} is never shown"
        verb = "grade" if hasattr(item, "grade") else "check"
        assert f"lesson.{name}.{verb}(" in sources, f"{name} is never answered"


@each_notebook
def test_links_lead_somewhere(path):
    anchors = re.findall(r'<a id="([^"]+)">', (path.parent / "glossary.md").read_text())
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text(path))
    assert links
    for file, anchor in links:
        assert (path.parent / file).exists(), file
        assert not anchor or anchor in anchors, anchor


def nbval(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-rf", "--color=no", "-p", "no:cacheprovider"),
            *("--nbval", "--nbval-current-env", "--nbval-cell-timeout=120"),
            f"--nbval-sanitize-with={Path(__file__).with_name('sanitize.cfg')}",
            path.name,
        ],
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )


@each_notebook
def test_no_output_is_of_a_widget_that_went_with_its_kernel(path):
    assert "widget-view" not in path.read_text()


def test_a_changed_output_turns_nbval_red(tmp_path):
    """One of each kind: what a command prints, what a claim prints, what a cell's value shows."""
    notebook = nbformat.read(NOTEBOOKS[0], 4)
    cells = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    changed = []

    def change(cell_id: str, old: str, new: str) -> None:
        number, cell = next((n, c) for n, c in enumerate(cells) if c.id == cell_id)
        output = cell.outputs[0]
        if output.output_type == "stream":
            assert old in output.text
            output.text = output.text.replace(old, new)
        else:
            assert old in output.data["text/plain"]
            output.data["text/plain"] = output.data["text/plain"].replace(old, new)
        changed.append(number)

    change("three-run", "null", "nul")
    change("three-claims", "scope local", "scope global")
    change("map", "0 containers", "1 container")
    copy = tmp_path / "changed.ipynb"
    nbformat.write(notebook, copy)
    result = nbval(copy)
    red = [int(n) for n in re.findall(r"^FAILED .*::Cell (\d+)", result.stdout, re.M)]
    assert red == sorted(changed), result.stdout


def test_the_notebooks_lead_from_one_to_the_next():
    last = {path: nbformat.read(path, 4).cells[-1].source for path in NOTEBOOKS}
    for before, after in itertools.pairwise(NOTEBOOKS):
        assert f"]({after.name})" in last[before]
        assert f"]({before.name})" in last[after]
