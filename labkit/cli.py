"""The command line: opens JupyterLab, runs notebooks, tests, tells what can run here, cleans up.

What the commands do lives in modules of its own; here is only what was typed and what is printed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from jupyter_core.paths import jupyter_runtime_dir
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax
from rich.text import Text

from labkit.errors import LabError, UsageError
from labkit.machine import MACHINES
from labkit.machine.image import architecture
from labkit.machine.prerequisites import SQUASHFS, TESTED, install_for_tests
from labkit.machine.qemu import packages
from labkit.machine.recipe import RECIPES, generation

ROOT = Path(__file__).parent.parent
NOTEBOOKS = ROOT / "notebooks"
# Jupyter's folder of ours: the Python kernel with labkit's magics loaded, and a JupyterLab that
# asks the internet for nothing, neither news nor a newer version.
JUPYTER = Path(__file__).parent / "jupyter"
# A kernel on loopback TCP can be listened to by every user of this computer, one on sockets in the
# user's own folder cannot. A socket's path is at most 107 bytes (unix(7)), 48 of them the kernel's.
SOCKET_ROOM = 107 - 48
OF_AN_OLDER_ENGINE = (
    *("-o", "testpaths=tests/engine notebooks"),
    "--nbval-sanitize-with=tests/notebooks/verdicts.cfg",
)
AT_ONCE = 3  # processes that run notebooks or tests: much of their time is waiting
PASSED_ON = ("lab", "test", "bench")  # their options are JupyterLab's, pytest's, the benches' own
DESCRIPTION = """\
A small network of real Docker hosts on this computer, and notebooks that show how it works.
With no command, or with JupyterLab's own options, it opens JupyterLab on the notebooks."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that was typed; its exit status."""
    typed = list(sys.argv[1:] if arguments is None else arguments)
    for variable in ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH"):
        paths = (str(JUPYTER), os.environ.get(variable))
        os.environ[variable] = os.pathsep.join(filter(None, paths))
    try:
        return _command(typed)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of `./lab doctor | head` has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def _command(typed: list[str]) -> int:
    if typed[:1] == ["help"] or typed[:1] in (["-h"], ["--help"]):
        _parser().print_help()
        return 0
    if not typed or typed[0].startswith("-"):
        typed = ["lab", *typed]
    if typed[0] not in COMMANDS:
        known = ", ".join((*COMMANDS, "help"))
        raise UsageError(f"there is no command {typed[0]!r}; there are {known}")
    if typed[0] in PASSED_ON:
        return COMMANDS[typed[0]](typed[1:])
    return COMMANDS[typed[0]](_parser().parse_args(typed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./lab",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="A notebook is stopped by its own menu, JupyterLab by Ctrl-C.",
    )
    add = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command").add_parser
    add("lab", help="open JupyterLab on the notebooks; what follows goes to JupyterLab")
    run = add("run", help="execute notebooks with nobody watching")
    run.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    run.add_argument("--html", type=Path, metavar="DIR", help="write each as a page into DIR")
    run.add_argument("--save", action="store_true", help="store the outputs in the notebook")
    record = add("record", help="record notebooks' labs, for computers where no machine can boot")
    record.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    doctor = add("doctor", help="what can run here, why not the rest, and what to do about it")
    doctor.add_argument("--json", action="store_true", help="for programs")
    image = add("image", help="show the machine image, and build it if it is not there")
    image.add_argument("--engine", help="which Docker Engine: 26.1 or 20.10")
    add("promises", help="list what each notebook shows, and the cell that shows it")
    add("clean", help="remove the machine images and what a killed lab left")
    add(
        "test",
        help="ruff and mypy, then every test; what follows goes to pytest. With --engine bookworm: "
        "what needs a lab, on the engine of Debian 12; --engine all: first every test, then that",
    )
    add("bench", help="measure labs beside the raw tools; ./lab bench --help says more")
    return parser


def open_lab(options: list[str]) -> int:
    """Become JupyterLab on the notebooks, on loopback and with its token."""
    first = min(NOTEBOOKS.glob("*.ipynb"), default=None)
    if first is None:
        raise UsageError(
            f"there are no notebooks in {NOTEBOOKS}; run ./lab in a clone of the project"
        )
    ours = []
    if option(options, "root_dir") is None:
        ours.append(f"--ServerApp.root_dir={NOTEBOOKS}")
    port = option(options, "port")
    if port is not None:
        check_port(option(options, "ip") or "127.0.0.1", port)
        ours.append("--ServerApp.port_retries=0")  # another port would be a surprise
    if option(options, "ip") is None:
        ours.append("--ServerApp.ip=127.0.0.1")
    if option(options, "default_url") is None:
        ours.append(f"--LabApp.default_url=/lab/tree/{first.name}")
    if os.geteuid() == 0:
        ours.append("--ServerApp.allow_root=True")
    if len(os.fsencode(jupyter_runtime_dir())) < SOCKET_ROOM:
        ours.append("--KernelManager.transport=ipc")
    _prepare(generation())
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *ours, *options])


