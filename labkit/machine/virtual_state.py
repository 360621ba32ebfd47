"""The saved state of a virtual machine: two lab hosts and a station, running, and nothing else yet.

Made once by booting it, and kept beside what it was booted from: ``state-KEY/`` with ``ram``, the
guest's memory as a file which QEMU maps (pages that nobody touches are never read), ``devices``,
the rest of the state, and ``how.json``, the accelerator and processors that it was made with. A
state fits one version of QEMU, of the agent and of the boot scripts: the key changes with them. The
one before stays, for who goes from one version to another and back.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from labkit.channel import Channel, agent_sources
from labkit.errors import MachineError
from labkit.machine import builder, qemu
from labkit.machine.image import alone, architecture

HERE = Path(__file__).parent
OUTSIDE, INIT = HERE / "virtual-outside.py", HERE / "virtual-init.sh"
INNER = HERE / "namespaces-inner.sh"
FILES = ("ram", "devices", "initrd")
HOSTS, STATIONS = 2, 1
ATTEMPTS = 3  # an emulated kernel on a loaded computer may panic, for what comes late
UNSAVED = "unsaved"
UNSAVED_MEMORY = 1280  # MiB: half of it is the most that an engine's files may take (tmpfs(5))
WARMING = """\
docker run --detach --name warm --publish 80:80 nginx && docker exec warm true && curl localhost
docker run --rm busybox true && docker rm --force warm
"""


def find(form: Path) -> Path | None:
    """The state that fits today's QEMU, agent and accelerators, if it has been made."""
    state = form / f"state-{_key()}"
    return state if _fits(state) else None


def _fits(state: Path) -> bool:
    """Whether its files are whole, its accelerator is here, and no better one than were tried."""
    try:
        how, here = _how(state), qemu.accelerators()
        fits = how["accelerator"] in here and set(here) <= set(how["tried"])
        return fits and _sizes(state) == how["sizes"]
    except (OSError, ValueError, KeyError):
        return False


def _sizes(state: Path) -> dict[str, int]:
    return {name: (state / name).stat().st_size for name in FILES}


def make(form: Path, say: builder.Say) -> Path:
    """Boot the machine, build a lab in it and save that. Takes about a minute in emulation.

    MachineError when that fails time and again.
    """
    state = form / f"state-{_key()}"
    half = form / f"half.{state.name}"
    with alone(form / "lock", say):
        if _fits(state):  # somebody else made it while we waited
            return state
        kept = sorted(form.glob("state-*"), key=lambda path: path.stat().st_mtime)[-1:]
        for old in {*form.glob("state-*"), *form.glob("half.state-*")} - {*kept} | {state}:
            shutil.rmtree(old, ignore_errors=True)
        half.mkdir()
        how = _ready_to_boot(form, half, say)
        for attempt in range(1, ATTEMPTS + 1):
            say("virtual machine", f"booting it once ({how['accelerator']})", 7)
            try:
                _boot_and_save(form, half, say)
                break
            except (MachineError, OSError) as error:
                if attempt == ATTEMPTS:
                    shutil.rmtree(half)
                    raise MachineError(
                        f"the virtual machine's saved state could not be made in {ATTEMPTS} "
                        f"attempts, the last one ended so: {error}"
                    ) from error
                say("virtual machine", f"trying again: {error}", 7)
        (half / "how.json").write_text(json.dumps({**how, "sizes": _sizes(half)}))
        half.rename(state)
        say("virtual machine", "done", 7)
    return state


def _boot_and_save(form: Path, half: Path, say: builder.Say) -> None:
    """One attempt: boot, build a lab, run a container, save it all in ``half``."""
    (half / "ram").unlink(missing_ok=True)  # an earlier attempt's is no fresh memory
    channel = Channel(lambda run: _boot(form, half, run))
    try:
        say("virtual machine", "starting the engines", 7)
        channel.call("build", hosts=HOSTS, stations=STATIONS)
        say("virtual machine", "running a container once", 7)
        _warm(channel)
        say("virtual machine", "saving its state", 7)
        _save(channel.run / "monitor.sock", half / "devices")
    finally:
        channel.close()


def _ready_to_boot(form: Path, folder: Path, say: builder.Say) -> dict[str, Any]:
    """Make the initial RAM disk there, and find out how to boot, which is noted there."""
    system = qemu.SYSTEMS[architecture()]
    _ramdisk(form, folder / "initrd")
    kernel, ramdisk = form / "kernel", folder / "initrd"
    say("virtual machine", "trying the accelerators", 7)
    accelerator = next(
        name
        for name in qemu.accelerators()
        if name == "tcg" or qemu.works(system, name, kernel, ramdisk)
    )
    how = {
        "accelerator": accelerator,
        "tried": qemu.accelerators(),
        # Emulated, a second one makes a container's start no quicker (2.13 s, with one 2.19), and
        # QEMU 7.2's emulation of two at once has now and then been the end of the guest's kernel.
        "processors": 1 if accelerator == "tcg" else min(2, _processors()),
    }
    (folder / "how.json").write_text(json.dumps(how))
    return how


