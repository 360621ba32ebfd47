"""QEMU's command line for a virtual machine, and which of its accelerators this computer has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import MachineError
from labkit.machine.prerequisites import is_debian

MEMORY = 768  # MiB of the guest
HOSTS_MEMORY = 512 << 20  # bytes of it for lab hosts: the rest is its kernel and the agent
TRANSLATIONS = 256  # MiB of translated code that software emulation keeps
TRIAL = "labkit.trial"
TRIAL_PASSED = b"labkit: this kernel runs"
PATIENCE = 5  # seconds for that trial

# What a kernel spends on guarding against its users, it spends ten times over in software
# emulation. Whoever can reach this one is its root already, and its door is QEMU.
# On a loaded computer emulated timers come late: their check at boot would end in a panic, and a
# later one in a slow clock.
KERNEL = (
    "quiet", "panic=-1", "mitigations=off", "nokaslr", "norandmaps", "init_on_alloc=0", "audit=0",
    "nowatchdog", "rcupdate.rcu_expedited=1", "rcupdate.rcu_cpu_stall_suppress=1",
    "random.trust_cpu=on", "no_timer_check", "tsc=reliable", "psi=0",
)  # fmt: skip


@dataclass(frozen=True)
class System:
    """QEMU for one processor architecture: its program, machine, serial console and packages."""

    program: str
    machine: str
    emulated: str  # the processor that is quickest to emulate
    console: str
    package: str
    kernel: str


SYSTEMS = {
    # An HPET that the guest has turned off still wakes QEMU 10, 250 times a second.
    "amd64": System(
        "qemu-system-x86_64", "pc,hpet=off", "qemu64", "ttyS0", "qemu-system-x86",
        "linux-image-cloud-amd64",
    ),
    "arm64": System(
        "qemu-system-aarch64", "virt", "cortex-a72", "ttyAMA0", "qemu-system-arm",
        "linux-image-cloud-arm64",
    ),
}  # fmt: skip


def packages(architecture: str) -> dict[str, str]:
    """The emulator of that processor, and the Debian package that brings it."""
    return {s.program: s.package for name, s in SYSTEMS.items() if name == architecture}


def missing(architecture: str) -> str:
    """What a person types to get QEMU."""
    if sys.platform == "darwin":
        return "run: brew install qemu"
    package = SYSTEMS[architecture].package
    if is_debian():
        return f"run, as root: apt-get install --no-install-recommends {package}"
    return f"install QEMU with your system's package manager (Debian's name: {package})"


def version(system: System) -> tuple[str, tuple[int, int]]:
    """QEMU's version in full, and as two numbers."""
    done = subprocess.run(
        (system.program, "--version"), capture_output=True, text=True, check=False
    )
    first = done.stdout.partition("\n")[0]
    numbers = re.search(r"version (\d+)\.(\d+)", first)
    if not numbers:
        raise MachineError(f"{system.program} --version says {first or done.stderr.strip()!r}")
    return first, (int(numbers[1]), int(numbers[2]))


def accelerators() -> tuple[str, ...]:
    """What this computer offers, best first; whether it works only a trial tells."""
    if sys.platform == "darwin":
        return ("hvf", "tcg")
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        return ("kvm", "tcg")
    return ("tcg",)


def works(system: System, accelerator: str, kernel: Path, ramdisk: Path) -> bool:
    """Whether the kernel boots with that accelerator, tried for real."""
    words = command(system, accelerator, 1, kernel, ramdisk, ("-m", "256"), TRIAL)
    words += ["-chardev", "file,id=console,path=/dev/stderr"]
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:  # it stands still: the processor met what it can't run
        return False
    return TRIAL_PASSED in done.stderr


def command(
    system: System,
    accelerator: str,
    processors: int,
    kernel: Path,
    ramdisk: Path,
    memory: tuple[str, ...],
    *words: str,
) -> list[str]:
    """A QEMU that shows no window, keeps no file and boots that kernel.

    ``memory`` is the options that give it some; ``words`` are more for the kernel.
    """
    accel, cpu = accelerator, "host"
    if accelerator == "tcg":
        accel, cpu = f"tcg,tb-size={TRANSLATIONS}", system.emulated
    return [
        shutil.which(system.program) or system.program,
        *("-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"),
        *("-machine", system.machine, "-accel", accel, "-cpu", cpu),
        *("-smp", str(processors), *memory),
        *("-kernel", str(kernel), "-initrd", str(ramdisk)),
        *("-append", " ".join((f"console={system.console}", *KERNEL, *words))),
        *("-serial", "chardev:console"),
    ]  # fmt: skip


def devices(squashfs: Path) -> list[str]:
    """The image's disk, and the ports of the agent and of the clock."""
    return [
        *("-drive", f"if=none,id=image,file={squashfs},format=raw,readonly=on,file.locking=off"),
        *("-device", "virtio-blk-pci,drive=image", "-device", "virtio-serial-pci"),
        *("-chardev", "stdio,id=agent,signal=off"),
        *("-device", "virtserialport,chardev=agent,nr=1"),
        *("-device", "virtserialport,chardev=clock,nr=2"),
        *("-chardev", "file,id=console,path=/dev/stderr"),
    ]  # fmt: skip


def ram(file: Path, access: str, size: int = MEMORY) -> tuple[str, ...]:
    """Memory that is a file, so that a saved state is mapped, not read.

    ``access`` is "share=on" to write the file, "share=off" to keep one's changes to oneself;
    ``size`` is in MiB.
    """
    return (
        *("-m", f"{size}M", "-machine", "memory-backend=ram"),
        "-object", f"memory-backend-file,id=ram,size={size}M,mem-path={file},{access}",
    )  # fmt: skip
