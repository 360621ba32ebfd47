"""Pictures as they should look, for the eye and for a test: python tests/unit/reference_images.py

That draws all of them again, or those named, into tests/unit/references/; look at them before you
commit them. To add one, add a line to REFERENCES.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pictures import JOURNEYS, LABS, SCENES
from PIL import Image
from rulesets import RULESETS

from labkit import diff
from labkit.plot import journey_map, ladder, nat_table, rules_table, timeline, topology
from labkit.plot.style import Picture

FOLDER = Path(__file__).with_name("references")
DPI = 72  # a pixel is a point
WINDOW = 10  # points
MOST = 16  # of 255: matplotlib 3.9 beside 3.11 makes up to 8, a missing wire 49 and more

REFERENCES: dict[str, Callable[[], Picture]] = {
    "map-empty": lambda: topology(SCENES["empty"]),
    "map-one": lambda: topology(SCENES["one"]),
    "map-bridges": lambda: topology(SCENES["bridges"]),
    "map-modes": lambda: topology(SCENES["modes"]),
    "map-cable": lambda: topology(SCENES["cable"]),
    "map-twenty": lambda: topology(SCENES["twenty"]),
    "map-fifty": lambda: topology(SCENES["fifty"]),
    "map-overlay": lambda: topology(*LABS["overlay"]),
    "map-change": lambda: topology(
        SCENES["bridges"], change=diff(SCENES["one"], SCENES["bridges"])
    ),
    "nat-table": lambda: nat_table(SCENES["one"]),
    "rules-one": lambda: rules_table(SCENES["one"]),
    "rules-twenty": lambda: rules_table(SCENES["twenty"], way="through", container="box05"),
    "rules-port": lambda: rules_table(RULESETS["networks-26.1"], port=9000),
    "rules-swarm": lambda: rules_table(RULESETS["swarm-26.1"]),
    "rules-native": lambda: rules_table(RULESETS["native-26.1"], way="in"),
    "rules-change": lambda: rules_table(
        RULESETS["asked-26.1"], before=RULESETS["asked-before-26.1"]
    ),
    "ladder-nat": lambda: ladder(JOURNEYS["nat"]),
    "ladder-names": lambda: ladder(JOURNEYS["names"]),
    "timeline-published": lambda: timeline(JOURNEYS["published"]),
    "timeline-overlay": lambda: timeline(JOURNEYS["overlay"]),
    "journey-map-overlay": lambda: journey_map(JOURNEYS["overlay"]),
}


def pixels(picture: Picture) -> np.ndarray:
    """The picture at one pixel a point: height by width by 3, of 0 to 255."""
    file = io.BytesIO()
    picture.savefig(file, format="png", dpi=DPI)
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB")).astype(float)


def stored(name: str) -> np.ndarray:
    """The reference of that name."""
    with Image.open(FOLDER / f"{name}.png") as image:
        return np.asarray(image.convert("RGB")).astype(float)


def difference(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """How far the mean colour of each window of ten points is off, of 255: height by width.

    Means, so that a version of matplotlib that draws an edge otherwise counts little; of a small
    window, so that a thin line that is missing counts much.
    """
    total = np.pad(expected - actual, ((1, 0), (1, 0), (0, 0))).cumsum(0).cumsum(1)
    n = WINDOW
    sums = total[n:, n:] - total[:-n, n:] - total[n:, :-n] + total[:-n, :-n]
    return np.abs(sums).max(axis=2) / n**2


def main(names: list[str]) -> None:
    """Draw the references of these names, or all."""
    FOLDER.mkdir(exist_ok=True)
    for name in names or REFERENCES:
        image = Image.fromarray(pixels(REFERENCES[name]()).astype(np.uint8))
        colours = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        colours.save(FOLDER / f"{name}.png", optimize=True)
        print(f"{name}: {(FOLDER / f'{name}.png').stat().st_size >> 10} KiB")


if __name__ == "__main__":
    main(sys.argv[1:])
