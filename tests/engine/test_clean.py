"""./lab clean: what a killed lab left goes, what a running lab uses stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from labkit import Lab, cli, leftovers
from labkit.machine import image
from tests.engine.conftest import gone_within


@pytest.fixture
def cached_elsewhere(tmp_path, monkeypatch):
    """A cache with a half-built image in it; the real one, and any engine, is out of reach."""
    real = image.ensure()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    half = tmp_path / "image-trixie-amd64-0123456789ab.part"
    half.mkdir()
    (half / "root.tar").write_bytes(b"x" * 100_000)
    (tmp_path / "thesis.txt").write_text("not labkit's")
    tests = Path(f"{tmp_path}-tests/ids/image-trixie")  # of a user that the tests make
    tests.mkdir(parents=True)
    yield real
    tests.parent.parent.rmdir()


def test_half_an_image_goes_and_what_is_not_labkits_stays(cached_elsewhere, tmp_path, capsys):
    assert cli.main(["clean"]) == 0
    out = capsys.readouterr().out
    assert f"removed {tmp_path}/image-trixie-amd64-0123456789ab.part (1" in out
    assert f"removed {tmp_path}-tests/ids (" in out
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert cli.main(["clean"]) == 0
    assert capsys.readouterr().out == "nothing to remove\n"


def test_a_running_lab_and_its_image_stay(cached_elsewhere, tmp_path, capsys):
    used = tmp_path / "image-used"
    used.symlink_to(cached_elsewhere)
    with Lab(hosts=1, image=used) as lab:
        os.utime(lab._channel.run, (0, 0))  # started long ago
        assert cli.main(["clean"]) == 0
        assert f"kept {used}: a running lab uses it" in capsys.readouterr().out
        assert lab.host1.sh("docker run --rm busybox echo alive") == "alive\n"
    assert used.exists()


def test_what_a_killed_lab_left_goes(cached_elsewhere, capsys):
    source = (
        "import pathlib, sys, labkit\n"
        "lab = labkit.Lab(hosts=1, image=pathlib.Path(sys.argv[1])).start()\n"
        "print(lab._channel.run, lab._channel._process.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    learner = subprocess.Popen(
        [sys.executable, "-c", source, str(cached_elsewhere)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        run, supervisor = learner.stdout.readline().split()
        os.kill(int(supervisor), signal.SIGKILL)  # root.sh: nobody is left to tidy up
    finally:
        learner.kill()
        learner.communicate()
    left = gone_within(Path(run), 1)
    assert left[0] == run
    assert len(left) > 1
    assert set(left[1:]) <= set(map(str, leftovers.cgroups(frozenset())))
    os.utime(run, (0, 0))  # killed long ago

    assert cli.main(["clean"]) == 0
    out = capsys.readouterr().out
    assert f"removed {run} (" in out
    for group in left[1:]:
        assert f"removed {group} (an empty cgroup)" in out
    assert gone_within(Path(run), 0) == []


def test_a_directory_that_a_lab_is_just_starting_in_stays():
    with tempfile.TemporaryDirectory(prefix="labkit-") as run:
        path = Path(run)
        assert path not in leftovers.run_directories(frozenset())
        os.utime(path, (0, 0))
        assert path in leftovers.run_directories(frozenset())
        assert path not in leftovers.run_directories(frozenset([run]))
        assert path not in leftovers.run_directories(frozenset([f"{run}/machine"]))


def test_a_cgroup_that_a_lab_is_just_starting_in_stays():
    group = leftovers._hierarchies()[-1] / "labkit.labkit-newborn"
    group.mkdir()
    try:
        assert group not in leftovers.cgroups(frozenset(["/run/user/0/labkit-newborn"]))
        assert group in leftovers.cgroups(frozenset(["/run/user/0/labkit-other"]))
        leftovers.remove_cgroup(group)
        assert not group.exists()
    finally:
        if group.exists():
            group.rmdir()


def test_a_cgroup_with_processes_that_are_not_seen_stays(monkeypatch, cached_elsewhere, capsys):
    with Lab(hosts=1, image=cached_elsewhere) as lab:
        name = f"labkit.{lab._channel.run.name}"
        ours = [path / name for path in leftovers._hierarchies() if (path / name).exists()]
        assert ours
        # As in a process id namespace of our own, and with no lab of others in sight.
        monkeypatch.setattr(leftovers, "words", frozenset)
        monkeypatch.setattr(leftovers, "run_directories", lambda used: [])
        monkeypatch.setattr(leftovers, "cgroups", lambda used: ours)
        assert cli.main(["clean"]) == 0
        out = capsys.readouterr().out
        for group in ours:
            assert f"kept {group}: device or resource busy\n" in out
        assert lab.host1.sh("docker run --rm busybox echo alive") == "alive\n"
