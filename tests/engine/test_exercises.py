"""The exercises' checks on a live lab: the solution passes, a wrong state is named."""

import pytest

from tests.engine.exercise_states import scenarios

SCENARIOS = list(scenarios())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[s.name for s in SCENARIOS])
def test_a_check_answers_with_what_is_there(lab, scenario):
    verdict = scenario.exercise.judge(scenario.make(lab))
    assert verdict.kind == scenario.kind
    assert scenario.says in verdict.message


def test_solve_runs_the_solution_and_checks(lab):
    exercise = next(s.exercise for s in SCENARIOS if s.name == "first-right")
    assert exercise.check().kind == "still missing"
    assert exercise.solve().kind == "correct"
    assert exercise.done
    assert exercise.revealed
    lab.host1.read("docker rm -f first")
    exercise.restart()


def test_a_stopped_engine_is_one_sentence(lab):
    exercise = SCENARIOS[0].exercise
    lab.host1.read("service docker stop")
    try:
        verdict = exercise.check()
    finally:
        lab.host1.read("service docker start")
        exercise.restart()
    assert verdict.kind == "keep working"
    assert "service docker start" in verdict.message
