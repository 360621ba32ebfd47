"""Pictures beside the stored ones: what a reader would see is seen."""

import numpy as np
import pytest
from PIL import Image
from reference_images import FOLDER, MOST, REFERENCES, difference, pixels, stored

AGAIN = "python tests/unit/reference_images.py draws the references again, if this is better"


def off(name, picture):
    """By how much the picture is off its reference, where it is most."""
    expected, actual = stored(name), pixels(picture)
    assert expected.shape == actual.shape, AGAIN
    return difference(expected, actual)


@pytest.mark.parametrize("name", REFERENCES)
def test_it_looks_as_before(name, tmp_path):
    picture = REFERENCES[name]()
    found = off(name, picture)
    if found.max() > MOST:
        y, x = np.unravel_index(found.argmax(), found.shape)
        file = tmp_path / f"{name}.png"
        Image.fromarray(pixels(picture).astype(np.uint8)).save(file)
        pytest.fail(f"{file} is off by {found.max():.0f} at {x}, {y}. {AGAIN}")


def test_each_stored_picture_is_compared():
    assert {path.stem for path in FOLDER.glob("*.png")} == set(REFERENCES)


def lines(picture, wire):
    """The lines along a wire, its own: lanes lie apart."""
    lane = wire.path[1][0]
    return [
        li for li in picture.axes_.lines
        if li.get_linewidth() == 1.6 and len(li.get_xdata()) > 1 and lane in li.get_xdata()
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["map-bridges", "map-modes", "map-cable", "map-overlay"])
def test_a_missing_wire_is_seen(name):
    picture = REFERENCES[name]()
    wires = [t for t in picture.things if t.kind == "wire" or t.kind.endswith("on its parent")]
    for wire in wires if len(wires) < 5 else wires[::9]:
        for line in lines(picture, wire):
            line.set_visible(False)
        assert off(name, picture).max() > MOST, wire.name
        for line in lines(picture, wire):
            line.set_visible(True)
    assert off(name, picture).max() <= MOST


def test_a_missing_port_box_and_text_are_seen():
    picture = REFERENCES["map-one"]()
    port = next(li for li in picture.axes_.lines if li.get_marker() == "s")
    box = next(p for p in picture.axes_.patches if p.get_facecolor() == (1, 1, 1, 1))
    text = next(t for t in picture.axes_.texts if t.get_text() == "docker0")
    for artist in (port, box, text):
        artist.set_visible(False)
        assert off("map-one", picture).max() > MOST
        artist.set_visible(True)
    assert off("map-one", picture).max() < MOST / 4


def test_a_letter_a_fifth_of_a_point_away_is_not():
    """More than matplotlib's versions are apart: 3.9 and 3.11 were tried."""
    picture = REFERENCES["map-modes"]()
    for text in picture.axes_.texts:
        text.set_x(text.get_position()[0] + 0.2)
    assert np.abs(stored("map-modes") - pixels(picture)).max() > 25
    assert off("map-modes", picture).max() <= MOST
