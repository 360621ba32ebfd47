"""./lab run on a notebook that has a lab."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from labkit import cli
from tests.engine.conftest import gone_within

START = """\
from labkit import Lab
lab = Lab(hosts=1).start()
_ = open("run", "w").write(str(lab._channel.run))
"""
NETWORKS = "lab.host1.sh('docker network ls --format {{.Name}}')"


def run(path, *sources: str) -> int:
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in sources]), path)
    return cli.main(["run", "--save", str(path)])


def test_a_notebook_with_a_lab_runs_and_its_real_output_is_stored(tmp_path):
    path = tmp_path / "lesson.ipynb"
    assert run(path, START, NETWORKS, "lab.stop()") == 0
    output = nbformat.read(path, 4).cells[1].outputs
    assert output == [{"name": "stdout", "output_type": "stream", "text": "bridge\nhost\nnone\n"}]
    assert gone_within(Path((tmp_path / "run").read_text()), 2) == []


def test_a_cell_that_fails_takes_its_lab_with_it(tmp_path, capsys):
    path = tmp_path / "lesson.ipynb"
    assert run(path, START, "lab.host1.sh('docker network inspect nowhere')") == 1
    err = capsys.readouterr().err
    assert "lesson.ipynb, code cell 2: CommandError: 'docker network inspect nowhere'" in err
    assert re.search("network nowhere not found|No such network: nowhere", err)  # 26.1, 20.10
    assert gone_within(Path((tmp_path / "run").read_text()), 2) == []
