"""How waiting shows itself: bars or lines for an image in the making, a line for a lab's start."""

from __future__ import annotations

import html
import time

from IPython.display import display
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Steps:
    """Shows the steps of a few jobs that run side by side. A context manager.

    Within another one it shows nothing of its own: its jobs join the other's.

    Example:
        >>> with Steps() as steps:
        ...     steps("tea", "boil water", 2)
        ...     steps("tea", "done", 2)
        [  0 s] tea: boil water
        [  0 s] tea: done
    """

    _shown: Steps | None = None

    def __init__(self, console: Console | None = None) -> None:
        self._outer = Steps._shown
        self._console = console or Console()
        self._begin = time.monotonic()
        self._tasks: dict[str, TaskID] = {}
        self._bars = None
        if self._console.is_terminal or self._console.is_jupyter:
            self._bars = Progress(
                SpinnerColumn(),
                TextColumn("[bold]{task.fields[job]}"),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                TextColumn("{task.description}"),
                console=self._console,
            )

    def __enter__(self) -> Steps:
        if self._outer:
            return self._outer
        Steps._shown = self
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._outer:
            return
        Steps._shown = None
        if self._bars:
            self._bars.stop()

    def __call__(self, job: str, step: str, total: int) -> None:
        """Say that a job, of about ``total`` steps, is at this one; "done" ends it."""
        if not self._bars:
            print(f"[{time.monotonic() - self._begin:3.0f} s] {job}: {step}", flush=True)
            return
        if job not in self._tasks:
            self._tasks[job] = self._bars.add_task("", job=job, total=total)
        task = self._tasks[job]
        if step == "done":
            self._bars.update(task, completed=total, total=total, description=step)
        else:
            self._bars.update(task, advance=1, description=step)


class Waking:
    """In a notebook, says what the start of a lab is at; a line of what was done stays.

    A context manager. One output of the cell, which is updated in place: it needs no widget, and is
    in the page when the notebook is opened again.

    Args:
        shown: whether there is something to see; nothing is, outside a notebook.
    """

    def __init__(self, shown: bool) -> None:
        self._begin = time.monotonic()
        self._done: list[str] = []
        self._doing = ""
        self._shown = shown and Console().is_jupyter
        self._output = None

    def __enter__(self) -> Waking:
        return self

    def __call__(self, doing: str, done: str) -> None:
        """Say what it does now, and what there is to say of what is done."""
        self._done.append(done)
        self._doing = doing
        self._show()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind:
            self._done.append(f"not done: {self._doing}")
        else:
            self._done.append(f"ready after {time.monotonic() - self._begin:.1f} s")
        self._doing = ""
        self._show()

    def _show(self) -> None:
        if not self._shown:
            return
        if self._output is None:
            self._output = display(self, display_id=True)
        else:
            self._output.update(self)

    def __repr__(self) -> str:
        rest = (f"{self._doing} …",) if self._doing else ()
        return "The lab: " + ", ".join((*self._done, *rest))

    def _repr_html_(self) -> str:
        """A live region: a screen reader says what is new in it (WAI-ARIA, role status)."""
        busy = "true" if self._doing else "false"
        return f'<div role="status" aria-busy="{busy}">{html.escape(repr(self))}</div>'
