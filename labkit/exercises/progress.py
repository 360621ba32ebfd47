"""What of a notebook is done: kept while its kernel runs, shown by its last cell."""

from __future__ import annotations

from labkit.exercises.exercise import Exercise
from labkit.exercises.prediction import Prediction
from labkit.exercises.verdict import Kind, marked

Item = Prediction | Exercise


class Progress:
    """The predictions and exercises of one notebook, and how far the learner is."""

    def __init__(self, title: str, *items: Item) -> None:
        self.title, self.items = title, items

    def rows(self) -> list[tuple[str, str, str]]:
        """For each item: what kind it is, its title, how it stands."""
        return [(_kind(i), i.title, _standing(i)) for i in self.items]

    @property
    def done(self) -> int:
        """How many items are done."""
        return sum(i.done for i in self.items)

    def restart(self) -> None:
        """Begin the notebook anew: every prediction open, every exercise not started."""
        for item in self.items:
            item.restart()

    def __repr__(self) -> str:
        rows = self.rows()
        kinds, titles = (max(len(r[n]) for r in rows) for n in (0, 1))
        lines = [f"{kind:{kinds}}  {title:{titles}}  {standing}" for kind, title, standing in rows]
        return "\n".join([f"{self.title}: {self.done} of {len(rows)} done", *lines])

    def _repr_html_(self) -> str:
        left = '<td style="text-align: left">'
        cells = (left + f"</td>{left}".join(map(marked, row)) + "</td>" for row in self.rows())
        rows = "".join(f"<tr>{row}</tr>" for row in cells)
        caption = f"{marked(self.title)}: {self.done} of {len(self.items)} done"
        return f"<table><caption>{caption}</caption>{rows}</table>"


def _kind(item: Item) -> str:
    return "prediction" if isinstance(item, Prediction) else "exercise"


def _standing(item: Item) -> str:
    if isinstance(item, Prediction):
        if item.committed is None:
            return "not committed"
        if item.last is None:
            return "committed, not run"
        return "as predicted" if item.last.kind is Kind.CORRECT else "a surprise"
    if item.done:
        hints = f"{item.hints_given} hint{'s' * (item.hints_given > 1)}"
        helps = [hints] * bool(item.hints_given)
        helps += ["the solution seen"] * item.revealed
        return "done" + (f" ({', '.join(helps)})" if helps else "")
    return "not started" if item.last is None else str(item.last.kind)
