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
WORDS = """
conntrack -F 2> /dev/null
only() {
    docker ps -a --format '{{.Names}}' | grep -vxF "$(printf '%s\\n' "$@")" | xargs -r docker rm -f
}
up() { docker container inspect "$1" > /dev/null 2>&1 || docker run -d --name "$1" "${@:2}"; }
cable() {
    ip -o link | awk -F'[:@ ]+' -v i="$(docker exec "$1" cat /sys/class/net/eth0/iflink)" \\
        '$1 == i { print $2 }'
}
"""
SETTLE = "sleep 0.2"  # a server that has just been started listens by then


@dataclass(frozen=True)
class Scenario:
    """A state of the lab, and what the check must say about it."""

    exercise: Exercise
    name: str
    script: str
    undo: str  # for what the next state would not expect
    kind: str
    says: str

    @property
    def file(self) -> Path:
        return STATES / f"{self.name}.json"

    def make(self, lab: Lab) -> State:
        """What the check sees when the lab is in that state."""
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
        lesson = importlib.import_module(f"labkit.lessons.{module}")
        for name, entry in exercises.items():
            exercise = getattr(lesson, name)
            for state in entry["states"]:
                steps = exercise.script if state["do"] == "SOLUTION" else state["do"]
                yield Scenario(
                    exercise=exercise,
                    name=state["name"],
                    script="\n".join((WORDS, entry["given"], steps, SETTLE)),
                    undo="\n".join(
                        (WORDS, entry["undo"], "only none" * state.get("spoils", False))
                    ),
                    kind=state["kind"],
                    says=state["says"],
                )


if __name__ == "__main__":
    with Lab(hosts=1) as running:
        for scenario in scenarios():
            scenario.file.write_text(scenario.make(running).to_json() + "\n")
            print(scenario.file)