def unsaved(form: Path, say: builder.Say) -> Path:
    """What ``restore`` boots afresh: for an image that is booted once, such as one half built."""
    folder = form / f"{UNSAVED}-{_key()}"
    with alone(form / "lock", say):
        if not (folder / "how.json").exists():  # the last file that is written
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            _ready_to_boot(form, folder, say)
    return folder


def _warm(channel: Channel) -> None:
    """Have in memory what a container's start reads; the host that did it is made anew.

    Reading takes longest: the kernel decompresses each block, in emulation.
    """
    host = f"host{HOSTS}"
    channel.call("execute", node=host, script=WARMING, raw=True)
    channel.call("observe", node=host)
    for hosts in (HOSTS - 1, HOSTS):
        channel.call("build", hosts=hosts, stations=STATIONS)


def restore(state: Path, run: Path) -> list[str]:
    """The command that starts a machine from its saved state, or boots one that has none."""
    how = _how(state)
    if state.name.startswith(UNSAVED):
        return [*_outside(run), *_qemu(state.parent, state, how, "share=off", UNSAVED_MEMORY)]
    _, version = qemu.version(qemu.SYSTEMS[architecture()])
    # From 8.2 on QEMU can map the file without the right to write it.
    access = "share=off,readonly=on,rom=off" if version >= (8, 2) else "share=off"
    return [*_outside(run, state), *_qemu(state.parent, state, how, access)]


def _boot(form: Path, state: Path, run: Path) -> list[str]:
    monitor = ("-qmp", f"unix:{run}/monitor.sock,server=on,wait=off")
    return [*_outside(run), *_qemu(form, state, _how(state), "share=on"), *monitor]


def _outside(run: Path, state: Path | None = None) -> list[str]:
    return [sys.executable, "-I", str(OUTSIDE), str(run), str(state or "-")]


def _qemu(form: Path, state: Path, how: dict, access: str, size: int = qemu.MEMORY) -> list[str]:
    system = qemu.SYSTEMS[architecture()]
    memory = qemu.ram(state / "ram", access, size)
    parts = (how["accelerator"], how["processors"], form / "kernel", state / "initrd", memory)
    return [*qemu.command(system, *parts), *qemu.devices(form / "image.squashfs")]


def _how(state: Path) -> dict:
    return json.loads((state / "how.json").read_text())


def _key() -> str:
    """Twelve digits that change with all that a state depends on."""
    digest = hashlib.sha256(agent_sources())
    for file in (INIT, INNER, Path(qemu.__file__)):
        digest.update(file.read_bytes())
    text, _ = qemu.version(qemu.SYSTEMS[architecture()])
    digest.update(text.encode())
    return digest.hexdigest()[:12]


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _ramdisk(form: Path, result: Path) -> None:
    """The initial RAM disk: busybox, modules, and the first script that the kernel runs."""
    tree = result.with_name("initrd.tree")
    shutil.copytree(form / "modules", tree / "modules")
    for folder in ("bin", "dev", "proc", "image"):
        (tree / folder).mkdir()
    shutil.copy(form / "busybox", tree / "bin")
    shutil.copy(INIT, tree / "init")
    (tree / "init").chmod(0o755)
    shutil.copy(INNER, tree / "inner.sh")
    names = "\n".join(str(p.relative_to(tree)) for p in sorted(tree.rglob("*")))
    with open(result, "wb") as file:
        subprocess.run(
            (form / "busybox", "cpio", "-o", "-H", "newc", "-R", "0:0"),
            input=names.encode(),
            stdout=file,
            stderr=subprocess.DEVNULL,
            cwd=tree,
            check=True,
        )
    shutil.rmtree(tree)


def _save(monitor: Path, devices: Path) -> None:
    """Have QEMU write its state, but for the memory, which is a file already; then it ends."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(monitor))
        lines = connection.makefile("r")
        lines.readline()  # its greeting

        def tell(command: str, **arguments: object) -> dict:
            text = json.dumps({"execute": command, "arguments": arguments})
            connection.sendall(text.encode() + b"\n")
            for line in lines:
                answer = json.loads(line)
                if "error" in answer:
                    raise MachineError(f"QEMU refused {command}: {answer['error']['desc']}")
                if "return" in answer:
                    return answer["return"]
            raise MachineError(f"QEMU ended at {command}")

        tell("qmp_capabilities")
        ram_apart = {"capability": "x-ignore-shared", "state": True}
        tell("migrate-set-capabilities", capabilities=[ram_apart])
        tell("migrate", uri=f"exec:cat > '{devices}'")
        while (status := tell("query-migrate").get("status")) not in ("completed", "failed"):
            time.sleep(0.02)
        if status == "failed":
            raise MachineError("QEMU could not save the virtual machine's state")
        tell("quit")
