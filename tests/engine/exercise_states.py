"""Bring a live lab into each state of tests/unit/states/scenarios.toml.

``python -m tests.engine.exercise_states`` saves what the checks see there, as files that the unit
tests judge without a lab.
"""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labkit.exercises import Exercise, State
from labkit.lab import Lab

STATES = Path(__file__).parent.parent / "unit" / "states"


@dataclass(frozen=True)
class Scenario:
    """A state of the lab, and what the check must say about it."""

    exercise: Exercise
    name: str
    script: str
    undo: str
    kind: str
    says: str

    @property
    def file(self) -> Path:
        return STATES / f"{self.name}.json"

    def make(self, lab: Lab) -> State:
        """What the check sees when the lab is in that state; the lab is emptied afterwards."""
        host = lab.node(self.exercise.host)
        try:
            host.read(self.script)
            return self.exercise.read()
        finally:
            host.read(self.undo)


def scenarios() -> Iterator[Scenario]:
    """Every scenario of the file."""
    table = tomllib.loads((STATES / "scenarios.toml").read_text())
    for module, exercises in table.items():
        lesson = importlib.import_module(f"labkit.exercises.{module}")
        for name, entry in exercises.items():
            exercise = getattr(lesson, name)
            for state in entry["states"]:
                steps = exercise.script if state["do"] == "SOLUTION" else state["do"]
                yield Scenario(
                    exercise=exercise,
                    name=state["name"],
                    script=f"{entry['given']}\nsleep 0.3\n{steps}",
                    undo=entry["undo"],
                    kind=state["kind"],
                    says=state["says"],
                )


if __name__ == "__main__":
    with Lab(hosts=1) as running:
        for scenario in scenarios():
            scenario.file.write_text(scenario.make(running).to_json())
            print(scenario.file)
