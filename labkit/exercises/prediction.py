"""A prediction: a question that the learner answers before the run, and the lab afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import ipywidgets

from labkit.errors import UsageError
from labkit.exercises.verdict import Kind, Verdict, correct, filled, html, marked, said

Choices = frozenset[str]


class Prediction:
    """A question with a committed answer; as a cell's last value it shows choices and a button.

    Args:
        title: a few words, for the list of what is done.
        question: what will happen.
        choices: the possible answers; without any, a line of free text is asked for.
        many: several choices may be right together.
        because: for an answer, what it gets wrong; shown when the lab shows something else.

    Example:
        >>> p = Prediction("colour", "Which colour?", ("red", "green"))
        >>> p.commit("green")
        • committed: green; now run, and let the lab answer
        >>> p.grade("green")
        ✓ correct: as you predicted: green
    """

    def __init__(
        self,
        title: str,
        question: str,
        choices: tuple[str, ...] = (),
        many: bool = False,
        because: Mapping[str, str] | None = None,
    ) -> None:
        self.title, self.question = title, question
        self.choices, self.many, self.because = choices, many, because or {}
        self.committed: Choices | None = None
        self.last: Verdict | None = None

    @property
    def done(self) -> bool:
        """It was committed, and the lab has answered."""
        return self.committed is not None and self.last is not None

    def restart(self) -> None:
        """Forget what was committed and what the lab answered."""
        self.committed, self.last = None, None

    def commit(self, *answers: str | int) -> Verdict:
        """Fix the answer, before the run; there is one try."""
        if self.committed is not None:
            raise UsageError(
                f"you have committed {self._text(self.committed)} already; .restart() forgets it"
            )
        if self.last is not None:
            raise UsageError("the lab has answered this already; .restart() forgets the answer")
        self.committed = self._normal(answers)
        answer = self._text(self.committed)
        return Verdict(Kind.COMMITTED, f"{answer}; now run, and let the lab answer")

    def grade(self, *actual: str | int) -> Verdict:
        """Set the committed answer against what the live lab shows."""
        found = self._normal(actual)
        if self.committed is None:
            verdict = Verdict(
                Kind.MISSING, f"no prediction was committed; the lab shows: {self._text(found)}"
            )
        elif self.committed == found:
            verdict = correct(f"as you predicted: {self._text(found)}")
        else:
            wrong = self.committed ^ found
            why = " ".join(text for choice, text in self.because.items() if choice in wrong)
            verdict = Verdict(
                Kind.SURPRISE,
                f"you predicted {self._text(self.committed)}; the lab shows: {self._text(found)}."
                + (f" {why}" if why else ""),
            )
        self.last = verdict
        return verdict

    def _normal(self, answers: Iterable[str | int]) -> Choices:
        given = [" ".join(str(a).split()) for a in answers]
        if not self.choices:
            if len(given) != 1 or not given[0]:
                raise UsageError("give one answer, such as .commit('172.17.0.2')")
            return frozenset(given)
        by_name = {c.casefold(): c for c in self.choices}
        unknown = [g for g in given if g.casefold() not in by_name]
        if unknown:
            raise UsageError(
                f"{unknown[0]!r} is not among the choices; they are: {'; '.join(self.choices)}"
            )
        if not self.many and len(given) != 1:
            raise UsageError(f"choose one of: {'; '.join(self.choices)}")
        return frozenset(by_name[g.casefold()] for g in given)

    def _text(self, answer: Choices) -> str:
        ordered = [c for c in self.choices if c in answer] or sorted(answer)
        return "; ".join(ordered) or "none of them"

    def __repr__(self) -> str:
        box = "[ ]" if self.many else "( )"
        choices = "".join(f"  {box} {c}\n" for c in self.choices) or "  ____\n"
        how = "every one that applies" if self.many else "one"
        asks = f"Choose {how}, " if self.choices else "Write your answer, "
        question = filled(f"Predict: {self.question}")
        return f"{question}\n{choices}{asks}then commit."

    def _repr_mimebundle_(self, **_: object) -> dict:
        return {**self.widget()._repr_mimebundle_(), "text/plain": repr(self)}

    def widget(self) -> ipywidgets.VBox:
        """The question, its choices and the button that commits."""
        wide = ipywidgets.Layout(width="auto")
        boxes: list[ipywidgets.Widget]
        if not self.choices:
            # Told as a whole when it is left: letters wait in the browser while the kernel is busy,
            # and the button's click would overtake them.
            words = {"description": "Prediction:", "placeholder": "your answer"}
            boxes = [ipywidgets.Text(**words, continuous_update=False)]
        elif self.many:
            boxes = [
                ipywidgets.Checkbox(description=c, indent=False, layout=wide) for c in self.choices
            ]
        else:
            boxes = [ipywidgets.RadioButtons(options=self.choices, value=None, layout=wide)]
        button = ipywidgets.Button(
            description="Commit", tooltip=f"Fix the answer, there is one try: {self.title}"
        )
        place = ipywidgets.HTML()

        def chosen() -> list[str]:
            if self.many:
                return [b.description for b in boxes if b.value]
            return [boxes[0].value] if boxes[0].value else []

        def close() -> None:
            for widget in (*boxes, button):
                widget.disabled = True

        def press(_: ipywidgets.Button) -> None:
            try:
                place.value = said(self.commit(*chosen())._repr_html_())
            except UsageError as error:
                place.value = said(marked(str(error)), "alert")
            else:
                close()

        button.on_click(press)
        if self.committed is not None:
            place.value = marked(f"committed: {self._text(self.committed)}")
            close()
        question = ipywidgets.HTML(html(f"<b>Predict:</b> {marked(self.question)}"))
        return ipywidgets.VBox([question, *boxes, button, place])
