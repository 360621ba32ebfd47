"""Widgets: the pictures of a running lab, alive."""

from labkit.widgets.explorer import Explorer
from labkit.widgets.journey import JourneyView
from labkit.widgets.picture import PictureView

__all__ = ["Explorer", "JourneyView", "PictureView"]
