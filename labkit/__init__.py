"""Container Networking Lab: real Docker hosts on this computer, and pictures of their networks.

The public names, each with one line:

- ``Lab``: a small network of Docker hosts; start it, use it, stop it.
- ``Snapshot``: everything about a lab host's networking at one moment; JSON in and out.
- ``diff``: what came, went and changed between two snapshots of a host.
- ``topology``: the map of a snapshot: namespaces, interfaces, wires, addresses.
- ``nat_table``: the NAT rules of a snapshot, in the order in which a packet meets them.
- ``rules_table``: the rules of a snapshot, hook by hook; what counted, came, went since another.
- ``journey``: a request's packets on their way through the lab, and its answers'.
- ``Journey``: what ``journey`` gives; JSON in and out.
- ``ladder``: all packets of a journey, between the places that they passed.
- ``timeline``: what one packet of a journey met, step by step.
- ``journey_map``: a packet's way over the map.
- ``JourneyView``: a journey to step through, in a widget.
- ``Explorer``: the map and the rules of a running lab in a widget to click in, live if you like.
- ``LabError``: the root of every error that labkit raises on purpose.

In a notebook, ``import labkit`` also brings the cell magics ``%%host host1`` and ``%%watch host1``.
"""

import importlib
import sys

_HOMES = {
    "Explorer": "labkit.widgets",
    "Journey": "labkit.model.journey",
    "JourneyView": "labkit.widgets",
    "Lab": "labkit.lab",
    "LabError": "labkit.errors",
    "Snapshot": "labkit.model.snapshot",
    "diff": "labkit.model.diff",
    "journey": "labkit.tracing",
    "journey_map": "labkit.plot",
    "ladder": "labkit.plot",
    "nat_table": "labkit.plot",
    "rules_table": "labkit.plot",
    "timeline": "labkit.plot",
    "topology": "labkit.plot",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    """A public name, imported when first asked for: the command line needs no matplotlib."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]


if "IPython" in sys.modules:
    importlib.import_module("labkit.magics").register()
