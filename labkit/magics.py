"""The cell magic ``%%host``: the cell's body is a shell script for a node of the running lab."""

from __future__ import annotations

import argparse
import shlex
from types import TracebackType

from IPython import get_ipython
from IPython.core.interactiveshell import InteractiveShell

from labkit import lab as labs
from labkit.errors import UsageError

USAGE = "write %%host NODE, such as %%host host1; with -n a failing command stops nothing"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise UsageError(f"{message}: {USAGE}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="%%host", add_help=False)
    parser.add_argument("node")
    parser.add_argument("-n", "--no-check", action="store_true")
    return parser


def host(line: str, cell: str = "") -> None:
    """Run the cell's body in a shell on a node of the lab, as root.

    Args:
        line: the node's name; ``-n`` or ``--no-check`` lets the commands fail.
        cell: shell text for bash. It prints as a terminal would.

    Raises:
        UsageError: no node of that name, or the first line makes no sense.
        CommandError: the script ended with a status that is not 0.
    """
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        raise UsageError(f"{error}: {USAGE}") from error
    wanted = _parser().parse_args(words)
    labs.current().node(wanted.node).sh(cell, check=not wanted.no_check)


def not_known(
    shell: InteractiveShell,
    kind: type[NameError],
    error: NameError,
    trace: TracebackType,
    tb_offset: int | None = None,
) -> list[str]:
    """Answer an unknown name in a cell with what to run first: most often the kernel is new."""
    last = trace
    while last.tb_next:
        last = last.tb_next
    if last.tb_frame.f_globals is shell.user_global_ns:
        shown = [
            f"NameError: {error.name!r} is not known here. It is misspelt, or a cell above makes "
            "it and has not run in this kernel: Run > Run All Above Selected Cell"
        ]
    else:
        shown = shell.InteractiveTB.structured_traceback(kind, error, trace, tb_offset=tb_offset)
    shell._showtraceback(kind, error, shown)
    return shown


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Make a lesson's conveniences known to an IPython shell: ``%load_ext labkit.magics``.

    The kernel that ``./lab`` starts has loaded it (labkit/jupyter), so that a cell that is run too
    early in a new kernel is answered with a sentence.
    """
    shell.register_magic_function(host, magic_kind="cell", magic_name="host")
    shell.set_custom_exc((NameError,), not_known)


def register() -> None:
    """Make the magic known to the running IPython, if there is one."""
    shell = get_ipython()
    if shell is not None:
        load_ipython_extension(shell)
