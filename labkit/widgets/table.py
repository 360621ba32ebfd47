"""What is on a picture, as a table: for a page with no widgets, and for who does not see it."""

from __future__ import annotations

import html

from labkit.plot.style import Picture
from labkit.plot.thing import Thing
from labkit.widgets.picture import labels

# They are other ones in every run, so a stored page could only show old ones.
NEW_IN_EVERY_RUN = ("id", "inode", "index", "MAC address", "counted", "received", "sent")
LINK_LOCAL = "fe80:"  # made of the MAC address


class Table:
    """The things of a picture with their details; shows itself folded, as HTML."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture

    def __repr__(self) -> str:
        things = len(self.picture.things)
        return f"<table of the {repr(self.picture).strip('<>')}: {things} things>"

    def _repr_html_(self) -> str:
        rows = "".join(map(_row, labels(self.picture.things), self.picture.things))
        what = html.escape(repr(self.picture).strip("<>"))
        return (
            f"<details><summary>As a table, when this cell ran: the {what}</summary>"
            f"<table><tr><th>What</th><th>Details</th></tr>{rows}</table></details>"
        )


def _row(label: str, thing: Thing) -> str:
    kept = [
        f"{name}: {value}"
        for name, value in thing.details
        if name not in NEW_IN_EVERY_RUN and not value.startswith(LINK_LOCAL)
    ]
    return f"<tr><td>{html.escape(label)}</td><td>{html.escape('; '.join(kept))}</td></tr>"