def option(options: Sequence[str], name: str) -> str | None:
    """What JupyterLab would take for an option, in any of its spellings: --port N, --X.port=N."""
    value = None
    for word, after in itertools.pairwise([*options, ""]):
        key, equals, given = word.partition("=")
        if key.startswith("--") and key.lstrip("-").rpartition(".")[2] == name:
            value = given if equals else after
    return value


def check_port(address: str, port: str) -> None:
    """Raise UsageError when JupyterLab could not listen on that port."""
    if not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--port {port}: a port is a number from 1 to 65535")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as JupyterLab does
        try:
            probe.bind(("" if address == "*" else address, int(port)))
        except OSError as error:
            raise UsageError(
                f"JupyterLab cannot listen on port {port} of {address} "
                f"({(error.strerror or str(error)).lower()}); give another --port, or none"
            ) from error


def run(typed: argparse.Namespace) -> int:
    """Execute notebooks one after the other; 1 if a cell of any failed."""
    from labkit import headless, stored  # jupyter's own modules take half a second to import

    notebooks = {path: stored.read(path) for path in typed.notebooks}
    _prepare(generation())
    failures = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        for path, notebook in notebooks.items():
            task = progress.add_task(path.name, total=len(stored.code_cells(notebook)))
            failure = headless.execute(notebook, path, partial(progress.advance, task))
            progress.stop_task(task)
            if typed.html:
                headless.export(notebook, typed.html / f"{path.stem}.html")
            if failure:
                failures[path] = failure
            elif typed.save:
                headless.save(notebook, path)
    for path, failure in failures.items():
        console.print()
        console.print(Syntax(failure.source, "python", background_color="default"))
        console.print(Text.from_ansi(failure.shown), soft_wrap=True)
        console.print(
            f"lab: {path}, code cell {failure.number}: {failure.reason}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    return 1 if failures else 0


def record(typed: argparse.Namespace) -> int:
    """Record what notebooks ask of their labs, for replays; 1 if one could not be."""
    if len(typed.notebooks) > 1:
        _prepare(generation())
        with ThreadPoolExecutor(AT_ONCE) as pool:  # each in a process of its own
            words = [["labkit", "record", str(path.absolute())] for path in typed.notebooks]
            return max(pool.map(_tool, words))
    from labkit import stored
    from labkit.replay import recording

    (path,) = typed.notebooks
    begin = time.monotonic()
    try:
        made = recording.record(stored.read(path), path)
    except LabError as error:
        raise UsageError(f"{path} is not recorded: {error}") from error
    print(f"{made}: {decimal(made.stat().st_size)}, {time.monotonic() - begin:.0f} s", flush=True)
    return 0


def doctor(typed: argparse.Namespace) -> int:
    """Say what can run here; 1 if no lab can."""
    from labkit.machine.doctor import examine

    report = examine()
    print(report.json() if typed.json else report.text())
    return 0 if report.ok else 1


def image(typed: argparse.Namespace) -> int:
    """Build the machine image if it is not there, and say where it is."""
    from labkit.leftovers import size
    from labkit.machine.doctor import engine_version
    from labkit.machine.image import ensure

    path = ensure(generation(typed.engine))
    print(f"{path}: Docker Engine {engine_version(path)}, {decimal(size(path))}")
    return 0


def clean(typed: argparse.Namespace) -> int:
    """Remove the machine images and what killed labs left; say what it was."""
    from labkit import leftovers
    from labkit.machine import container, privilege
    from labkit.machine.builder import remove
    from labkit.machine.image import cache

    used = leftovers.words()
    said = []
    with leftovers.images(cache()) as images:
        for path in [*images, *leftovers.run_directories(used)]:
            if leftovers.in_use(path, used):
                said.append(f"kept {path}: a running lab uses it")
            else:
                said.append(f"removed {path} ({decimal(leftovers.size(path))})")
                remove(privilege.best(), path)
            print(said[-1], flush=True)
    for path in leftovers.cgroups(used):
        try:
            leftovers.remove_cgroup(path)
            said.append(f"removed {path} (an empty cgroup)")
        except OSError as error:  # processes that this process id namespace does not see
            said.append(f"kept {path}: {(error.strerror or str(error)).lower()}")
        print(said[-1], flush=True)
    for line in container.clean():
        said.append(line)
        print(line, flush=True)
    if not said:
        print("nothing to remove")
    return 0


def promises(_: argparse.Namespace) -> int:
    """Print what each notebook promises to show, and the cell that shows it."""
    from labkit.promises import promises, table  # nbformat takes a while to import

    found = [promise for path in sorted(NOTEBOOKS.glob("*.ipynb")) for promise in promises(path)]
    Console().print(table(found))
    return 0


def test(options: list[str]) -> int:
    """Run ruff, mypy, then pytest on all or on what was named; the first failing exit status.

    With an older engine only what needs a lab, and of notebooks' outputs only the verdicts are
    compared, for the stored ones show what the newest engine does.
    """
    parser = argparse.ArgumentParser(prog="./lab test", add_help=False, allow_abbrev=False)
    newest, *older = (recipe.release for recipe in RECIPES)
    parser.add_argument("--engine", choices=(newest, *older, "all"), default=newest)
    typed, options = parser.parse_known_args(options)
    _require_clone("test")
    for command in (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]):
        if status := _tool(command):
            return status
    if any(machine.available()[0] for machine in MACHINES):  # else tests skip, and say why
        _prepare_tests()
    for recipe in RECIPES:
        if typed.engine in (recipe.release, "all"):
            only = () if recipe.release == newest else OF_AN_OLDER_ENGINE
            # All of a file (a notebook) in one process.
            pytest = ["pytest", "-n", str(AT_ONCE), "--dist", "loadscope", *only, *options]
            if status := _tool(pytest, LABKIT_ENGINE=recipe.engine):
                return status
    return 0


