"""An exercise: a task, a check that reads the live lab, hints one by one, and a solution."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ipywidgets

from labkit import lab as labs
from labkit.errors import LabError
from labkit.exercises.state import Probe, State, read
from labkit.exercises.verdict import Kind, Unmet, Verdict, filled, html, marked, not_yet, said


class Exercise:
    """Something to do on the live lab; as a cell's last value it shows its task and its buttons.

    Args:
        title: a few words, for the list of what is done.
        task: what has to be true in the end.
        check: a pure function of the state; it knows wrong states and says what it found.
        hints: the first is a nudge, the last nearly the solution.
        solution: shell text that brings the lab to the goal; the tests run it.
        host: the lab host that is looked at, and on which the solution runs.
        probes: commands whose answers the check needs.
    """

    def __init__(
        self,
        title: str,
        task: str,
        check: Callable[[State], Verdict],
        hints: tuple[str, ...],
        solution: str,
        host: str = "host1",
        probes: Mapping[str, Probe] | None = None,
    ) -> None:
        self.title, self.task = title, task
        self._check, self.hints, self.script = check, hints, solution
        self.host, self.probes = host, probes or {}
        self.hints_given = 0
        self.revealed = False
        self.last: Verdict | None = None

    @property
    def done(self) -> bool:
        """The last check found the goal reached."""
        return self.last is not None and self.last.kind is Kind.CORRECT

    def restart(self) -> None:
        """Forget the hints given and the last answer."""
        self.hints_given, self.revealed, self.last = 0, False, None

    def read(self) -> State:
        """The state that a check judges, from the running lab."""
        return read(labs.current(), self.host, self.probes)

    def judge(self, state: State) -> Verdict:
        """What the check says about that state."""
        try:
            return self._check(state)
        except Unmet as unmet:
            return unmet.verdict

    def check(self) -> Verdict:
        """Look at the live lab and judge what is there. What was typed doesn't matter."""
        try:
            state = self.read()
            if state.snapshot.engine is None:
                verdict = not_yet(
                    f"{self.host}'s Docker Engine does not answer; start it with "
                    f"`service docker start` on {self.host}"
                )
            else:
                verdict = self.judge(state)
        except LabError as error:
            verdict = not_yet(str(error))
        self.last = verdict
        return verdict

    def hint(self) -> Verdict:
        """The next hint; after the last one, the last one again."""
        self.hints_given = min(self.hints_given + 1, len(self.hints))
        count = f"({self.hints_given} of {len(self.hints)}) "
        return Verdict(Kind.HINT, count + self.hints[self.hints_given - 1])

    def solution(self) -> Verdict:
        """One way to do it, as shell text for the lab host."""
        self.revealed = True
        return Verdict(Kind.HINT, f"one way, on {self.host}:\n{self.script}")

    def solve(self) -> Verdict:
        """Run the solution on the lab, then check."""
        self.revealed = True
        labs.current().node(self.host).sh(self.script)
        return self.check()

    def __repr__(self) -> str:
        return f"Exercise: {self.title}\n\n{filled(self.task)}\n\n.check()  .hint()  .solution()"

    def _repr_mimebundle_(self, **_: object) -> dict:
        return {**self.widget()._repr_mimebundle_(), "text/plain": repr(self)}

    def widget(self) -> ipywidgets.VBox:
        """The task, three buttons, and the place where their answers appear."""
        place = ipywidgets.HTML()

        def button(label: str, tooltip: str, answer: Callable[[], Verdict]) -> ipywidgets.Button:
            def press(_: ipywidgets.Button) -> None:
                place.value = said(answer()._repr_html_())

            made = ipywidgets.Button(description=label, tooltip=tooltip)
            made.on_click(press)
            return made

        task = ipywidgets.HTML(html(f"<b>Exercise: {self.title}</b><p>{marked(self.task)}</p>"))
        buttons = ipywidgets.HBox(
            [
                button("Check", f"Look at the lab: {self.title}", self.check),
                button("Hint", f"The next hint: {self.title}", self.hint),
                button("Solution", f"One way to do it: {self.title}", self.solution),
            ]
        )
        return ipywidgets.VBox([task, buttons, place])
