"""LABKIT_NO_SKIP: a run can't turn green by skipping."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """\
import pytest

def test_that_skips():
    pytest.skip("no kernel has this")

@pytest.mark.xfail
def test_that_is_known_to_fail():
    assert False

def test_that_passes():
    pass
"""


@pytest.mark.parametrize(
    ("environment", "status", "summary"),
    [
        ({}, 0, "1 passed, 1 skipped, 1 xfailed"),
        ({"LABKIT_NO_SKIP": "1"}, 1, "1 failed, 1 passed, 1 xfailed"),
    ],
)
def test_a_skip_is_a_failure_when_asked_for(environment, status, summary, tmp_path):
    (tmp_path / "test_it.py").write_text(TESTS)
    inherited = {k: v for k, v in os.environ.items() if k != "LABKIT_NO_SKIP"}
    words = ["-q", "-p", "tests.conftest", f"--rootdir={tmp_path}", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words],
        cwd=Path(__file__).parents[2],
        env=inherited | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert summary in done.stdout.splitlines()[-1]
    assert ("no kernel has this" in done.stdout) is bool(environment)
