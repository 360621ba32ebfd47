"""The engine generation that this run does not use: a short part of its own tests."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from labkit.cli import OF_AN_OLDER_ENGINE, ROOT
from labkit.machine.recipe import RECIPES, generation

OTHER = next(recipe.engine for recipe in RECIPES if recipe.engine != generation())


@pytest.mark.parametrize(
    "what", ["tests/engine/test_fixed_set.py", "notebooks/01-the-default-bridge.ipynb"]
)
def test_it_does_the_same(what):
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--color=no"]
    done = subprocess.run(
        [sys.executable, *tests, *OF_AN_OLDER_ENGINE, what],
        cwd=ROOT,
        env={**os.environ, "LABKIT_ENGINE": OTHER},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
