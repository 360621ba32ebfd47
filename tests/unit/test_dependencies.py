"""pyproject.toml, environment.yml and the imports name the same packages."""

from __future__ import annotations

import ast
import json
import sys
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
# where conda-forge's name is another one
CONDA_NAMES = {"docker": "docker-py", "playwright": "playwright-python"}
# where the module's name is another one
MODULES = {"PIL": "pillow", "websocket": "websocket-client", "yaml": "pyyaml"}
PROGRAMS = {"pytest-xdist", "jupyterlab", "mypy", "nbval", "ruff"}  # run, not imported
PROGRAMS |= {"paramiko"}  # imported by docker-py, for an engine at ssh://
CORE = {"jupyterlab", "ipywidgets", "docker", "matplotlib", "nbval"}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements() -> list[Requirement]:
    test = project()["optional-dependencies"]["test"]
    return [Requirement(line) for line in [*project()["dependencies"], *test]]


def conda() -> list[str | dict]:
    return yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]


def sources(folder: str) -> dict[Path, list[str]]:
    """The Python texts of a folder's modules and notebooks; the agent has the machine's own."""
    agent = ROOT / "labkit" / "agent"
    modules = {p: [p.read_text()] for p in (ROOT / folder).rglob("*.py") if agent not in p.parents}
    cells = {p: json.loads(p.read_text())["cells"] for p in (ROOT / folder).glob("*.ipynb")}
    code = {p: ["".join(c["source"]) for c in some if c["cell_type"] == "code"]
            for p, some in cells.items()}  # fmt: skip
    return modules | {p: [t for t in texts if not t.startswith("%%")] for p, texts in code.items()}


def imported(folder: str) -> set[str]:
    """The packages of others that a folder's modules and notebooks import."""
    names = set()
    found = sources(folder)
    for node in (
        n for texts in found.values() for text in texts for n in ast.walk(ast.parse(text))
    ):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.partition(".")[0])
    own = {name for file in found for name in (file.stem, file.parent.name)} | {"labkit", "tests"}
    third = names - sys.stdlib_module_names - own
    return {MODULES.get(name, name.lower().replace("_", "-")) for name in third}


def test_conda_and_pip_users_get_the_same_packages_in_the_same_bounds():
    lines = [p for p in conda() if isinstance(p, str) and not p.startswith(("python=", "pip"))]
    ours = {r.name: r.specifier for r in map(Requirement, lines)}
    theirs = {CONDA_NAMES.get(r.name, r.name): r.specifier for r in requirements()}
    assert ours == theirs
    assert {"pip": ["-e ."]} in conda()


def test_the_conda_python_is_one_that_labkit_accepts():
    version = next(p for p in conda() if isinstance(p, str) and p.startswith("python="))
    accepted = Requirement(f"python{project()['requires-python']}").specifier
    assert accepted.contains(version.partition("=")[2])


def test_every_dependency_is_bounded_on_both_sides():
    for requirement in requirements():
        assert {s.operator for s in requirement.specifier} == {">=", "<"}, str(requirement)


def test_the_packages_that_the_project_stands_on_are_there():
    assert {r.name for r in requirements()} >= CORE


def test_what_is_imported_is_declared_and_what_is_declared_is_used():
    declared = {Requirement(line).name for line in project()["dependencies"]}
    used = imported("labkit") | imported("notebooks")
    assert used - declared == set()
    assert declared - used - PROGRAMS == set()


def test_what_the_tests_import_is_declared_and_what_is_declared_for_them_is_used():
    declared = {r.name for r in requirements()}
    extra = {Requirement(line).name for line in project()["optional-dependencies"]["test"]}
    assert imported("tests") - declared == set()
    assert extra - imported("tests") - PROGRAMS == set()
