"""The virtual machine without a QEMU: what is said, what a state depends on, who tidies up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import MachineError, UsageError
from labkit.machine import memory, qemu, virtual_image, virtual_state
from labkit.machine.qemu import SYSTEMS
from labkit.machine.virtual import VirtualMachine

SYSTEM = SYSTEMS["amd64"]


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Put a shell script in QEMU's place."""

    def place(script: str) -> None:
        for system in SYSTEMS.values():
            program = tmp_path / system.program
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return place


def test_missing_qemu_is_said_with_the_package_that_brings_it(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda program: None)
    monkeypatch.setattr("labkit.machine.image.architecture", lambda: "amd64")
    monkeypatch.setattr(qemu, "is_debian", lambda: True)
    able, why = VirtualMachine().available()
    assert not able
    assert why == (
        "qemu-system-x86_64 not found; run, as root: "
        "apt-get install --no-install-recommends qemu-system-x86"
    )
    monkeypatch.setattr("sys.platform", "darwin")
    assert VirtualMachine().available()[1].endswith("run: brew install qemu")


def test_processor_without_a_recipe(monkeypatch):
    monkeypatch.setattr("labkit.machine.image.architecture", lambda: "riscv64")
    able, why = VirtualMachine().available()
    assert not able
    assert "riscv64" in why


def test_version(fake):
    fake("echo 'QEMU emulator version 8.2.2 (Debian 1:8.2.2)'")
    assert qemu.version(SYSTEM) == ("QEMU emulator version 8.2.2 (Debian 1:8.2.2)", (8, 2))
    fake("echo 'cannot open shared object file' >&2; exit 127")
    with pytest.raises(MachineError, match="cannot open shared object"):
        qemu.version(SYSTEM)


@pytest.mark.parametrize(
    ("script", "works"),
    [
        (f"echo '{qemu.TRIAL_PASSED.decode()}' >&2", True),
        ("echo 'failed to set MSR 0x10a' >&2; exit 1", False),
        ("exec sleep 100", False),
    ],
)
def test_an_accelerator_is_tried_not_believed(fake, monkeypatch, script, works):
    monkeypatch.setattr(qemu, "PATIENCE", 1)
    fake(script)
    assert qemu.works(SYSTEM, "kvm", Path("kernel"), Path("initrd")) is works


def state(form: Path) -> Path:
    """A saved state of today, as whole as it needs to be to be found."""
    made = form / f"state-{virtual_state._key()}"
    made.mkdir()
    for name in virtual_state.FILES:
        (made / name).write_text(name)
    how = {"accelerator": "tcg", "tried": ["tcg"], "sizes": virtual_state._sizes(made)}
    (made / "how.json").write_text(json.dumps(how))
    return made


@pytest.fixture
def made(fake, monkeypatch, tmp_path) -> Path:
    """A state that fits: made in software emulation, where there is nothing better."""
    fake("echo 'QEMU emulator version 7.2.22'")
    monkeypatch.setattr(qemu, "accelerators", lambda: ("tcg",))
    made = state(tmp_path)
    assert virtual_state.find(tmp_path) == made
    return made


def test_state_that_is_cut_short_is_made_again(made):
    os.truncate(made / "devices", 0)
    assert virtual_state.find(made.parent) is None
    (made / "devices").unlink()
    assert virtual_state.find(made.parent) is None


def test_state_of_another_qemu_does_not_fit(made, fake):
    fake("echo 'QEMU emulator version 8.2.2'")
    assert virtual_state.find(made.parent) is None


def test_state_made_before_a_better_accelerator_was_there_does_not_fit(made, monkeypatch):
    monkeypatch.setattr(qemu, "accelerators", lambda: ("kvm", "tcg"))
    assert virtual_state.find(made.parent) is None
    how = json.loads((made / "how.json").read_text())
    (made / "how.json").write_text(json.dumps({**how, "tried": ["kvm", "tcg"]}))
    assert virtual_state.find(made.parent) == made  # it was tried, and does not work
    monkeypatch.setattr(qemu, "accelerators", lambda: ("tcg",))
    assert virtual_state.find(made.parent) == made
    (made / "how.json").write_text(json.dumps({**how, "accelerator": "kvm"}))
    assert virtual_state.find(made.parent) is None


@pytest.fixture
def form(tmp_path, monkeypatch) -> Path:
    """An image's form for QEMU that has no more in it than the making of a state asks for."""
    monkeypatch.setattr(qemu, "accelerators", lambda: ("tcg",))
    (tmp_path / "form/modules").mkdir(parents=True)
    busybox = tmp_path / "form/busybox"
    busybox.write_text("#!/bin/sh\ncat > /dev/null\n")
    busybox.chmod(0o755)
    return tmp_path / "form"


def test_guest_that_panics_while_its_state_is_made_is_booted_again(fake, form, capfd):
    panic = "Kernel panic - not syncing: IO-APIC + timer doesn't work!"
    fake(f'[ "$1" = --version ] && exec echo "QEMU emulator version 7.2.22"; echo "{panic}" >&2')
    said = []
    with pytest.raises(MachineError, match=r"could not be made in 3 attempts.*Kernel panic - not"):
        virtual_state.make(form, lambda job, step, steps: said.append(step))
    assert len([step for step in said if step.startswith("trying again: ")]) == 2
    assert len([step for step in said if step.startswith("booting")]) == 3
    assert not [*form.glob("*state-*")]


