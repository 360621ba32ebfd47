"""The doctor: which machines can run here, what the kernel has, what to do about each "no"."""

from __future__ import annotations

import io
import json
import platform
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from labkit.errors import LabError
from labkit.machine import MACHINES, REPLAY, Machine, image, prerequisites
from labkit.machine.capabilities import Capability, capabilities
from labkit.machine.recipe import RECIPES

BY_LAB = "./lab installs it"
HERE = ("root", "user")  # the machines that run on this computer's kernel


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report: a thing, whether it is there, why, what to do if not."""

    name: str
    present: bool
    why: str
    remedy: str = ""


@dataclass(frozen=True)
class Report:
    """What the doctor found."""

    system: str
    machines: tuple[Finding, ...]
    kernel: tuple[Capability, ...]
    programs: tuple[Finding, ...]
    images: tuple[Finding, ...]

    @property
    def choice(self) -> str:
        """The name of the machine that a lab gets here: the best that can boot; empty for none."""
        bootable = (m.name for m in self.machines if m.present and m.name != REPLAY.name)
        return next(bootable, "")

    @property
    def obstacles(self) -> tuple[str, ...]:
        """What keeps a lab from running; an image that is not built yet does not, alone."""
        if self.choice and self.choice not in HERE:  # it has another kernel, and other programs
            return ()
        found = [c.name for c in self.kernel if c.needed and not c.present]
        if not self.choice:
            found.insert(0, "no machine can boot")
        if not any(i.present for i in self.images):
            found += [p.name for p in self.programs if not p.present and p.remedy != BY_LAB]
        return tuple(found)

    @property
    def ok(self) -> bool:
        """Whether a lab can run here."""
        return not self.obstacles

    def json(self) -> str:
        """The report for programs."""
        return json.dumps({"ok": self.ok, "obstacles": self.obstacles, **asdict(self)}, indent=1)

    def text(self, width: int | None = None) -> str:
        """The report for people: a table, and the verdict; in colour on a terminal."""
        screen = Console()
        text = io.StringIO()
        console = Console(file=text, width=width or screen.width, force_terminal=screen.is_terminal)
        table = Table(title=self.system, title_justify="left", show_lines=False)
        table.add_column("", no_wrap=True)
        table.add_column("here", no_wrap=True)
        table.add_column("why", overflow="fold")
        table.add_column("what to do", overflow="fold")
        groups: tuple[tuple[str, Iterable[Finding | Capability]], ...] = (
            ("machines", self.machines),
            ("kernel", self.kernel),
            ("programs", self.programs),
            ("engines", self.images),
        )
        for title, findings in groups:
            table.add_section()
            table.add_row(Text(title, style="bold"))
            for found in findings:
                mark = Text("yes", style="green") if found.present else Text("no", style="red")
                table.add_row(f"  {found.name}", mark, found.why, found.remedy)
        console.print(table)
        if self.ok:
            console.print(f"A lab can run here, on the {self.choice} machine.", style="bold green")
        else:
            console.print(f"No lab can run here: {', '.join(self.obstacles)}.", style="bold red")
            if any(m.present and m.name == REPLAY.name for m in self.machines):
                console.print("Notebooks show a recorded lab in its place: a replay.")
        return text.getvalue().rstrip("\n")


def examine() -> Report:
    """Look at this computer. Leaves nothing behind, needs no privilege and no program."""
    return Report(
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        machines=tuple(_machines()),
        kernel=capabilities(),
        programs=tuple(_programs()),
        images=tuple(_images()),
    )


def _machines() -> Iterable[Finding]:
    machines: tuple[Machine, ...] = (*MACHINES, REPLAY)
    for machine in machines:
        able, why = machine.available()
        if not able:  # "what is wrong; what to do"
            why, _, remedy = why.partition("; ")
            yield Finding(machine.name, False, why, remedy)
        else:
            yield Finding(machine.name, True, why)


def _programs() -> Iterable[Finding]:
    if not sys.platform.startswith("linux"):  # no image is built by these programs there
        return
    absent = prerequisites.missing()
    for package in sorted({*prerequisites.PROGRAMS.values(), prerequisites.KEYS}):
        if package in absent:
            by_hand = prerequisites.advice((package,))
            remedy = BY_LAB if prerequisites.installable() else by_hand
            yield Finding(package, False, "not installed", remedy)
        else:
            yield Finding(package, True, "installed")


def _images() -> Iterable[Finding]:
    for recipe in RECIPES:
        name = f"Docker {recipe.engine}"
        try:
            path = image.find(recipe.engine)
        except (LabError, OSError) as error:
            yield Finding(name, False, str(error), "")
            continue
        if path:
            yield Finding(name, True, f"engine {engine_version(path)}, Debian {recipe.release}")
        else:
            command = "./lab builds it" if recipe is RECIPES[0] else "a lab that wants it builds it"
            yield Finding(name, False, "its machine image is not built yet", command)


def engine_version(path: Path) -> str:
    """The version of the Docker Engine in a machine image, from its package database."""
    status = path / "var/lib/dpkg/status"
    try:
        paragraphs = status.read_text(errors="replace").split("\n\n")
    except OSError:
        return "unknown"
    for paragraph in paragraphs:
        lines = paragraph.splitlines()
        if "Package: docker.io" in lines:
            found = next((li for li in lines if li.startswith("Version: ")), "Version: unknown")
            return found.removeprefix("Version: ").partition("+")[0]
    return "unknown"
