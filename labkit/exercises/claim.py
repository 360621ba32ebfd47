"""A claim of a lesson's text, checked against the live lab where it stands."""

from __future__ import annotations


class ClaimFailed(AssertionError):
    """The lesson says one thing and this lab shows another."""

    def _render_traceback_(self) -> list[str]:
        return [f"✗ {self}"]


def claim(sentence: str, found: object = True, expected: object = True) -> None:
    """Print the sentence with a tick if what was found is what was expected; else stop here.

    Example:
        >>> claim("two and two are four", 2 + 2, 4)
        ✓ two and two are four
    """
    if found != expected:
        raise ClaimFailed(f"not so here: {sentence} (expected {expected!r}, found {found!r})")
    print(f"✓ {sentence}")
