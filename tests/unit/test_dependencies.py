"""pyproject.toml, environment.yml and the imports name the same packages."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
CONDA_NAMES = {"docker": "docker-py"}  # where conda-forge's name is another one
MODULES = {"PIL": "pillow", "yaml": "pyyaml"}  # where the module's name is another one
PROGRAMS = {"jupyterlab", "nbval", "ruff"}  # run, not imported
FOUNDERS = {"jupyterlab", "ipywidgets", "docker", "matplotlib", "nbval"}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements() -> list[Requirement]:
    test = project()["optional-dependencies"]["test"]
    return [Requirement(line) for line in [*project()["dependencies"], *test]]


def conda() -> list[str | dict]:
    return yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]


def imported(folder: str) -> set[str]:
    """The packages that the modules of a folder import; the agent has the machine's own."""
    names = set()
    files = list((ROOT / folder).rglob("*.py"))
    for file in files:
        if file.is_relative_to(ROOT / "labkit" / "agent"):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.partition(".")[0])
    third = names - sys.stdlib_module_names - {file.stem for file in files} - {"labkit", "tests"}
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


def test_the_packages_the_founder_asked_for_are_there():
    assert {r.name for r in requirements()} >= FOUNDERS


def test_what_is_imported_is_declared_and_what_is_declared_is_used():
    declared = {Requirement(line).name for line in project()["dependencies"]}
    assert imported("labkit") - declared == set()
    assert declared - imported("labkit") - PROGRAMS == set()


def test_what_the_tests_import_is_declared_and_what_is_declared_for_them_is_used():
    declared = {r.name for r in requirements()}
    extra = {Requirement(line).name for line in project()["optional-dependencies"]["test"]}
    assert imported("tests") - declared == set()
    assert extra - imported("tests") - PROGRAMS == set()
