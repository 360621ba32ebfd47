"""What the benches share: run two things in turn, and say medians and their ratio."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable

from labkit.model.value import Value


class Figure(Value):
    """A measured figure, beside its peer's of the same run where it has one.

    Attributes:
        name: what was measured; with a peer "ours / the peer".
        ours, peer: medians, in ``unit``.
        ratio: the median of the ratios pair by pair, which the machine's drift does not touch.
        most: the target: what ``ratio``, or without a peer ``ours``, is at most.
    """

    name: str
    ours: float
    peer: float | None = None
    ratio: float | None = None
    unit: str = "s"
    runs: int = 1
    most: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.most is None:
            return None
        return (self.ours if self.ratio is None else self.ratio) <= self.most

    @property
    def target(self) -> str:
        """The target and whether it is met, in words; empty where there is none."""
        if self.most is None:
            return ""
        unit = f" {self.unit}" if self.ratio is None else ""
        return f"≤ {number(self.most)}{unit}: {'met' if self.met else 'not met'}"

    def __str__(self) -> str:
        said = f"{self.name}: {number(self.ours)} {self.unit}"
        if self.peer is not None:
            pairs = f"{self.runs} pair{'s'[: self.runs != 1]}"
            said += f" / {number(self.peer)} {self.unit}, ratio {number(self.ratio)} ({pairs})"
        return f"{said}, target {self.target}" if self.target else said


def number(value: float) -> str:
    """The number to three digits, or to its decimal point; no zeros after the last of them."""
    if value == 0:
        return "0"
    text = f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def timed(action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def paired(
    name: str,
    ours: Callable[[], float],
    peer: Callable[[], float],
    runs: int,
    unit: str = "s",
    most: float | None = None,
) -> Figure:
    """Measure ours and the peer in turn, after one warm-up of each."""
    ours(), peer()
    return compared(name, [(ours(), peer()) for _ in range(runs)], unit, most)


def compared(
    name: str, pairs: list[tuple[float, float]], unit: str = "s", most: float | None = None
) -> Figure:
    """The figure of some pairs, each of ours and the peer's."""
    return Figure(
        name=name,
        ours=statistics.median(a for a, _ in pairs),
        peer=statistics.median(b for _, b in pairs),
        ratio=statistics.median(a / b for a, b in pairs),
        unit=unit,
        runs=len(pairs),
        most=most,
    )
