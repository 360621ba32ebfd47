"""The explorer: the pictures of a running lab in one widget, drawn again on request."""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING

import ipywidgets as widgets

from labkit.errors import LabError, UsageError
from labkit.plot import nat_table, topology
from labkit.plot.style import Picture

if TYPE_CHECKING:
    from labkit.lab import Lab

PICTURES = {"Map": topology, "NAT table": nat_table}  # a tab's title, and what draws it


class Explorer(widgets.VBox):
    """The map and the NAT table of a lab host, with the host to choose and a button to refresh.

    Where no widget can live (GitHub, a printed page) it shows as the map that it had when its
    cell ran.

    Args:
        lab: a running lab; only its hosts' ``name`` and ``snapshot()`` are used.

    Example:
        >>> Explorer(lab)  # doctest: +SKIP
    """

    def __init__(self, lab: Lab) -> None:
        hosts = [(host.name, host) for host in lab.hosts]
        if not hosts:
            raise UsageError("this lab has no host to look at; start it first with lab.start()")
        self.figures: dict[str, Picture] = {}  # by a tab's title, of the last refresh that worked
        self.picker = widgets.Dropdown(options=hosts, description="Lab host:")
        self.button = widgets.Button(
            description="Refresh",
            icon="refresh",
            tooltip="Read the network of this lab host now, and draw it again",
        )
        self.status = widgets.HTML()
        # Not widgets.Image: it has no text for a person who does not see it.
        self.images = {title: widgets.HTML() for title in PICTURES}
        tabs = widgets.Tab(list(self.images.values()), titles=list(PICTURES))
        super().__init__([widgets.HBox([self.picker, self.button, self.status]), tabs])
        self.picker.observe(lambda _: self.refresh(), "value")
        self.button.on_click(lambda _: self.refresh())
        self.refresh()

    def refresh(self) -> None:
        """Read the chosen host's network and draw it; on failure, a sentence says why."""
        host = self.picker.value
        try:
            snapshot = host.snapshot()
            self.figures = {title: draw(snapshot) for title, draw in PICTURES.items()}
        except LabError as error:
            older = " The pictures are from before." if self.figures else ""
            self._say(f"{host.name}: {str(error).rstrip('.')}.{older}", "alert")
            return
        for title, figure in self.figures.items():
            self.images[title].value = _image(figure)
        engine = "" if snapshot.engine else "; its Docker Engine does not answer"
        self._say(f"{host.name} as it is now{engine}", "status")

    def _say(self, text: str, role: str) -> None:
        self.status.value = f'<span role="{role}">{html.escape(text)}</span>'

    def __repr__(self) -> str:
        return f"<explorer of {', '.join(name for name, _ in self.picker.options)}>"

    def _repr_mimebundle_(self, **options: object) -> tuple[dict, dict]:
        """For Jupyter: the widget, and the map for where no widget can live."""
        view, metadata = super()._repr_mimebundle_(**options), {}
        if "Map" in self.figures:
            picture, metadata = self.figures["Map"]._repr_mimebundle_()
            view["image/png"] = picture["image/png"]
        return view, metadata


def _image(figure: Picture) -> str:
    data, text = base64.b64encode(figure.png()).decode(), html.escape(repr(figure).strip("<>"))
    width, height = figure.pixels
    return (
        f'<img alt="{text}" width="{width}" height="{height}" '
        f'style="max-width: 100%; height: auto" src="data:image/png;base64,{data}">'
    )
