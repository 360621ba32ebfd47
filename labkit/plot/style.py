"""The look of every picture: sizes, colours, and a canvas that is measured in points.

Colours are Okabe and Ito's, told apart by people who see few colours; each network has a line
pattern of its own too, so that a print in grey says the same.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Affine2D, Bbox
from PIL import Image

from labkit.plot.thing import Thing

WIDTH = 660  # points; a notebook's column shows it at about 900 pixels
DPI = 150
POINT = 96 / 72  # CSS pixels
INK, SOFT, FAINT, PAPER = "#1c1f24", "#585e66", "#c9ced6", "#ffffff"
HOST, BOX, FLAG, MARK, LAN = "#f3f5f8", "#ffffff", "#33383f", "#ffe9a8", "#d3d8df"
TRACK = "#f0a30a"  # a packet's way
TITLE, NAME, PLAIN, SMALL = 12, 9, 8, 7  # font sizes
# colour and line pattern of the first, second, … network
NETWORKS = (
    ("#0072b2", "-"),
    ("#d55e00", (0, (5, 1.5))),
    ("#009e73", (0, (1.2, 1.2))),
    ("#8c4a86", (0, (6, 1.5, 1.2, 1.5))),
    ("#a87900", (0, (9, 2))),
    ("#2b8cc4", (0, (3, 1.2, 1, 1.2, 1, 1.2))),
)
MIDDLE = 0.38  # of a font's size: from the base line to the middle of a tall letter


def network_look(number: int) -> tuple[str, object]:
    """Colour and line pattern of a host's network of that number."""
    return NETWORKS[number % len(NETWORKS)]


def text_width(text: str, size: float, bold: bool = False, mono: bool = False) -> float:
    """How wide the text is drawn, in points."""
    return _outline(text, bold, mono)[1].x1 * size


def shortened(text: str, size: float, room: float, bold: bool = False, mono: bool = False) -> str:
    """The text, or as much of its start as fits into the room, with "…"."""
    if text_width(text, size, bold, mono) <= room:
        return text
    fits = bisect_right(
        range(len(text)), room, key=lambda n: text_width(text[:n] + "…", size, bold, mono)
    )
    return text[: max(0, fits - 1)] + "…"


def wrapped(text: str, size: float, room: float, mono: bool = False) -> list[str]:
    """The text in lines that fit into the room, broken at blanks."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size, mono=mono) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


@lru_cache(maxsize=8192)
def _outline(text: str, bold: bool, mono: bool) -> tuple[Path, Bbox]:
    """The letters of a text as one path, of font size 1, and the rectangle around it."""
    corners, codes = text_to_path.get_text_path(_font(bold, mono), text)
    corners = np.reshape(corners, (-1, 2)) / text_to_path.FONT_SCALE
    around = (corners.min(axis=0), corners.max(axis=0)) if len(corners) else ((0, 0), (0, 0))
    return Path(corners, codes or None), Bbox(around)


@lru_cache(maxsize=4)
def _font(bold: bool, mono: bool) -> FontProperties:
    # Both come with matplotlib, so that a picture is the same on every computer.
    family = "DejaVu Sans Mono" if mono else "DejaVu Sans"
    return FontProperties(family=family, weight="bold" if bold else "normal")


class _Label(Text):
    """A text in one line, drawn from its outline, which is kept for the next picture.

    Matplotlib lays each text out and draws each letter anew; this takes a fifth of the time.
    """

    def __init__(
        self, x: float, y: float, text: str, look: tuple[float, bool, bool], **more: Any
    ) -> None:
        font = _font(*look[1:])
        super().__init__(x, y, text, fontproperties=font, size=look[0], parse_math=False, **more)
        self._look = look

    def _placed(self) -> Affine2D:
        """The transform that puts the outline on the page; y is the letters' middle."""
        size, *look = self._look
        width = _outline(self.get_text(), *look)[1].x1
        x = {"left": 0, "center": -width / 2, "right": -width}[self.get_horizontalalignment()]
        to_page = Affine2D().translate(x, -MIDDLE).rotate_deg(self.get_rotation())
        to_page.scale(size * self.figure.dpi / 72)
        return to_page.translate(*self.get_transform().transform(self.get_position()))

    def draw(self, renderer: RendererBase) -> None:
        """Draw it, as matplotlib asks."""
        if not self.get_visible() or not self.get_text():
            return
        context = renderer.new_gc()
        color = to_rgba(self.get_color())
        context.set_foreground(color, isRGBA=True)
        context.set_linewidth(0)
        path, _ = _outline(self.get_text(), *self._look[1:])
        renderer.draw_path(context, path, self._placed(), color)
        context.restore()

    def get_window_extent(
        self, renderer: RendererBase | None = None, dpi: float | None = None
    ) -> Bbox:
        """The rectangle of its ink, in pixels."""
        return _outline(self.get_text(), *self._look[1:])[1].transformed(self._placed())


