"""A thing on a picture: what can be picked there, and how to see it without the picture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thing:
    """Something on a picture that can be picked: where it is, what it is, how to see it oneself.

    All places are in points from the picture's top left corner.

    Attributes:
        box: x, y, width and height.
        kind: "interface", "bridge", "container", "wire", "published port", …
        name: such as "eth0 of web"; a wire's is "eth0 of web ↔ veth9f7b592 of host1".
        details: rows of a table: ("MAC address", "02:42:ac:11:00:02"), …
        commands: shell text that shows it, typed on ``host``.
        host: the lab host, or another node of the lab, on which it is.
        path: the points of a wire from end to end; of an interface, that of its port.
    """

    box: tuple[float, float, float, float]
    kind: str
    name: str
    details: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()
    host: str = ""
    path: tuple[tuple[float, float], ...] = ()
