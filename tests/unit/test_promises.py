"""What the notebooks promise, as `./lab promises` tells it."""

from pathlib import Path

import nbformat
import pytest

from labkit import cli
from labkit.promises import promises

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9]*.ipynb"))


def test_promises_are_read_from_the_cells_metadata(tmp_path):
    cells = [
        nbformat.v4.new_code_cell("first\nsecond", id="one", metadata={"shows": ["a", "b"]}),
        nbformat.v4.new_markdown_cell("text", id="two", metadata={"shows": ["never"]}),
        nbformat.v4.new_code_cell("third", id="three"),
    ]
    path = tmp_path / "00-x.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    found = [(p.notebook, p.text, p.cell, p.first) for p in promises(path)]
    assert found == [("00-x", "a", "one", "first"), ("00-x", "b", "one", "first")]


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_notebook_keeps_its_promises_in_sections_that_can_fail(path):
    found = {promise.cell: promise for promise in promises(path)}
    assert found
    asserts = ("claim(", ".grade(", ".check()")
    promised, kept = [], set()
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            promised = []
        if cell.id in found:
            promised.append(cell.id)
        if cell.cell_type == "code" and any(word in cell.source for word in asserts):
            kept.update(promised)
    assert kept == found.keys()


def test_the_command_prints_a_table(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["promises"]) == 0
    out = capsys.readouterr().out
    assert "00-start-here" in out
