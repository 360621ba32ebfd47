"""Pictures: a snapshot or a journey in, a matplotlib Figure out. Nothing here reads a network."""

from labkit.plot.ladder import ladder
from labkit.plot.tables import nat_table, rules_table
from labkit.plot.timeline import timeline
from labkit.plot.topology import topology
from labkit.plot.track import journey_map

__all__ = ["journey_map", "ladder", "nat_table", "rules_table", "timeline", "topology"]
