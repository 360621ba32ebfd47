"""VirtualMachine: the machine image in QEMU, with a kernel of its own; needs no privilege at all.

It starts from a saved state in which two lab hosts run already: virtual_state.py makes it, once.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from labkit.machine import image as images
from labkit.machine import memory, virtual_image, virtual_state
from labkit.machine.privilege import CHROOT
from labkit.machine.progress import Steps
from labkit.machine.qemu import HOSTS_MEMORY, SYSTEMS, TRANSLATIONS, missing
from labkit.machine.recipe import recipe


class VirtualMachine:
    """QEMU as an ordinary process: hardware's help where it works, software emulation if not."""

    name, recorded = "virtual", ""
    privilege = CHROOT  # for building an image; booting one takes none

    def available(self) -> tuple[bool, str]:
        """Whether this machine can boot here, and why or why not, in words."""
        architecture = images.architecture()
        if architecture not in SYSTEMS:
            return False, f"no recipe for the {architecture} processor; use another computer"
        if sys.platform == "win32":
            return False, "this system is Windows; use labkit inside WSL"
        program = SYSTEMS[architecture].program
        if not shutil.which(program):
            return False, f"{program} not found; {missing(architecture)}"
        return True, f"{program} is there"

    def memory(self) -> int:
        """Bytes of memory that a lab's hosts may take: the guest's, if this computer has them."""
        return min(HOSTS_MEMORY, memory.available() - (TRANSLATIONS << 20))

    def prepare(self, engine: str, image: Path | None = None) -> Path:
        """The directory of the saved state, made first if it is not there.

        An image that is given boots afresh: its state would hardly be used again.
        """
        if image:
            with Steps() as say:
                return virtual_state.unsaved(virtual_image.make(image, say), say)
        if state := self.ready(engine):
            return state
        with Steps() as say:
            form = self._form(engine) or virtual_image.make(images.ensure(engine), say)
            return virtual_state.make(form, say)

    def ready(self, engine: str) -> Path | None:
        """What ``prepare`` gives, if nothing has to be made for it."""
        form = self._form(engine)
        return form and virtual_state.find(form)

    def _form(self, engine: str) -> Path | None:
        """The image's form for QEMU: it is enough, what it was made from may be gone by now."""
        name = recipe(engine).name(images.architecture())
        return next(iter(sorted(images.cache().glob(f"{name}*.virtual"))), None)

    def command(self, image: Path, run: Path) -> list[str]:
        """The command whose standard input and output are the agent's.

        Args:
            image: the directory that ``prepare`` gave.
            run: the directory of the lab's sockets; removed when the machine has gone.
        """
        return virtual_state.restore(image, run)
