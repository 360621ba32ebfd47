"""The benches' report: figures in, a table, JSON and a picture out."""

from __future__ import annotations

import pytest

from tests.bench import __main__ as command
from tests.bench.figures import Figure, compared, number, paired
from tests.bench.report import Report, chart, save, table

LESS = Figure(name="ours / theirs", ours=0.5, peer=1.0, ratio=0.5, runs=9, most=1.3)
MORE = Figure(name="a / b", ours=1.2, peer=0.8, ratio=1.5, unit="MiB", runs=3, most=1.3)
ALONE = Figure(name="the tests", ours=495.2, most=600)
REPORT = Report(
    date="2026-11-24", computer="2 processors", figures=(LESS, MORE, ALONE), notes=("7 labs clean",)
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.01234, "0.0123"), (1.5, "1.5"), (10, "10"), (100.4, "100"), (12345.6, "12346")],
)
def test_a_number_has_three_digits_or_all_before_its_point(value, text):
    assert number(value) == text


def test_a_pairs_ratio_is_the_median_of_the_ratios_not_the_ratio_of_the_medians():
    figure = compared("a / b", [(1, 1), (2, 4), (9, 3)])
    assert (figure.ours, figure.peer, figure.ratio, figure.runs) == (2, 3, 1, 3)


def test_each_of_a_pair_is_measured_in_turn_and_the_first_pair_is_a_warm_up():
    order = []
    paired("a / b", lambda: order.append("a") or 1, lambda: order.append("b") or 1, 2)
    assert order == ["a", "b"] * 3


def test_a_target_is_for_the_ratio_and_without_a_peer_for_the_figure():
    assert (LESS.target, LESS.met) == ("≤ 1.3: met", True)
    assert (MORE.target, MORE.met) == ("≤ 1.3: not met", False)
    assert (ALONE.target, ALONE.met) == ("≤ 600 s: met", True)
    without = Figure(name="x", ours=1)
    assert (without.target, without.met) == ("", None)


def test_the_table_is_markdown_with_date_computer_and_notes():
    assert (
        table(REPORT)
        == """\
2026-11-24: 2 processors.

| what / beside what | ours    | the other | ratio | target         |
|--------------------|---------|-----------|-------|----------------|
| ours / theirs      | 0.5 s   | 1 s       | 0.5   | ≤ 1.3: met     |
| a / b              | 1.2 MiB | 0.8 MiB   | 1.5   | ≤ 1.3: not met |
| the tests          | 495 s   |           |       | ≤ 600 s: met   |

- 7 labs clean
"""
    )


def test_a_report_is_saved_as_json_table_and_picture(tmp_path):
    files = save(REPORT, tmp_path / "new" / "bench.json")
    assert [file.name for file in files] == ["bench.json", "bench.md", "bench.png"]
    assert Report.load(files[0]) == REPORT
    assert files[1].read_text() == table(REPORT)
    assert files[2].read_bytes().startswith(b"\x89PNG")


def test_the_picture_has_a_bar_for_each_ratio_on_its_side_of_one():
    picture = chart(REPORT)
    blue, orange = (patch.get_bbox() for patch in picture.axes_.patches)
    assert blue.x1 == pytest.approx(orange.x0)
    assert blue.width / orange.width == pytest.approx(0.3010 / 0.1761, rel=0.01)  # log10
    assert picture.summary == "bench: 2 ratios"


@pytest.mark.parametrize("count", [0, 1, 40])
def test_the_picture_is_as_high_as_its_bars_ask_for(count):
    heights = [
        chart(Report(date="", computer="", figures=figures)).get_size_inches()[1]
        for figures in ((), (LESS,) * count)
    ]
    assert (heights[1] - heights[0]) * 72 == pytest.approx(27 * count)


def test_a_bench_that_fails_takes_no_others_figures(monkeypatch, tmp_path, capsys):
    def broken(_):
        yield MORE
        raise OSError("no such thing")

    monkeypatch.setattr(command, "BENCHES", {"a": broken, "b": lambda runs: iter([LESS, "a note"])})
    place = tmp_path / "bench.json"
    assert command.main(["--json", str(place)]) == 1
    found = Report.load(place)
    assert found.figures == (MORE, LESS)
    assert found.notes == ("a note",)
    assert found.failures == ("a: OSError: no such thing",)
    out, err = capsys.readouterr()
    assert "- failed: a: OSError: no such thing" in out
    assert err == "failed: a: OSError: no such thing\n"


def test_only_the_named_benches_run(monkeypatch, tmp_path):
    monkeypatch.setattr(
        command, "BENCHES", {n: lambda runs, n=n: iter([f"{n} {runs}"]) for n in "ab"}
    )
    assert command.main(["b", "--runs", "4", "--json", str(tmp_path / "x.json")]) == 0
    assert Report.load(tmp_path / "x.json").notes == ("b 4",)


@pytest.mark.parametrize(
    ("typed", "said"),
    [(["nothing"], "there is no bench nothing; there are start"), (["--runs", "0"], "--runs 0")],
)
def test_bad_words_end_in_one_sentence(typed, said, monkeypatch, capsys):
    monkeypatch.setattr(command, "BENCHES", {"start": lambda _: pytest.fail("it ran")})
    with pytest.raises(SystemExit) as end:
        command.main(typed)
    assert end.value.code == 2
    assert said in capsys.readouterr().err
