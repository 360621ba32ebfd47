"""Building the image, with a mmdebstrap that only pretends: stages, interrupts, errors, locks."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from labkit.errors import ImageError
from labkit.machine import builder, image, prerequisites
from labkit.machine.privilege import CHROOT, MANY_IDS, ONE_ID_ONLY, ROOT, SUDO, Privilege
from labkit.machine.progress import Steps

PRETEND = """#!/bin/sh
for result; do :; done
case $result in *://*) exit 9 ;; esac
echo "I: downloading packages with apt..."
eval "$PRETEND"
case $result in
    *.tar) echo tar > "$result" ;;
    *) mkdir "$result"; echo tree > "$result/file" ;;
esac
echo "I: success in 0.1 seconds"
"""


class NoNamespaces(Privilege):
    """What runs, runs here: as nobody in particular."""

    def inside(self):
        return ()


@pytest.fixture
def says():
    """The steps that a build told of."""
    return []


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty cache, a mmdebstrap that pretends, and a lab that bakes nothing."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "mmdebstrap").write_text(PRETEND)
    (programs / "mmdebstrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LABKIT_MIRROR", raising=False)
    monkeypatch.setenv("PRETEND", "true")
    machine = SimpleNamespace(name="root", privilege=NoNamespaces())
    monkeypatch.setattr(image, "booter", lambda: machine)
    monkeypatch.setattr(prerequisites, "missing", lambda *_: ())
    monkeypatch.setattr(image, "_bake", lambda machine, root, toolbox, say: None)
    return tmp_path / "cache"


def build(says):
    return image.ensure("26.1", lambda *step: says.append(step))


def test_image_takes_its_place_whole_and_nothing_else_stays(place, says):
    assert image.find("26.1") is None
    path = build(says)
    assert path == image.find("26.1")
    assert (path / "file").read_text() == "tree\n"
    assert {p.name for p in place.iterdir()} == {path.name, "lock"}
    assert ("Debian trixie", "downloading packages with apt", builder.STEPS) in says
    assert ("toolbox", "done", builder.STEPS) in says


def test_second_call_builds_nothing_and_needs_nothing(place, says, monkeypatch):
    first = build(says)
    says.clear()
    monkeypatch.setattr(prerequisites, "missing", lambda *_: ("mmdebstrap",))
    assert build(says) == first
    assert says == []


def test_image_of_another_recipe_is_not_found(place, says, monkeypatch):
    build(says)
    monkeypatch.setattr("labkit.machine.recipe.UNWANTED", ("/usr/share/zoneinfo/*",))
    assert image.find("26.1") is None


def test_finished_stage_is_kept_when_the_other_fails(place, says, monkeypatch):
    monkeypatch.setenv(
        "PRETEND", 'case $result in *.tar) ;; *) sleep 0.5; echo "E: no"; exit 1; esac'
    )
    with pytest.raises(ImageError, match="mmdebstrap could not make the machine image: no"):
        build(says)
    assert image.find("26.1") is None
    assert [p.name for p in place.glob("*.part/*.tar")] == ["toolbox.tar"]
    says.clear()
    monkeypatch.setenv("PRETEND", "true")
    build(says)
    assert {job for job, *_ in says} == {"Debian trixie"}, "toolbox was not made again"


def test_half_a_tree_of_a_killed_build_is_not_taken_for_a_whole_one(place, says):
    from labkit.machine.recipe import recipe

    part = place / f"{recipe('26.1').name(image.architecture())}.part"
    (part / "half.root").mkdir(parents=True)
    (part / "half.root" / "leftover").touch()
    path = build(says)
    assert [p.name for p in path.iterdir()] == ["file"]


def test_failing_job_ends_the_other_one(place, says, monkeypatch):
    monkeypatch.setenv(
        "PRETEND", 'case $result in *.tar) echo "E: no"; exit 1 ;; *) exec sleep 60; esac'
    )
    begin = time.monotonic()
    with pytest.raises(ImageError):
        build(says)
    assert time.monotonic() - begin < 10


def test_interrupt_ends_in_one_sentence_and_no_process(place, says, monkeypatch):
    monkeypatch.setenv("PRETEND", "exec sleep 61.25")
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(ImageError, match=r"interrupted; what was finished is kept"):
        build(says)
    assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if b"61.25" in _read(p)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_two_builds_at_once_make_one_image(place, says, monkeypatch):
    monkeypatch.setenv("PRETEND", "sleep 0.5")
    results = []
    threads = [threading.Thread(target=lambda: results.append(build(says))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(results) == 2
    assert results[0] == results[1]
    assert [s for s in says if s[0] == "waiting"]
    assert len([s for s in says if s == ("toolbox", "done", builder.STEPS)]) == 1


def test_build_waits_for_one_in_another_process(place, says):
    place.mkdir()
    script = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
        "print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(place / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        other.stdout.readline()
        thread = threading.Thread(target=build, args=(says,))
        thread.start()
        time.sleep(0.5)
        assert [s[0] for s in says] == ["waiting"]
        assert image.find("26.1") is None
        other.stdin.close()
        thread.join(20)
    assert image.find("26.1")


def test_too_small_a_disk_is_said_before_anything_is_downloaded(place, says, monkeypatch):
    monkeypatch.setattr(image.shutil, "disk_usage", lambda _: SimpleNamespace(free=900_000_000))
    with pytest.raises(ImageError, match=r"needs 2.1 GB of disk and .* has 0.9 GB free"):
        build(says)
    assert says == []


def test_disk_that_fills_up_outside_mmdebstrap(place, says, monkeypatch):
    def fill(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(image, "_bake", fill)
    with pytest.raises(ImageError, match=r"disk filled up .* the finished part is kept"):
        build(says)


def test_cache_that_can_not_be_written(place, says, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(ImageError, match=r"could not be written: .*Not a directory"):
        build(says)


def test_missing_mmdebstrap_says_what_to_type(place, says, monkeypatch):
    monkeypatch.setattr(prerequisites, "missing", lambda *_: ("mmdebstrap",))
    monkeypatch.setattr(prerequisites, "is_debian", lambda: True)
    monkeypatch.setattr(prerequisites, "installable", lambda: False)
    with pytest.raises(ImageError, match="lacks mmdebstrap: run: apt-get install mmdebstrap"):
        build(says)


def test_who_has_no_way_to_build_is_told_the_ways(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    none = SimpleNamespace(name="user", privilege=None, available=lambda: (False, "forbidden"))
    monkeypatch.setattr("labkit.machine.MACHINES", (none, SimpleNamespace(name="other")))
    with pytest.raises(ImageError, match=r"needs root, passwordless sudo or .*\(user: forbidden\)"):
        image.ensure("26.1", lambda *_: None)
    assert image.find("26.1") is None
    assert not (tmp_path / "cache").exists()


def test_root_without_namespaces_builds_where_the_virtual_machine_can_boot(monkeypatch):
    """As in a step of a Dockerfile: chroot(2) is allowed, namespaces(7) are not."""
    here = SimpleNamespace(name="root", privilege=ROOT, available=lambda: (False, "no namespaces"))
    virtual = SimpleNamespace(name="virtual", privilege=CHROOT, available=lambda: (True, "QEMU"))
    monkeypatch.setattr("labkit.machine.MACHINES", (here, virtual))
    monkeypatch.setattr(Privilege, "refusal", lambda way: "")
    assert image.booter() is virtual
    assert CHROOT.shell() == ()
    monkeypatch.setattr(Privilege, "refusal", lambda way: "chroot: not permitted")
    with pytest.raises(ImageError, match=r"root: no namespaces; virtual: chroot: not permitted"):
        image.booter()


def test_an_image_that_root_builds_without_namespaces_is_the_image_that_root_builds():
    from labkit.machine.recipe import recipe

    assert image.place(recipe("26.1"), CHROOT) == image.place(recipe("26.1"), ROOT)


def test_steps_within_steps_join_them(capsys):
    with Steps(Console()) as outer, Steps(Console()) as inner:
        inner("tea", "done", 1)
        assert inner is outer
    with Steps(Console()) as after:
        assert after is not outer


def test_images_with_other_owners_lie_apart(place):
    from labkit.machine.recipe import recipe

    wanted = recipe("26.1")
    names = {image.place(wanted, way).name for way in (ROOT, MANY_IDS, ONE_ID_ONLY)}
    assert len(names) == 3
    assert image.place(wanted, SUDO) == image.place(wanted, ROOT)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (
            [
                "Err:1 http://mirror.invalid/debian trixie InRelease",
                "  Temporary failure resolving 'mirror.invalid'",
                "E: apt-get update --error-on=any -oAPT::Status-Fd=<$fd> failed: E: ...",
            ],
            "could not be fetched (Temporary failure resolving 'mirror.invalid')",
        ),
        (
            [
                "E: Failed to fetch http://mirror.invalid/x.deb  Could not connect to mirror",
                "E: run_chroot failed",
            ],
            "could not be fetched (Failed to fetch http://mirror.invalid/x.deb",
        ),
        (
            ["dpkg: error processing archive: No space left on device", "E: mmdebstrap failed"],
            "the disk filled up",
        ),
        (
            ["I: running apt-get update...", "E: Unable to locate package nosuch", "W: more"],
            "mmdebstrap could not make the machine image: Unable to locate package nosuch",
        ),
        (["I: automatically chosen mode: root", ""], "I: automatically chosen mode: root"),
        ([], "it said nothing"),
    ],
)
def test_failures_are_explained_in_one_sentence(lines, sentence):
    message = str(builder.explain("mmdebstrap", lines))
    assert sentence in message
    assert "\n" not in message


def test_mirror_and_keyring_reach_mmdebstrap(monkeypatch, tmp_path):
    job = builder.Job("toolbox", ("--variant=essential",), "trixie", tmp_path / "t")
    monkeypatch.delenv("LABKIT_MIRROR", raising=False)
    monkeypatch.setattr(builder, "KEYRING", tmp_path / "none")
    assert builder.mmdebstrap(ROOT, job, job.result) == (
        "mmdebstrap", "--mode=root", "--variant=essential", "trixie", str(job.result),
    )  # fmt: skip
    (tmp_path / "keys").touch()
    monkeypatch.setattr(builder, "KEYRING", tmp_path / "keys")
    monkeypatch.setenv("LABKIT_MIRROR", "http://mirror.invalid/debian")
    assert builder.mmdebstrap(ROOT, job, job.result) == (
        "mmdebstrap", "--mode=root", f"--keyring={tmp_path}/keys", "--variant=essential", "trixie",
        str(job.result), "http://mirror.invalid/debian",
    )  # fmt: skip


def test_user_namespace_leaves_out_what_it_can_not_mount(tmp_path):
    job = builder.Job("toolbox", (), "trixie", tmp_path / "t")
    many, one = (builder.mmdebstrap(way, job, job.result)[2] for way in (MANY_IDS, ONE_ID_ONLY))
    assert many == "--skip=output/dev,chroot/mount/sys"
    assert one == "--skip=output/dev,chroot/mount/sys,chroot/mount/dev"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("ID=debian\n", True),
        ('ID=ubuntu\nID_LIKE=debian\nNAME="Ubuntu"\n', True),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', True),
        ('ID=fedora\nNAME="Not debian"\n', False),
        ("", False),
    ],
)
def test_children_of_debian_are_known_by_os_release(tmp_path, text, answer):
    (tmp_path / "os-release").write_text(text)
    assert prerequisites.is_debian(tmp_path / "os-release") is answer


def test_system_without_os_release_is_not_debian(tmp_path):
    assert not prerequisites.is_debian(tmp_path / "none")


APT = """#!/bin/sh
echo "$@" >> "{log}"
[ "$1" != "$FAILS" ] || {{ echo "E: first"; echo "E: Unable to locate package" >&2; exit 100; }}
"""


@pytest.fixture
def apt(tmp_path, monkeypatch):
    """A system of Debian's kind that lacks two packages; the log of what apt-get was asked."""
    programs, log = tmp_path / "programs", tmp_path / "log"
    programs.mkdir()
    (programs / "apt-get").write_text(APT.format(log=log))
    (programs / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(prerequisites, "missing", lambda *_: ("mmdebstrap", "tar"))
    monkeypatch.setattr(prerequisites, "is_debian", lambda: True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return log


def test_root_on_debian_gets_the_missing_packages_and_is_told(apt):
    said = []
    prerequisites.install(said.append)
    assert said == ["installing mmdebstrap, tar with apt-get"]
    update, install = apt.read_text().splitlines()
    assert update.split()[0] == "update"
    assert install.endswith(" mmdebstrap tar")


def test_stale_package_lists_do_not_stop_the_installation(apt, monkeypatch):
    monkeypatch.setenv("FAILS", "update")
    prerequisites.install(lambda _: None)
    assert len(apt.read_text().splitlines()) == 2


def test_failed_installation_quotes_apt(apt, monkeypatch):
    monkeypatch.setenv("FAILS", "install")
    with pytest.raises(ImageError, match=r"mmdebstrap, tar: E: Unable to locate package$"):
        prerequisites.install(lambda _: None)


def test_user_on_debian_is_told_what_to_type(apt, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ImageError, match=r"lacks mmdebstrap, tar: run: apt-get install mmdebstrap"):
        prerequisites.install(lambda _: None)
    assert not apt.exists()


def test_root_elsewhere_is_told_what_to_install(apt, monkeypatch):
    monkeypatch.setattr(prerequisites, "is_debian", lambda: False)
    with pytest.raises(ImageError, match="your system's package manager"):
        prerequisites.install(lambda _: None)
    assert not apt.exists()


@pytest.fixture
def nothing_there(monkeypatch):
    every = lambda programs: tuple(sorted(programs.values()))  # noqa: E731
    monkeypatch.setattr(prerequisites, "missing", every)
    monkeypatch.setattr(prerequisites, "installable", lambda: True)


def test_what_the_tests_need_is_installed_and_that_is_said(apt, nothing_there):
    said = []
    prerequisites.install_for_tests({"chromium": "chromium"}, said.append)
    assert said == ["installing chromium with apt-get"]
    assert apt.read_text().splitlines()[1].endswith(" --no-install-recommends chromium")


def test_without_what_some_tests_need_the_others_go_on(apt, nothing_there, monkeypatch):
    monkeypatch.setenv("FAILS", "install")
    said = []
    prerequisites.install_for_tests({"chromium": "chromium", "sudo": "sudo"}, said.append)
    assert [s.partition(":")[0] for s in said[1::2]] == ["some tests are skipped"] * 2
    assert "apt-get could not install sudo" in said[3]


def test_what_is_there_and_what_nobody_can_install_is_left_alone(apt, nothing_there, monkeypatch):
    monkeypatch.setattr(prerequisites, "installable", lambda: False)
    prerequisites.install_for_tests({"sudo": "sudo"}, lambda _: pytest.fail("it spoke"))
    monkeypatch.setattr(prerequisites, "missing", lambda _: ())
    monkeypatch.setattr(prerequisites, "installable", lambda: True)
    prerequisites.install_for_tests({"sudo": "sudo"}, lambda _: pytest.fail("it spoke"))
    assert not apt.exists()


def test_nothing_missing_means_nothing_done(apt, monkeypatch):
    monkeypatch.setattr(prerequisites, "missing", lambda *_: ())
    prerequisites.install(lambda _: pytest.fail("it spoke"))
    assert not apt.exists()


def test_missing_packages_are_found_by_their_programs(monkeypatch):
    monkeypatch.setattr(prerequisites.shutil, "which", lambda name, path=None: None)
    assert set(prerequisites.PROGRAMS.values()) <= set(prerequisites.missing())


def test_a_missing_library_is_found_by_its_name():
    there, absent = {"libc.so.6": "libc6"}, {"libnone.so.1": "libnone1"}
    assert "libc6" not in prerequisites.missing(there)
    assert "libnone1" in prerequisites.missing(absent)


def test_steps_are_lines_in_a_log_and_bars_on_a_terminal(capsys):
    with Steps(Console(file=io.StringIO(), force_terminal=False)) as steps:
        steps("toolbox", "extracting archives", 7)
    assert capsys.readouterr().out == "[  0 s] toolbox: extracting archives\n"
    terminal = io.StringIO()
    with Steps(Console(file=terminal, force_terminal=True, width=100)) as steps:
        steps("toolbox", "extracting archives", 7)
        steps("toolbox", "done", 7)
    assert "toolbox" in terminal.getvalue()
    assert "done" in terminal.getvalue()
    assert capsys.readouterr().out == ""
