"""What a learner is told: a kind and one sentence. It shows itself as text and as HTML."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from enum import StrEnum
from html import escape


class Kind(StrEnum):
    """The four answers to an exercise, and two more for a prediction."""

    CORRECT = "correct"
    KEEP_WORKING = "keep working"  # something was done; the sentence says what was found
    HINT = "hint"
    MISSING = "still missing"  # nothing was done yet
    COMMITTED = "committed"  # a prediction, before the run
    SURPRISE = "surprise"  # the lab shows something else than was predicted


# A mark for the text, a colour for the HTML: neither is the only carrier of the meaning.
MARKS = {
    Kind.CORRECT: ("✓", "#2a7a3a"),
    Kind.KEEP_WORKING: ("…", "#b26a00"),
    Kind.HINT: ("→", "#2f5fa8"),
    Kind.MISSING: ("○", "#6b6b6b"),
    Kind.COMMITTED: ("•", "#2f5fa8"),
    Kind.SURPRISE: ("!", "#b26a00"),
}


def marked(text: str) -> str:
    """The text as HTML; what stands between backticks is code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def html(text: str) -> str:
    """HTML for a widget that holds text: ipywidgets sets lines as far apart as its buttons."""
    return f'<div style="line-height: 1.5">{text}</div>'


def said(text: str, role: str = "status") -> str:
    """HTML for a widget, that a screen reader reads out when it comes."""
    return f'<div role="{role}">{text}</div>'


def filled(text: str) -> str:
    """The text in lines short enough for a page."""
    return textwrap.fill(text, 88, break_on_hyphens=False, break_long_words=False)


@dataclass(frozen=True)
class Verdict:
    """One answer to a learner.

    Example:
        >>> Verdict(Kind.MISSING, "there is no container named first")
        ○ still missing: there is no container named first
    """

    kind: Kind
    message: str

    def __repr__(self) -> str:
        return f"{MARKS[self.kind][0]} {self.kind}: {self.message}"

    def _repr_html_(self) -> str:
        mark, colour = MARKS[self.kind]
        return (
            f'<div style="border-left: 4px solid {colour}; padding: 2px 10px; line-height: 1.5">'
            f'<b style="color: {colour}">{mark} {self.kind}</b>: '
            f'<span style="white-space: pre-wrap">{marked(self.message)}</span></div>'
        )


class Unmet(Exception):
    """Ends a check at something that lacks; ``Exercise.judge`` gives its verdict."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


def correct(message: str) -> Verdict:
    """The goal is reached; the sentence says what was found."""
    return Verdict(Kind.CORRECT, message)


def not_yet(message: str) -> Verdict:
    """Not reached: the sentence says what was found in its place."""
    return Verdict(Kind.KEEP_WORKING, message)


def missing(message: str) -> Verdict:
    """Nothing to judge yet: the sentence says what was looked for."""
    return Verdict(Kind.MISSING, message)
