"""Predictions, exercises, claims, verdicts and progress: what a learner is told, with no lab."""

import pytest

from labkit import lab as labs
from labkit.errors import UsageError
from labkit.exercises import (
    ClaimFailed,
    Exercise,
    Kind,
    Prediction,
    Progress,
    State,
    Verdict,
    claim,
    correct,
    not_yet,
)
from labkit.lessons import default_bridge, ports, start_here
from labkit.model.snapshot import Namespace, Snapshot

EMPTY = State(
    snapshot=Snapshot(
        host="host1",
        time=0.0,
        engine="26.1.5",
        namespaces=(Namespace(id=1, kind="host", name="host1"),),
    )
)


@pytest.fixture
def one() -> Prediction:
    because = {"host": "Only with --network host."}
    return Prediction("network", "Which network?", ("bridge", "host"), because=because)


@pytest.fixture
def many() -> Prediction:
    return Prediction("reach", "Who answers?", ("left", "right", "host"), many=True)


class TestPrediction:
    def test_a_right_one(self, one):
        assert one.commit("bridge").kind is Kind.COMMITTED
        assert one.grade("bridge") == correct("as you predicted: bridge")
        assert one.done

    def test_a_wrong_one_says_what_the_lab_shows_and_why(self, one):
        one.commit("host")
        verdict = one.grade("bridge")
        assert verdict.kind is Kind.SURPRISE
        assert verdict.message == (
            "you predicted host; the lab shows: bridge. Only with --network host."
        )
        assert one.done

    def test_none_committed_is_said_and_is_not_done(self, one):
        verdict = one.grade("bridge")
        assert verdict.kind is Kind.MISSING
        assert verdict.message == "no prediction was committed; the lab shows: bridge"
        assert not one.done

    def test_there_is_one_try(self, one):
        one.commit("host")
        with pytest.raises(UsageError, match="committed host already"):
            one.commit("bridge")

    def test_it_comes_before_the_run(self, one):
        one.grade("bridge")
        with pytest.raises(UsageError, match=r"answered this already; \.restart"):
            one.commit("bridge")
        one.restart()
        one.commit("bridge")

    @pytest.mark.parametrize("answer", ["overlay", "", 3])
    def test_an_unknown_answer_names_the_choices(self, one, answer):
        with pytest.raises(UsageError, match="they are: bridge; host"):
            one.commit(answer)
        assert one.committed is None

    def test_capitals_and_spaces_do_not_matter(self, one):
        one.commit("  BRIDGE ")
        assert one.grade("bridge").kind is Kind.CORRECT

    @pytest.mark.parametrize("answers", [(), ("bridge", "host")])
    def test_one_of_several_means_one(self, one, answers):
        with pytest.raises(UsageError, match="choose one of: bridge; host"):
            one.commit(*answers)

    def test_many_at_once_in_any_order(self, many):
        many.commit("host", "left")
        assert many.grade("left", "host").kind is Kind.CORRECT

    def test_none_of_many_is_an_answer(self, many):
        many.commit()
        assert many.grade("left").message == ("you predicted none of them; the lab shows: left.")

    def test_numbers_are_answers(self):
        number = Prediction("number", "How many?", ("0", "1"))
        number.commit(1)
        assert number.grade(1).kind is Kind.CORRECT

    def test_free_text(self):
        free = Prediction("address", "Which address?")
        with pytest.raises(UsageError, match="give one answer"):
            free.commit(" ")
        free.commit("172.17.0.2 ")
        assert free.grade("172.17.0.2").kind is Kind.CORRECT

    def test_the_lab_shows_what_no_choice_foresaw(self, one):
        one.commit("host")
        with pytest.raises(UsageError, match="'macvlan' is not among the choices"):
            one.grade("macvlan")

    def test_as_text_it_shows_question_and_choices(self, one, many):
        assert repr(one).splitlines() == [
            "Predict: Which network?",
            "  ( ) bridge",
            "  ( ) host",
            "Choose one, then commit.",
        ]
        assert "  [ ] right" in repr(many)


class TestPredictionWidget:
    def test_radio_buttons_commit(self, one):
        _, radio, button, place = one.widget().children
        assert radio.value is None
        radio.value = "host"
        button.click()
        assert one.committed == {"host"}
        assert radio.disabled
        assert button.disabled
        assert '<div role="status">' in place.value
        assert "committed" in place.value

    def test_nothing_chosen_is_answered_and_can_be_mended(self, one):
        _, radio, button, place = one.widget().children
        button.click()
        assert '<div role="alert">choose one of: bridge; host' in place.value
        assert not radio.disabled
        radio.value = "bridge"
        button.click()
        assert one.committed == {"bridge"}

    def test_checkboxes_commit(self, many):
        _, left, right, host, button, _place = many.widget().children
        left.value = host.value = True
        button.click()
        assert many.committed == {"left", "host"}
        assert right.disabled

    def test_text_commits(self):
        free = Prediction("address", "Which address?")
        _, box, button, _place = free.widget().children
        assert box.description == "Prediction:"
        assert "address" in button.tooltip
        box.value = "172.17.0.2"
        button.click()
        assert free.committed == {"172.17.0.2"}

    def test_shown_again_it_is_closed(self, one):
        one.commit("host")
        _, radio, button, place = one.widget().children
        assert radio.disabled
        assert button.disabled
        assert "host" in place.value

    def test_the_bundle_has_a_widget_and_a_text(self, one):
        bundle = one._repr_mimebundle_()
        assert set(bundle) == {"application/vnd.jupyter.widget-view+json", "text/plain"}
        assert bundle["text/plain"] == repr(one)


