"""The explorer: the pictures of a running lab in one widget, drawn again on request or live."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import ipywidgets as widgets
from IPython.display import display

from labkit.errors import LabError, UsageError
from labkit.live import Live
from labkit.model.snapshot import Snapshot
from labkit.plot import nat_table, rules_table, topology
from labkit.plot.style import Picture
from labkit.widgets.parts import parts
from labkit.widgets.picture import PictureView
from labkit.widgets.table import Table

if TYPE_CHECKING:
    from labkit.host import Host
    from labkit.lab import Lab

ALL = "all hosts"
Snapshots = tuple[Snapshot, ...]  # of the chosen hosts; the same, of the refresh before


class Pane(widgets.VBox):
    """One picture of the explorer, with the fields that say what of it to show.

    Args:
        draw: given the snapshots of now, those of the refresh before, and the fields' texts.
        fields: a field's name, and the example in it.
    """

    def __init__(self, draw: Callable[..., Picture], **fields: str) -> None:
        self.draw = draw
        self.view = PictureView()
        self.note = widgets.HTML()
        self.fields = {
            name: widgets.Text(
                description=f"{name.capitalize()}:",
                placeholder=f"such as {example}",
                continuous_update=False,
                layout=widgets.Layout(width="15em"),
            )
            for name, example in fields.items()
        }
        self._seen: tuple[Snapshots, Snapshots] = ((), ())
        self._stale = False  # what was seen last is not what is drawn
        for field in self.fields.values():
            field.observe(lambda _: self._ask(), "value")
        above = [widgets.HBox(list(self.fields.values()))] if fields else []
        super().__init__([*above, self.note, self.view])

    def see(self, now: Snapshots, before: Snapshots) -> None:
        """Take these snapshots, to draw them when somebody looks."""
        self._seen, self._stale = (now, before), True

    def look(self) -> None:
        """Draw what was seen last; what is asked for and cannot be is a sentence."""
        if not self._stale:
            return
        self._stale = False
        asked = {name: field.value.strip() for name, field in self.fields.items()}
        try:
            self.view.show(self.draw(*self._seen, **{n: text for n, text in asked.items() if text}))
            self.note.value = ""
        except UsageError as error:
            self.note.value = said(f"{error}.", "alert")
        self.view.layout.display = "none" if self.note.value else None

    def _ask(self) -> None:
        self._stale = bool(self._seen[0])
        self.look()


class Explorer(widgets.VBox):
    """The map and the NAT table of a lab, with the host to choose, drawn again when asked or live.

    Where no widget can live (GitHub, a printed page) it shows as the map that it had when its
    cell ran, and a table of what is on it.

    Args:
        lab: a running lab.

    Example:
        >>> Explorer(lab)  # doctest: +SKIP
    """

    _live: Live | None = None

    def __init__(self, lab: Lab) -> None:
        self.hosts: tuple[Host, ...] = tuple(lab.hosts)
        self._recorded = lab.recorded
        if not self.hosts:
            raise UsageError("this lab has no host to look at; start it first with lab.start()")
        self.panes = {
            "Map": Pane(lambda now, before: topology(*now)),
            "NAT table": Pane(lambda now, before: nat_table(one(now))),
            "Rules": Pane(rules, address="172.17.0.2", port="8080", container="web"),
        }
        several = [(ALL, ALL)] if len(self.hosts) > 1 else []
        self.picker = widgets.Dropdown(
            options=[*((host.name, host) for host in self.hosts), *several],
            description="Lab host:",
        )
        self.button = widgets.Button(
            description="Refresh",
            icon="refresh",
            tooltip="Read the network now, and draw it again",
        )
        self.toggle = widgets.ToggleButton(
            description="Live",
            icon="bolt",
            tooltip=(
                "Draw it again whenever something changes. Traffic only counts, "
                "which is no change: Refresh shows its counters"
            ),
        )
        self.status = widgets.HTML()
        self._now: Snapshots = ()
        self._drawing = threading.Lock()
        self.tabs = widgets.Tab(list(self.panes.values()), titles=list(self.panes))
        controls = widgets.HBox([self.picker, self.button, self.toggle, self.status])
        super().__init__([controls, self.tabs])
        self.picker.observe(lambda _: self._choose(), "value")
        self.button.on_click(lambda _: self.refresh())
        self.toggle.observe(lambda _: self._listen(), "value")
        self.tabs.observe(lambda _: self._look(), "selected_index")
        self.refresh()

    @property
    def chosen(self) -> tuple[Host, ...]:
        """The lab hosts that are shown."""
        return self.hosts if self.picker.value == ALL else (self.picker.value,)

    @property
    def figures(self) -> dict[str, Picture]:
        """The pictures of the last refresh that worked, by the titles of their tabs."""
        for pane in self.panes.values():
            pane.look()
        views = {title: pane.view for title, pane in self.panes.items()}
        return {title: view.picture for title, view in views.items() if view.picture}

    def refresh(self) -> None:
        """Read the chosen hosts' networks and draw them; on failure, a sentence says why."""
        with self._drawing:  # live mode's thread and the learner's own may meet here
            hosts = self.chosen
            try:
                now = tuple(host.snapshot() for host in hosts)
            except LabError as error:
                older = " The pictures are from before." if self._now else ""
                self._say(f"{self.picker.label}: {str(error).rstrip('.')}.{older}", "alert")
                return
            last = {snapshot.host: snapshot for snapshot in self._now}
            before = tuple(last[s.host] for s in now if s.host in last)
            self._now = now
            for pane in self.panes.values():
                pane.see(now, before)
            self.tabs.children[self.tabs.selected_index].look()
            still = f" as it {self._recorded}" if self._recorded else " as of the last refresh"
            how = ", live" if self.toggle.value else still
            dead = [host.name for host, s in zip(hosts, now, strict=True) if not s.engine]
            engine = f"; the Docker Engine of {', '.join(dead)} does not answer" if dead else ""
            self._say(f"{self.picker.label}{how}{engine}", "status")

    def close(self) -> None:
        """End live mode, the widget, and what is in it."""
        self._end_live()
        if self.comm is not None:
            for part in parts(self):
                part.close()
            super().close()

    def _look(self) -> None:
        """Another tab: draw what is on it."""
        with self._drawing:
            self.tabs.children[self.tabs.selected_index].look()

    def _choose(self) -> None:
        """Another host: live mode is about that one then."""
        if self._live:
            self._listen()
        else:
            self.refresh()

    def _listen(self) -> None:
        """Start or end live mode, as the toggle says."""
        self._end_live()
        if not self.toggle.value:
            return
        try:
            self._live = Live(self.chosen, self.refresh, self._gone)
        except LabError as error:
            self.toggle.value = False
            self._say(f"{self.picker.label}: {str(error).rstrip('.')}.", "alert")

    def _gone(self) -> None:
        """The lab has stopped, and live mode with it."""
        self.toggle.value = False
        self._say("live mode has ended: the lab is stopped. The pictures are from before.", "alert")

    def _end_live(self) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def _say(self, text: str, role: str) -> None:
        self.status.value = said(text, role)

    def __repr__(self) -> str:
        return f"<explorer of {', '.join(host.name for host in self.hosts)}>"

    def _repr_mimebundle_(self, **options: object) -> tuple[dict, dict]:
        """For Jupyter: the widget, and the map for where no widget can live."""
        view = super()._repr_mimebundle_(**options)
        metadata: dict = {}
        if "Map" in self.figures:
            picture, metadata = self.figures["Map"]._repr_mimebundle_()
            view["image/png"] = picture["image/png"]
        return view, metadata

    def _ipython_display_(self) -> None:
        """For Jupyter: the widget, then the table. Of one output only one form would be shown."""
        data, metadata = self._repr_mimebundle_()
        display(data, metadata=metadata, raw=True)
        if "Map" in self.figures:
            display(Table(self.figures["Map"]))


def rules(now: Snapshots, before: Snapshots, port: str | None = None, **asked: str) -> Picture:
    """The rules that could matter to such a packet; those that counted since are marked."""
    if port is not None and not (port.isdecimal() and 0 < int(port) < 65536):
        raise UsageError(f"{port!r} is no port; a port is a number from 1 to 65535")
    number = None if port is None else int(port)
    return rules_table(one(now), before=next(iter(before), None), port=number, **asked)


def one(snapshots: Snapshots) -> Snapshot:
    """The only snapshot; UsageError when there are several."""
    if len(snapshots) > 1:
        raise UsageError("these rules are of one lab host; choose one above")
    return snapshots[0]


def said(text: str, role: str) -> str:
    """A message as HTML, that a screen reader reads out when it comes."""
    return f'<span role="{role}">{html.escape(text)}</span>'
