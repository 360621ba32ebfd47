"""What labkit offers, its own docstring and the README agree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import labkit

ROOT = Path(__file__).parents[2]
LISTED = re.findall(r"^- ``(\w+)``: (.+)$", labkit.__doc__, flags=re.MULTILINE)


def test_the_docstring_lists_the_public_names_each_with_one_line():
    assert sorted(name for name, _ in LISTED) == sorted(labkit.__all__)
    assert all(line.endswith(".") for _, line in LISTED)


@pytest.mark.parametrize("name", labkit.__all__)
def test_a_public_name_is_there_and_has_a_docstring(name):
    thing = getattr(labkit, name)
    assert thing.__module__.startswith("labkit.")
    assert thing.__name__ == name
    assert thing.__doc__


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'lba'"):
        _ = labkit.lba


def test_the_readme_shows_every_notebook_and_no_other():
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| \[(\d\d) [^]]+\]\((\S+)\)", readme, flags=re.MULTILINE)
    there = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "notebooks").glob("*.ipynb"))
    assert there
    assert [link for _, link in rows] == there
    assert [number for number, _ in rows] == [Path(link).name[:2] for link in there]


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_to_files_that_are_there(document):
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / document).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_readme_shows_every_command():
    from labkit.cli import COMMANDS

    shown = re.findall(r"^\| `\./lab(?: (\w+))?", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {name or "lab" for name in shown} == set(COMMANDS)
