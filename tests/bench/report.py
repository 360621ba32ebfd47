"""What the benches found, as JSON, as a table that the README can quote, and as a picture."""

from __future__ import annotations

import datetime
import math
import os
import platform
from pathlib import Path

from labkit.model.value import Saved
from labkit.plot.style import (
    FAINT,
    INK,
    NAME,
    NETWORKS,
    SMALL,
    SOFT,
    TITLE,
    WIDTH,
    Picture,
    wrapped,
)
from tests.bench.figures import Figure, number

HEADS = ("what / beside what", "ours", "the other", "ratio", "target")
BETTER, WORSE = NETWORKS[0][0], NETWORKS[1][0]
MARGIN, TOP, ROW, LINE = 16, 88, 27, 10.5  # points
LEFT, RIGHT = 300, WIDTH - 120  # of the scale


class Report(Saved):
    """One run of the benches.

    Attributes:
        date: of the run, as 2026-11-24.
        computer: what it ran on, in words.
        figures: what was measured.
        notes: what was counted or found, a sentence each.
        failures: the benches that could not end, and why.
    """

    date: str
    computer: str
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


def begun() -> Report:
    """A report of now and here, with nothing in it."""
    return Report(date=datetime.date.today().isoformat(), computer=computer())


def computer() -> str:
    """This computer, and how busy it is, in words."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{os.cpu_count()} processors ({(models or [platform.machine()])[0]}), "
        f"{number(memory)} GiB, Linux {platform.release()}, "
        f"load {os.getloadavg()[0]:.1f} before it"
    )


def save(report: Report, place: Path) -> list[Path]:
    """Write the JSON there, and the table and the picture beside it: the three files."""
    place.parent.mkdir(parents=True, exist_ok=True)
    report.save(place)
    markdown, png = place.with_suffix(".md"), place.with_suffix(".png")
    markdown.write_text(table(report))
    png.write_bytes(chart(report).png())
    return [place, markdown, png]


def table(report: Report) -> str:
    """The report as Markdown, its columns in line."""
    rows = [HEADS, *map(_row, report.figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (n + 2) for n in widths) + "|")
    says = [*report.notes, *(f"failed: {reason}" for reason in report.failures)]
    parts = [f"{report.date}: {report.computer}.", "\n".join(lines)]
    parts += ["\n".join(f"- {line}" for line in says)] if says else []
    return "\n\n".join(parts) + "\n"


def _row(figure: Figure) -> tuple[str, ...]:
    values = [
        f"{number(v)} {figure.unit}" if v is not None else "" for v in (figure.ours, figure.peer)
    ]
    ratio = number(figure.ratio) if figure.ratio is not None else ""
    return (figure.name, *values, ratio, figure.target)


def chart(report: Report) -> Picture:
    """The ratios, a bar each from 1 to the left (less than the peer) or to the right (more)."""
    figures = [figure for figure in report.figures if figure.ratio is not None]
    picture = Picture(f"bench: {len(figures)} ratios")
    bottom = TOP + ROW * len(figures)
    picture.grow(bottom + MARGIN)
    picture.write(MARGIN, 22, "Ours beside the other, in the same run", TITLE, bold=True)
    says = (f"{report.date}: {report.computer}", "left of 1: less than the other; ▎: the target")
    for n, text in enumerate(says):
        picture.write(MARGIN, 40 + 13 * n, text, SMALL, WIDTH - 2 * MARGIN, color=SOFT)
    ends = [math.log10(f.ratio) for f in figures] + [math.log10(f.most) for f in figures if f.most]
    low, high = math.floor(min([-0.5, *ends])), math.ceil(max([0.5, *ends]))

    def across(ratio: float) -> float:
        return LEFT + (math.log10(ratio) - low) / (high - low) * (RIGHT - LEFT)

    for power in range(low, high + 1):
        x = across(10**power)
        picture.line([(x, TOP - 8), (x, bottom)], SOFT if power == 0 else FAINT, 0.8, layer=0.4)
        picture.write(x, TOP - 16, number(10.0**power), SMALL, color=SOFT, align="center")
    for n, figure in enumerate(figures):
        _bar(picture, figure, TOP + ROW * (n + 0.5), across)
    return picture


def _bar(picture: Picture, figure: Figure, y: float, across) -> None:
    for n, text in enumerate(lines := wrapped(figure.name, SMALL, LEFT - 2 * MARGIN)[:2]):
        picture.write(MARGIN, y + LINE * (n - (len(lines) - 1) / 2), text, SMALL)
    left, right = sorted((across(1), across(figure.ratio)))
    picture.band(left, y - 6, right - left, 12, BETTER if figure.ratio <= 1 else WORSE)
    if figure.most:
        x = across(figure.most)
        picture.line([(x, y - 10), (x, y + 10)], INK, 1.6, layer=3)
    picture.write(RIGHT + 12, y, number(figure.ratio), NAME, bold=True)
    color, bold = (INK, True) if figure.met is False else (SOFT, False)
    picture.write(RIGHT + 52, y, figure.target, SMALL, bold=bold, color=color)