@pytest.fixture
def exercise(monkeypatch) -> Exercise:
    made = Exercise(
        "a title",
        "Make `x` true.",
        lambda state: correct("x is true") if state.stopped else not_yet("x is `false`"),
        ("look", "type it"),
        "make x",
    )
    monkeypatch.setattr(made, "read", lambda: EMPTY)
    return made


class TestExercise:
    def test_a_check_tells_and_remembers(self, exercise):
        assert exercise.check() == not_yet("x is `false`")
        assert not exercise.done
        exercise.read = lambda: State(snapshot=EMPTY.snapshot, stopped={"x": "exited"})
        assert exercise.check().kind is Kind.CORRECT
        assert exercise.done

    def test_done_is_undone_when_the_lab_changes(self, exercise):
        exercise.last = correct("x is true")
        exercise.check()
        assert not exercise.done

    def test_hints_come_one_by_one_and_the_last_stays(self, exercise):
        given = [exercise.hint().message for _ in range(3)]
        assert given == ["(1 of 2) look", "(2 of 2) type it", "(2 of 2) type it"]
        assert exercise.hint().kind is Kind.HINT

    def test_the_solution_is_shown_on_request(self, exercise):
        assert "make x" not in repr(exercise)
        assert "make x" in exercise.solution().message
        assert exercise.revealed

    def test_without_a_lab_it_says_so_in_a_sentence(self, exercise, monkeypatch):
        monkeypatch.setattr(labs, "_running", [])
        monkeypatch.setattr(exercise, "read", lambda: Exercise.read(exercise))
        verdict = exercise.check()
        assert verdict.kind is Kind.KEEP_WORKING
        assert "no lab is running; start one" in verdict.message

    def test_without_an_engine_it_says_so_in_a_sentence(self, exercise):
        snapshot = Snapshot(host="host1", time=0.0, engine=None, namespaces=())
        exercise.read = lambda: State(snapshot=snapshot)
        verdict = exercise.check()
        assert verdict.kind is Kind.KEEP_WORKING
        assert "service docker start" in verdict.message

    def test_the_buttons_answer_in_their_place(self, exercise):
        task, buttons, place = exercise.widget().children
        assert "<code>x</code>" in task.value
        check, hint, solution = buttons.children
        assert all("a title" in button.tooltip for button in buttons.children)
        check.click()
        assert '<div role="status">' in place.value
        assert "keep working" in place.value
        hint.click()
        assert "(1 of 2) look" in place.value
        solution.click()
        assert "make x" in place.value

    def test_the_bundle_has_a_widget_and_a_text(self, exercise):
        bundle = exercise._repr_mimebundle_()
        assert set(bundle) == {"application/vnd.jupyter.widget-view+json", "text/plain"}
        assert bundle["text/plain"] == repr(exercise)


class TestProgress:
    def test_it_follows_the_learner(self, one, many, exercise):
        progress = Progress("a lesson", one, many, exercise)
        assert [r[2] for r in progress.rows()] == ["not committed", "not committed", "not started"]
        one.commit("bridge")
        assert progress.rows()[0][2] == "committed, not run"
        one.grade("bridge")
        many.commit("left")
        many.grade("right")
        exercise.check()
        assert [r[2] for r in progress.rows()] == ["as predicted", "a surprise", "keep working"]
        assert progress.done == 2
        exercise.hint()
        exercise.solution()
        exercise.last = correct("x is true")
        assert progress.rows()[2][2] == "done (1 hint, the solution seen)"
        assert repr(progress).splitlines()[0] == "a lesson: 3 of 3 done"
        assert "3 of 3 done" in progress._repr_html_()
        progress.restart()
        assert progress.done == 0
        assert progress.rows()[2][2] == "not started"

    def test_a_check_that_no_longer_holds_is_no_longer_done(self, exercise):
        progress = Progress("a lesson", exercise)
        exercise.last = correct("x is true")
        exercise.check()
        assert progress.rows()[0][2] == "keep working"


class TestClaim:
    def test_what_is_so_is_printed(self, capsys):
        claim("two and two are four", 2 + 2, 4)
        assert capsys.readouterr().out == "✓ two and two are four\n"

    @pytest.mark.parametrize("found", [5, None, "4"])
    def test_what_is_not_so_stops_the_lesson(self, found):
        with pytest.raises(ClaimFailed, match="not so here: two and two are four") as caught:
            claim("two and two are four", found, 4)
        assert caught.value._render_traceback_() == [f"✗ {caught.value}"]
        assert repr(found) in str(caught.value)

    def test_truth_is_expected_unless_said(self):
        with pytest.raises(ClaimFailed):
            claim("nothing is something", False)


def test_a_verdict_is_text_and_html():
    verdict = Verdict(Kind.KEEP_WORKING, "found `<lo>` & no more")
    assert repr(verdict) == "… keep working: found `<lo>` & no more"
    assert "<code>&lt;lo&gt;</code> &amp; no more" in verdict._repr_html_()


@pytest.mark.parametrize("lesson", [start_here, default_bridge, ports])
def test_every_item_of_a_lesson_is_in_its_progress(lesson):
    items = [v for v in vars(lesson).values() if isinstance(v, Prediction | Exercise)]
    assert list(lesson.progress.items) == items
    assert len({i.title for i in items}) == len(items) >= 3


@pytest.mark.parametrize("lesson", [start_here, default_bridge, ports])
def test_explanations_belong_to_choices(lesson):
    for item in lesson.progress.items:
        if isinstance(item, Prediction):
            assert set(item.because) <= set(item.choices)
