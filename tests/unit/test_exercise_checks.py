"""The exercises' checks on states saved from a lab: what each says, and that none ever raises.

`python -m tests.engine.exercise_states` saves the states again.
"""

import itertools

import msgspec
import pytest

from labkit.exercises import Exercise, Kind, State, Verdict
from tests.engine.exercise_states import STATES, scenarios

SCENARIOS = list(scenarios())
EXERCISES = list({id(s.exercise): s.exercise for s in SCENARIOS}.values())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[s.name for s in SCENARIOS])
def test_a_saved_state_gets_the_answer_that_fits(scenario):
    verdict = scenario.exercise.judge(State.from_json(scenario.file.read_bytes()))
    assert verdict.kind == scenario.kind
    assert scenario.says in verdict.message


def test_there_is_a_saved_state_for_every_scenario_and_no_other():
    assert {s.file for s in SCENARIOS} == set(STATES.glob("*.json"))
    assert len(SCENARIOS) > 40


@pytest.mark.parametrize("exercise", EXERCISES, ids=[e.title for e in EXERCISES])
def test_right_nothing_and_at_least_two_wrong_states_get_distinct_answers(exercise):
    states = [s for s in SCENARIOS if s.exercise is exercise]
    verdicts = [exercise.judge(State.from_json(s.file.read_bytes())) for s in states]
    by_kind = {k: {v.message for v in verdicts if v.kind is k} for k in Kind}
    assert len(by_kind[Kind.CORRECT]) >= 1
    assert len(by_kind[Kind.MISSING]) >= 1
    assert len(by_kind[Kind.KEEP_WORKING]) >= 2
    assert len(exercise.hints) >= 2


def damaged(state: State) -> list[State]:
    """The state with a part missing: what a half-built or half-removed network looks like."""
    snapshot = state.snapshot
    replace = msgspec.structs.replace
    without = [
        replace(snapshot, **{field: parts[:n] + parts[n + 1 :]})
        for field in ("containers", "networks", "namespaces")
        for parts in (getattr(snapshot, field),)
        for n in range(len(parts))
        if getattr(parts[n], "kind", "") != "host"
    ]
    for n, namespace in enumerate(snapshot.namespaces):
        rest = snapshot.namespaces[:n], snapshot.namespaces[n + 1 :]
        hollow = [
            replace(namespace, **{field: parts[:m] + parts[m + 1 :]})
            for field in ("interfaces", "chains")
            for parts in (getattr(namespace, field),)
            for m in range(len(parts))
        ]
        hollow += [
            replace(namespace, interfaces=()),
            replace(namespace, chains=()),
            replace(
                namespace,
                interfaces=tuple(replace(i, peer=None, master=None) for i in namespace.interfaces),
            ),
        ]
        without += [replace(snapshot, namespaces=(*rest[0], h, *rest[1])) for h in hollow]
    bare = tuple(replace(c, ports=(), endpoints=(), namespace=None) for c in snapshot.containers)
    without += [replace(snapshot, containers=bare), replace(snapshot, engine=None, containers=())]
    return [replace(state, snapshot=s) for s in without] + [replace(state, probes={})]


def test_no_check_raises_on_a_half_built_network():
    seen = 0
    for scenario, exercise in itertools.product(SCENARIOS, EXERCISES):
        for state in damaged(State.from_json(scenario.file.read_bytes())):
            assert isinstance(exercise.judge(state), Verdict)
            seen += 1
    assert seen > 1000


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[s.name for s in SCENARIOS])
def test_a_state_is_the_same_after_json(scenario):
    state = State.from_json(scenario.file.read_bytes())
    assert State.from_json(state.to_json()) == state


def test_every_solution_is_shell_text_that_a_learner_could_type():
    for exercise in EXERCISES:
        assert isinstance(exercise, Exercise)
        assert "\t" not in exercise.script
        assert exercise.script == exercise.script.strip()
