"""What the benches share: run two things in turn, and say medians and their ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A measured figure beside its peer's of the same run.

    Attributes:
        ours, peer: medians, in ``unit``.
        ratio: the median of the ratios pair by pair, which the machine's drift does not touch.
    """

    name: str
    ours: float
    peer: float
    ratio: float
    unit: str
    runs: int

    def __str__(self) -> str:
        return (
            f"{self.name:<58} {self.ours:8.3f} {self.unit}  {self.peer:8.3f} {self.unit}  "
            f"ratio {self.ratio:5.2f}  ({self.runs} pairs)"
        )


def timed(action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def paired(
    name: str, ours: Callable[[], float], peer: Callable[[], float], runs: int, unit: str = "s"
) -> Figure:
    """Measure ours and the peer in turn, after one warm-up of each."""
    ours(), peer()
    pairs = [(ours(), peer()) for _ in range(runs)]
    return Figure(
        name,
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
        unit,
        runs,
    )
