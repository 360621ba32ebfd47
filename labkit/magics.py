"""The cell magic ``%%host``: the cell's body is a shell script for a node of the running lab."""

from __future__ import annotations

import argparse
import shlex

from IPython import get_ipython
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import no_var_expand

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


@no_var_expand
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


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Make the magic known to an IPython shell: ``%load_ext labkit.magics``."""
    shell.register_magic_function(host, magic_kind="cell", magic_name="host")


def register() -> None:
    """Make the magic known to the running IPython, if there is one."""
    shell = get_ipython()
    if shell is not None:
        load_ipython_extension(shell)
