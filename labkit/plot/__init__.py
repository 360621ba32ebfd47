"""Pictures: a snapshot in, a matplotlib Figure out. Nothing here reads a network."""

from labkit.plot.tables import nat_table, rules_table
from labkit.plot.topology import topology

__all__ = ["nat_table", "rules_table", "topology"]
