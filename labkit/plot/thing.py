"""A thing on a picture: what can be picked there, and how to see it without the picture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thing:
    """Something on a picture that can be picked: where it is, what it is, how to see it oneself.

    Attributes:
        box: x, y, width and height, in points from the picture's top left corner.
        kind: "interface", "bridge", "container", "wire", "published port", …
        name: such as "eth0 of web".
        details: rows of a table: ("MAC address", "02:42:ac:11:00:02"), …
        commands: shell text that shows it, typed on ``host``.
        host: the lab host, or another node of the lab, on which it is.
    """

    box: tuple[float, float, float, float]
    kind: str
    name: str
    details: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()
    host: str = ""
