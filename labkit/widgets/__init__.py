"""Widgets: the pictures of a running lab, alive."""

from labkit.widgets.explorer import Explorer

__all__ = ["Explorer"]
