"""What a widget is made of: each part has its own line to the browser, and is closed by itself."""

from __future__ import annotations

from collections.abc import Iterator

from ipywidgets import Widget


def parts(widget: Widget) -> Iterator[Widget]:
    """All that is in a widget, innermost first: children, layouts, styles; not the widget itself.

    Example:
        >>> from ipywidgets import Button, HBox
        >>> [type(part).__name__ for part in parts(HBox([Button()]))]
        ['Layout', 'ButtonStyle', 'Button', 'Layout']
    """
    names = ("layout", "style")
    for part in (*getattr(widget, "children", ()), *(getattr(widget, n, None) for n in names)):
        if part is not None:
            yield from parts(part)
            yield part