class Picture(Figure):
    """A figure whose coordinates are points from its top left corner.

    It shows itself as a notebook cell's last value, once, whether or not pyplot is in use.

    Attributes:
        summary: what it shows, in a few words.
        things: what can be picked on it.
    """

    def __init__(self, summary: str) -> None:
        super().__init__(dpi=DPI, facecolor=PAPER)
        self._agg = FigureCanvasAgg(self)
        self.summary = summary
        self.things: list[Thing] = []
        self.axes_ = self.add_axes((0, 0, 1, 1))
        self.axes_.set_axis_off()
        self.grow(WIDTH)

    def grow(self, height: float) -> None:
        """Make the picture that high."""
        self.set_size_inches(WIDTH / 72, height / 72)
        self.axes_.set(xlim=(0, WIDTH), ylim=(height, 0))

    def write(
        self, x: float, y: float, text: str, size: float = PLAIN, room: float = 0, *,
        bold: bool = False, mono: bool = False, color: str = INK, align: str = "left",
        upright: bool = False,
    ) -> float:  # fmt: skip
        """Write the text with its middle at height y, cut to the room; its width.

        Upright, it runs from below to above, with its middle at x and y.
        """
        if not text:
            return 0
        if room:
            text = shortened(text, size, room, bold, mono)
        self.axes_.add_artist(
            _Label(x, y, text, (size, bold, mono), color=color, ha=align, rotation=90 * upright,
                   zorder=5, clip_on=False)
        )  # fmt: skip
        return text_width(text, size, bold, mono)

    def line(
        self, points: list[tuple[float, float]], color: str = SOFT, width: float = 1.4,
        pattern: object = "-", layer: float = 2.5,
    ) -> None:  # fmt: skip
        """Draw a line through the points."""
        xs, ys = zip(*points, strict=True)
        self._line(
            xs, ys, color=color, lw=width, ls=pattern, zorder=layer,
            solid_capstyle="butt", dash_capstyle="butt", solid_joinstyle="round",
        )  # fmt: skip

    def _line(self, xs: Sequence[float], ys: Sequence[float], **look: Any) -> None:
        # Not plot(), which would ask each line for the limits of the axes, which are known.
        self.axes_.add_artist(Line2D(xs, ys, **look))

    def box(
        self, x: float, y: float, width: float, height: float, *, face: str = BOX,
        edge: str = FAINT, line: float = 1, pattern: object = "-", layer: float = 1,
    ) -> None:  # fmt: skip
        """Draw a box with round corners; x and y are its top left corner."""
        patch = FancyBboxPatch(
            (x + 3, y + 3), width - 6, height - 6, boxstyle="round,pad=3,rounding_size=4",
            facecolor=face, edgecolor=edge, linewidth=line, linestyle=pattern, zorder=layer,
        )  # fmt: skip
        self.axes_.add_artist(patch)

    def band(self, x: float, y: float, width: float, height: float, face: str) -> None:
        """Draw a filled rectangle with no edge; x and y are its top left corner."""
        self.axes_.add_artist(Rectangle((x, y), width, height, facecolor=face, lw=0, zorder=0.5))

    def port(self, x: float, y: float, color: str, filled: bool = True) -> None:
        """Draw an interface: a small square, hollow when nothing is plugged in."""
        self._line(
            [x], [y], marker="s", ms=6, mfc=color if filled else PAPER, mec=color, mew=1.3, zorder=4
        )

    def dot(self, x: float, y: float, color: str) -> None:
        """Draw the joint of a line with a bridge."""
        self._line([x], [y], marker="o", ms=5.5, mfc=color, mec=PAPER, mew=0.8, zorder=4)

    def arrow(self, x: float, y: float, color: str = SOFT, to: str = ">") -> None:
        """Draw the head of an arrow that points to the right, or with "<" to the left."""
        self._line([x], [y], marker=to, ms=5, color=color, mew=0, zorder=4)

    def at(self, x: float, y: float) -> Thing | None:
        """The thing at that point, in points from the top left; the smallest where some overlap."""
        found = [
            t for t in self.things
            if 0 <= x - t.box[0] <= t.box[2] and 0 <= y - t.box[1] <= t.box[3]
        ]  # fmt: skip
        return min(found, key=lambda t: t.box[2] * t.box[3], default=None)

    def find(self, name: str, host: str | None = None) -> Thing | None:
        """The thing of that name, on that host or any."""
        return next((t for t in self.things if t.name == name and host in (None, t.host)), None)

    def png(self) -> bytes:
        """The picture as the bytes of a PNG file."""
        self._agg.draw()
        image = Image.fromarray(np.asarray(self._agg.buffer_rgba())[..., :3])
        file = io.BytesIO()
        # Few colours, so a palette says all, at a third of the size in a notebook's file.
        image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            file, "png", dpi=(DPI, DPI)
        )
        return file.getvalue()

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height on a screen, in CSS pixels."""
        width, height = self.get_size_inches() * 72 * POINT
        return round(width), round(height)

    def __repr__(self) -> str:
        return f"<{self.summary}>"

    __str__ = __repr__

    def _repr_mimebundle_(self, **_: object) -> tuple[dict, dict]:
        """For IPython; pyplot, where it is in use, draws the PNG itself."""
        width, height = self.pixels
        return (
            {"image/png": self.png(), "text/plain": repr(self)},
            {"image/png": {"width": width, "height": height}},
        )
