"""How the building of an image shows itself: bars in a terminal or notebook, lines in a log."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Steps:
    """Shows the steps of a few jobs that run side by side. A context manager.

    Example:
        >>> with Steps() as steps:
        ...     steps("tea", "boil water", 2)
        ...     steps("tea", "done", 2)
        [  0 s] tea: boil water
        [  0 s] tea: done
    """

    def __init__(self, console: Console | None = None) -> None:
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
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
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