@pytest.mark.parametrize(
    ("version", "readonly"), [((7, 2), False), ((8, 2), True), ((10, 0), True)]
)
def test_memory_file_is_opened_for_reading_alone_where_qemu_can(
    monkeypatch, tmp_path, version, readonly
):
    (tmp_path / "how.json").write_text('{"accelerator": "tcg", "processors": 2}')
    monkeypatch.setattr(qemu, "version", lambda system: ("", version))
    words = virtual_state.restore(tmp_path, Path("run"))
    (memory,) = [word for word in words if word.startswith("memory-backend-file")]
    assert "share=off" in memory
    assert ("readonly=on,rom=off" in memory) is readonly


def test_machine_without_a_saved_state_boots_and_keeps_its_memory_to_itself(tmp_path):
    """So boots an image that is half built: a state of it would not be used again."""
    folder = tmp_path / "unsaved-0"
    folder.mkdir()
    (folder / "how.json").write_text('{"accelerator": "tcg", "processors": 1}')
    words = virtual_state.restore(folder, tmp_path / "run")
    assert words[4] == "-", "nothing is restored"
    assert f"mem-path={folder}/ram,share=off" in " ".join(words)


def test_image_that_is_none(tmp_path):
    with pytest.raises(MachineError, match="is no machine image"):
        virtual_image.release(tmp_path)


def outside(
    tmp_path: Path, script: str, before: str = "", saved: str = "", stderr: int | None = None
) -> subprocess.Popen:
    """The program outside of QEMU, with a script in QEMU's place."""
    words = [
        str(tmp_path / "run"),
        str(tmp_path / saved) if saved else "-",
        "sh",
        "-c",
        script,
        "sh",
    ]
    if saved:
        (tmp_path / saved).mkdir()
    program = (
        "import runpy, sys\n"
        f"sys.argv[1:] = {words!r}\n"
        f"names = runpy.run_path({str(virtual_state.OUTSIDE)!r})['main'].__globals__\n"
        f"{before}\n"
        "sys.exit(names['main']())"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
    )


def gone(path: Path) -> bool:
    """Whether that is so within ten seconds."""
    end = time.monotonic() + 10
    while path.exists() and time.monotonic() < end:
        time.sleep(0.01)
    return not path.exists()


def test_learner_who_goes_takes_qemu_along(tmp_path):
    machine = outside(tmp_path, "echo $$; exec sleep 1000")
    qemu_process = Path("/proc", machine.stdout.readline().decode().strip())
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    machine.stdin.close()
    assert gone(qemu_process)
    machine.wait(10)
    assert not (tmp_path / "run").exists()
    machine.stdout.close()


def test_qemu_that_ends_leaves_no_directory(tmp_path):
    machine = outside(tmp_path, "exit 3")
    assert machine.wait(10) == 3
    assert not (tmp_path / "run").exists()
    machine.stdin.close()
    machine.stdout.close()


@pytest.mark.parametrize(
    ("saved", "said"),
    [("saved", b"could not be restored"), ("", b"its state was not saved within 0 seconds")],
)
def test_restoring_or_making_that_never_ends_is_given_up(tmp_path, saved, said):
    quick = "names.update(RESTORE=0, MAKE=0, LOOK=0.01)"
    program = outside(tmp_path, "exec sleep 1000", quick, saved, stderr=subprocess.PIPE)
    program.stdin.write(b"%08d" % 4 + b"code")
    program.stdin.flush()
    assert program.wait(20)
    assert said in program.stderr.read()
    assert not (tmp_path / "saved").exists()
    assert not (tmp_path / "run").exists()
    for file in (program.stdin, program.stdout, program.stderr):
        file.close()


def test_more_hosts_than_the_guest_has_room_for(fake, monkeypatch):
    fake("echo 'QEMU emulator version 7.2.22'")
    monkeypatch.setattr("labkit.machine.image.architecture", lambda: "amd64")
    monkeypatch.setattr(memory, "available", lambda: 64 << 30)
    with pytest.raises(UsageError, match="hosts=5: the virtual machine has room for 4 "):
        Lab(hosts=5, machine="virtual").start()
    monkeypatch.setattr(memory, "available", lambda: 300 << 20)
    with pytest.raises(UsageError, match="hosts=1: the virtual machine has room for 0 "):
        Lab(hosts=1, machine="virtual").start()


def test_what_waits_for_a_time_in_an_unused_machine_goes_on_after_a_nap(tmp_path):
    quick = "names.update(UNUSED=0, LOOK=0.3, NAP=0.01)"
    machine = outside(tmp_path, "sleep 1; echo done; exec sleep 1000", quick)
    assert machine.stdout.readline() == b"done\n"
    machine.stdin.close()
    machine.wait(10)
    machine.stdout.close()


def test_unused_machine_stands_still_until_it_is_spoken_to(tmp_path):
    quick = "names.update(UNUSED=0, LOOK=0.01)"
    machine = outside(tmp_path, 'echo $$; while read -r line; do echo "$line"; done', quick)
    status = Path("/proc", machine.stdout.readline().decode().strip(), "stat")
    end = time.monotonic() + 10
    while status.read_text().rpartition(")")[2].split()[0] != "T" and time.monotonic() < end:
        time.sleep(0.01)
    assert status.read_text().rpartition(")")[2].split()[0] == "T"
    machine.stdin.write(b"hello\n")
    machine.stdin.flush()
    assert machine.stdout.readline() == b"hello\n"
    machine.stdin.close()
    assert gone(status)
    machine.wait(10)
    machine.stdout.close()
