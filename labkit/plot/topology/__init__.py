"""The map of a lab: namespaces as boxes, interfaces as ports, veth pairs as wires.

From top to bottom: stations and outside, the LAN, then each lab host below the other with a branch
of the LAN above it. VXLAN tunnels run down the LAN at the right, from host to host.
"""

from __future__ import annotations

from collections.abc import Iterable

from labkit.errors import UsageError
from labkit.model.diff import Diff
from labkit.model.snapshot import Snapshot
from labkit.plot.style import Picture
from labkit.plot.topology.page import Page


def topology(*snapshots: Snapshot, change: Diff | Iterable[Diff] = ()) -> Picture:
    """The map of a lab host's network, or of a whole lab's.

    Args:
        snapshots: of one lab host or several, of stations and outside; live from
            ``host.snapshot()``, all of a lab's from ``lab.snapshots()``, or loaded from files.
        change: what led to a snapshot; namespaces and interfaces that came are marked. One, or
            one of each host.

    Returns:
        A matplotlib Figure that shows itself as a cell's last value. Its ``things`` are what can
        be picked on it.

    Raises:
        UsageError: no snapshot, or two of the same node.

    Example:
        >>> from labkit import Snapshot, topology
        >>> topology(Snapshot.load("tests/unit/snapshots/three.json"))
        <map of host1: 3 containers, 1 bridge>
    """
    names = [s.host for s in snapshots]
    if not names:
        raise UsageError("a map needs a snapshot: topology(lab.host1.snapshot())")
    if twice := {n for n in names if names.count(n) > 1}:
        raise UsageError(f"there are two snapshots of {min(twice)}; a map shows one moment")
    changes = {c.host: c for c in ((change,) if isinstance(change, Diff) else change)}
    return Page(snapshots, changes).draw()
