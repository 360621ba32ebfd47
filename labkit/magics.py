"""The cell magics: the cell's body is a shell script for a node of the running lab.

``%%host`` runs it; ``%%watch`` also shows what it did to the lab host's networking.
"""

from __future__ import annotations

import argparse
import shlex
from types import TracebackType
from typing import NoReturn

from IPython import get_ipython
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from labkit import lab as labs
from labkit import wake
from labkit.errors import UsageError

USAGE = "write %%{0} {1}, such as %%{0} host1; with -n a failing command stops nothing"
HOST, WATCH = USAGE.format("host", "NODE"), USAGE.format("watch", "HOST")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}: {self.usage}")


def _wanted(line: str, usage: str) -> argparse.Namespace:
    """What the first line of a cell asks for."""
    parser = _Parser(usage=usage, add_help=False)
    parser.add_argument("node")
    parser.add_argument("-n", "--no-check", action="store_true")
    try:
        return parser.parse_args(shlex.split(line, comments=True))
    except ValueError as error:
        raise UsageError(f"{error}: {usage}") from error


def host(line: str, cell: str = "") -> None:
    """Run the cell's body in a shell on a node of the lab, as root.

    Args:
        line: the node's name; ``-n`` or ``--no-check`` lets the commands fail.
        cell: shell text for bash. It prints as a terminal would.

    Raises:
        UsageError: no node of that name, or the first line makes no sense.
        CommandError: the script ended with a status that is not 0.
    """
    wanted = _wanted(line, HOST)
    labs.current().node(wanted.node).sh(cell, check=not wanted.no_check)


def watch(line: str, cell: str = "") -> None:
    """Run the cell's body as ``%%host`` does, then show what it did to that host's networking.

    It is shown after a script that failed, too.

    Args:
        line: a lab host's name; ``-n`` or ``--no-check`` lets the commands fail.
        cell: shell text for bash. It prints as a terminal would.

    Raises:
        UsageError: no lab host of that name, or the first line makes no sense.
        CommandError: the script ended with a status that is not 0.
    """
    wanted = _wanted(line, WATCH)
    lab = labs.current()
    node = lab.node(wanted.node)
    if node not in lab.hosts:
        names = ", ".join(h.name for h in lab.hosts)
        raise UsageError(f"{node.name} is no lab host, so it cannot be watched; there are {names}")
    change = node.watch()
    try:
        with change:
            node.sh(cell, check=not wanted.no_check)
    finally:
        if change.diff is not None:
            display(change.diff)


RUN_ABOVE = "Run > Run All Above Selected Cell"


def too_early(
    shell: InteractiveShell,
    kind: type[Exception],
    error: NameError | AttributeError,
    trace: TracebackType,
    tb_offset: int | None = None,
) -> list[str]:
    """Answer a cell that runs before those above it, most often in a new kernel, with a sentence.

    Such a cell uses a name that is not known yet, or finds None where something would have been.
    Only for a cell's own lines: an error inside a module keeps its traceback.
    """
    last = trace
    while last.tb_next:
        last = last.tb_next
    if last.tb_frame.f_globals is not shell.user_global_ns:
        sentence = None
    elif isinstance(error, NameError):
        sentence = (
            f"{error.name!r} is not known here. It is misspelt, or a cell above makes it and has "
            f"not run in this kernel: {RUN_ABOVE}"
        )
    elif error.obj is None:
        sentence = (
            f"what this cell asks for its {error.name!r} is not there. A cell above makes it and "
            f"has not run ({RUN_ABOVE}), or it has been removed since"
        )
    else:
        sentence = None
    if sentence:
        shown = [f"{kind.__name__}: {sentence}"]
    else:
        shown = shell.InteractiveTB.structured_traceback(kind, error, trace, tb_offset=tb_offset)
    shell._showtraceback(kind, error, shown)
    return shown


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Make a lesson's conveniences known to an IPython shell: ``%load_ext labkit.magics``.

    The kernel that ``./lab`` starts has loaded it (labkit/jupyter), so that a cell that is run too
    early in a new kernel is answered with a sentence, and a lab can wake before it is asked for.
    """
    for magic in (host, watch):
        shell.magics_manager.register_function(magic, "cell", magic.__name__)
    shell.set_custom_exc((NameError, AttributeError), too_early)
    wake.begin()


def register() -> None:
    """Make the magics known to the running IPython, if there is one."""
    shell = get_ipython()
    if shell is not None:
        load_ipython_extension(shell)