def bench(options: list[str]) -> int:
    """Run the benches that were named, or all."""
    _require_clone("bench")
    if not {"-h", "--help"} & {*options}:
        _prepare_tests()
    return _tool(["tests.bench", *options])


def _prepare_tests() -> None:
    """Have the images of all engines there, and what only tests and benches need."""
    _prepare(*(recipe.engine for recipe in RECIPES))
    install_for_tests({**TESTED, **SQUASHFS, **packages(architecture())})


def _require_clone(command: str) -> None:
    if not (ROOT / "pyproject.toml").exists():
        raise UsageError(f"the tests are in a clone of the project; run ./lab {command} there")


def _tool(command: list[str], **variables: str) -> int:
    environment = {**os.environ, **variables}
    command = [sys.executable, "-m", *command]
    try:
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    except KeyboardInterrupt:
        return 130


def _prepare(*engines: str) -> None:
    """What a lab needs and is made once: system packages and the machine images."""
    from labkit.machine import REPLAY, choose

    machine = choose()  # says why not, before anything is downloaded
    if machine is not REPLAY:  # which says by itself what it is
        print(f"lab: labs boot on the {machine.name} machine", file=sys.stderr)
    for engine in engines:
        machine.prepare(engine)


COMMANDS: dict[str, Callable[..., int]] = {
    "lab": open_lab,
    "run": run,
    "record": record,
    "doctor": doctor,
    "image": image,
    "clean": clean,
    "promises": promises,
    "test": test,
    "bench": bench,
}
