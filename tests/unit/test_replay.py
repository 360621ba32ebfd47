"""Replays: the tape, what is recorded, and notebooks that show on one what they show on a lab."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbval.plugin import get_sanitize_patterns

from labkit import Lab, machine, topology
from labkit.agent.wire import CALL, DATA, ERROR, HEADER, RESULT
from labkit.errors import CommandError, MachineError, UsageError
from labkit.machine import replay
from labkit.machine.replay import RECORDINGS, find, mark, recordings
from labkit.replay import recorder, recording, tape
from labkit.replay.tape import Tape, request, request_length
from labkit.stored import code_cells, digest
from labkit.widgets import Explorer

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RECORDED = recordings(RECORDINGS)
QUICK = ("00", "05", "10")  # run in every test run; the others by ./lab test -m slow
each_recording = pytest.mark.parametrize("path", RECORDED, ids=[p.name[:2] for p in RECORDED])
SANITIZE = get_sanitize_patterns((ROOT / "tests/notebooks/sanitize.cfg").read_text())
HOST_MODE = RECORDINGS / "06-host.jsonl.xz"


# --- the tape


def do(script: str, result: int = 0) -> dict:
    return {"call": "execute", "arguments": {"script": script}, "result": result}


def see(result: int, node: str = "host1") -> dict:
    return {"call": "observe", "arguments": {"node": node}, "result": result}


def taped(*entries: dict) -> Tape:
    """A tape of calls that were made one after the other, or at the moments that they tell."""
    return Tape([{"moment": moment, **entry} for moment, entry in enumerate(entries)])


def played(tape: Tape, *asked: dict) -> list[int | None]:
    return [answer and answer["result"] for answer in map(tape.play, asked)]


def test_the_same_calls_get_the_same_answers_in_order():
    entries = [see(1), do("a", 2), see(3), see(4), do("a", 5), see(6)]
    assert played(taped(*entries), *entries) == [1, 2, 3, 4, 5, 6]


def test_what_was_never_asked_has_no_answer_and_moves_nothing():
    tape = taped(do("a"), see(1))
    assert tape.play(do("b")) is None
    assert tape.play(see(0, "host2")) is None
    assert tape.now == -1


def test_a_reading_too_many_shows_no_later_state():
    tape = taped(do("a"), see(1), do("b"), see(2))
    assert played(tape, do("a"), see(0), see(0), see(0), do("b"), see(0)) == [0, 1, 1, 1, 0, 2]


def test_a_reading_before_all_others_gets_the_first_and_moves_nothing():
    tape = taped(do("a"), see(1), do("b"), see(2))
    assert played(tape, see(0), do("a"), see(0)) == [1, 0, 1]


def test_a_cell_that_is_skipped_is_skipped_on_the_tape():
    tape = taped(do("a"), see(1), do("b"), see(2))
    assert played(tape, do("b"), see(0)) == [0, 2]


def test_a_cell_that_runs_again_goes_back_to_when_it_ran():
    tape = taped(do("a"), see(1), do("b"), see(2))
    assert played(tape, do("b"), see(0), do("a"), see(0), do("b"), see(0)) == [0, 2, 0, 1, 0, 2]


def test_calls_made_at_once_may_come_in_another_order():
    one, two = ({**do("a", n), "moment": n} for n in (1, 2))
    also, too = ({**do("b", n), "moment": n} for n in (1, 2))
    tape = taped(one, also, {**see(1), "moment": 1}, too, two, {**see(2), "moment": 2})
    got = played(tape, see(0), do("b"), do("a"), do("a"), do("b"), see(0))
    assert got == [1, 1, 1, 2, 2, 2]


def test_requests_that_change_something_are_actions():
    def ask(line):
        return {"call": "request", "arguments": {"node": "host1", "line": line, "body": ""}}

    assert [tape.acts(ask(f"{m} /containers/json")) for m in ("GET", "HEAD")] == [False, False]
    assert [tape.acts(ask(f"{m} /containers/x")) for m in ("POST", "DELETE")] == [True, True]


def test_what_is_no_text_survives_a_recording(tmp_path):
    binary = bytes(range(256)) + "é".encode()
    entries = [{**do("cat"), "moment": 0, "output": [[1, tape.text(binary)]]}]
    tape.write(tmp_path / "new" / "a.jsonl.xz", {"cells": []}, entries)
    answer = tape.read(tmp_path / "new" / "a.jsonl.xz").play(do("cat"))
    assert tape.data(answer["output"][0][1]) == binary


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /version HTTP/1.1\r\nHost: engine\r\n\r\n",
        b"POST /containers/create HTTP/1.1\r\ncontent-length: 9\r\n\r\n{\"a\": 12}",
        b"PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ],
)  # fmt: skip
def test_where_a_request_ends(sent):
    assert [request_length(sent[:n]) for n in range(len(sent))] == [None] * len(sent)
    assert request_length(sent) == len(sent)
    assert request_length(sent + b"GET / HTTP/1.1") == len(sent)


def test_headers_do_not_tell_requests_apart_and_bodies_do():
    def ask(agent, body):
        return request("host1", b"POST /a HTTP/1.1\r\nUser-Agent: %s\r\n\r\n%s" % (agent, body))

    assert ask(b"docker-py/7", b"{}") == ask(b"docker-py/8", b"{}")
    assert ask(b"docker-py/7", b"{}") != ask(b"docker-py/7", b"[]")


# --- recording


def frames(*sent: tuple[int, int, bytes]) -> bytes:
    return b"".join(HEADER.pack(len(p), number, kind) + p for number, kind, p in sent)


def test_frames_are_cut_wherever_bytes_are():
    wanted = [(1, CALL, b"[]"), (2, DATA, b"\x00abc"), (1, RESULT, b"")]
    stream = b"00000003xyz" + frames(*wanted)
    for step in (1, 7, len(stream)):
        got = []
        cutter = recorder.Frames(lambda *frame, got=got: got.append(frame), skip=True)
        for start in range(0, len(stream), step):
            cutter.feed(stream[start : start + step])
        assert got == wanted


def ask(name: str, **arguments: object) -> bytes:
    return json.dumps([name, arguments]).encode()


def test_a_call_is_kept_with_all_that_came_back():
    kept = []
    taker = recorder.Recorder(kept.append)
    taker.asked(1, CALL, ask("execute", node="host1", script="x", raw=True))
    taker.asked(2, CALL, ask("observe", node="gone"))
    for stream, data in ((1, b"a"), (1, b"b"), (2, b"!"), (1, b"\xff")):
        taker.answered(1, DATA, bytes([stream]) + data)
    taker.answered(2, ERROR, b'["KeyError", "gone"]')
    taker.answered(1, RESULT, b"3")
    error, call = kept
    assert (error["call"], error["error"]) == ("observe", ["KeyError", "gone"])
    assert call["output"] == [[1, "ab"], [2, "!"], [1, "\udcff"]]
    assert (call["result"], call["arguments"]["script"]) == (3, "x")
    assert call["at"] < error["at"] < error["until"] < call["until"]


def test_a_connection_is_kept_request_by_request():
    kept = []
    taker = recorder.Recorder(kept.append)
    head = b"GET /version HTTP/1.1\r\nHost: x\r\n"
    taker.asked(1, CALL, ask("connect", node="host1", path="/run/docker.sock"))
    for part in (head, b"\r\n"):
        taker.asked(1, DATA, b"\0" + part)
    for part in (b"HTTP/1.1 200 OK\r\n", b"\r\none"):
        taker.answered(1, DATA, b"\1" + part)
    taker.asked(1, DATA, b"\0DELETE /containers/x HTTP/1.1\r\n\r\n")
    taker.answered(1, DATA, b"\1two")
    taker.asked(1, DATA, b"\0GET /unanswered HTTP/1.1\r\n\r\n")
    taker.answered(1, RESULT, b"null")
    assert [(e["arguments"]["line"], e["response"]) for e in kept] == [
        ("GET /version", "HTTP/1.1 200 OK\r\n\r\none"),
        ("DELETE /containers/x", "two"),
    ]
    assert kept[0]["at"] < kept[0]["until"] < kept[1]["at"] < kept[1]["until"]


def test_calls_that_overlap_are_of_one_moment():
    times = [(0, 2), (5, 9), (3, 6), (8, 10), (11, 12)]
    lines = [json.dumps({"at": at, "until": until}) for at, until in times]
    assert [e["moment"] for e in recording.ordered(lines)] == [0, 1, 1, 1, 2]


@pytest.fixture
def forced(monkeypatch):
    """A replay of notebook 06, asked for by name."""
    monkeypatch.setenv("LABKIT_MACHINE", "replay")
    monkeypatch.setenv("LABKIT_REPLAY", str(HOST_MODE))
    return monkeypatch


def test_what_passes_the_recorder_is_recorded(forced, tmp_path):
    """Between a learner and a replay, the tape that it writes says what the tape it plays says."""
    forced.setenv(recorder.VARIABLE, str(tmp_path / "calls"))
    entries = tape.read(HOST_MODE).entries
    first = next(e for e in entries if e["call"] == "execute")["arguments"]
    with Lab() as lab:
        lab.node(first["node"]).sh(first["script"])
        lab.host1.snapshot()
        version = lab.host1.docker.api.api_version
    got = recording.ordered((tmp_path / "calls").read_text().splitlines())
    assert [e["call"] for e in got] == ["build", "execute", "observe", "request"]
    assert [e["moment"] for e in got] == [0, 1, 2, 3]
    for entry in got:
        assert {**entry, "moment": 0} == next(
            {**e, "moment": 0} for e in entries if tape.key(e) == tape.key(entry)
        )
    assert version in got[-1]["response"]


def test_no_recorder_where_none_is_asked_for(monkeypatch):
    monkeypatch.delenv(recorder.VARIABLE, raising=False)
    assert recorder.around(["sh", "x"]) == ["sh", "x"]


def test_a_replay_is_not_recorded(forced):
    notebook = nbformat.read(NOTEBOOKS[6], 4)
    with pytest.raises(MachineError, match="a replay can't be recorded"):
        recording.record(notebook, NOTEBOOKS[6])


# --- which machine, which recording


@pytest.fixture
def nothing_boots(monkeypatch):
    monkeypatch.delenv("LABKIT_MACHINE", raising=False)
    four = (
        SimpleNamespace(name="root", available=lambda: (False, "you are not root; use sudo")),
        SimpleNamespace(name="user", available=lambda: (False, "no user namespaces")),
    )
    monkeypatch.setattr(machine, "MACHINES", four)
    return monkeypatch


def test_where_nothing_boots_a_lab_is_a_replay_and_says_so(nothing_boots, capfd):
    nothing_boots.setenv("LABKIT_REPLAY", str(HOST_MODE))
    with Lab() as lab:
        assert repr(lab) == "<Lab on a replay machine: router, outside, host1>"
        said = capfd.readouterr().err.splitlines()
        assert said == [
            "Replay: no machine can boot here (to have one: root: use sudo; or user: no user "
            f"namespaces); what you see {lab.recorded}"
        ]
        assert re.fullmatch(r"was recorded on [\d-]{10} with Docker Engine 26\.1\.\d", lab.recorded)


def test_where_nothing_boots_and_nothing_is_recorded(nothing_boots, tmp_path):
    nothing_boots.setattr(replay, "RECORDINGS", tmp_path)
    with pytest.raises(MachineError, match="no machine can boot here"):
        machine.choose()


def test_what_was_not_recorded_is_a_sentence(forced):
    with Lab() as lab:
        sentence = r"replay of a recorded lab, and `docker run x` on host1 was not recorded; "
        with pytest.raises(MachineError, match=sentence):
            lab.host1.sh("docker run x")
        with pytest.raises(UsageError, match=r"POST /v1.45/containers/create .*not recorded; "):
            lab.host1.run("nginx")
        with pytest.raises(MachineError, match=r"a lab of 3 hosts and 0 stations was not"):
            Lab(hosts=3).start()
        assert lab.host1.snapshot().host == "host1"


def test_a_recorded_failure_fails(forced, tmp_path):
    entries = tape.read(HOST_MODE).entries
    arguments = {"node": "host1", "script": "false", "raw": False}
    failed = {**entries[0], "call": "execute", "arguments": arguments, "moment": 1}
    failed |= {"output": [[2, "no"]], "result": 1}
    tape.write(tmp_path / "a", {"date": "", "engine": []}, [entries[0], failed])
    forced.setenv("LABKIT_REPLAY", str(tmp_path / "a"))
    with Lab() as lab, pytest.raises(CommandError, match=r"'false' on host1 .* status 1: no"):
        lab.host1.sh("false")


def test_the_explorer_lives_on_a_replay_and_says_that_it_is_one(forced):
    script = next(e for e in tape.read(HOST_MODE).entries if "docker run" in str(e["arguments"]))
    with Lab() as lab:
        explorer = Explorer(lab)
        assert f"host1 as it {lab.recorded}" in explorer.status.value
        before = explorer.figures["Map"].summary
        assert before == topology(lab.host1.snapshot()).summary
        lab.host1.sh(script["arguments"]["script"])
        explorer.refresh()
        assert explorer.figures["Map"].summary != before
        explorer.close()


def test_live_mode_hears_that_the_tape_has_gone_on(forced):
    script = next(e for e in tape.read(HOST_MODE).entries if "docker run" in str(e["arguments"]))
    heard = queue.SimpleQueue()
    with Lab() as lab:
        lab.host1.changes(heard.put)
        assert heard.get(timeout=30) == (1, b"ready\n")
        lab.host1.snapshot()
        lab.host1.sh(script["arguments"]["script"])
        assert heard.get(timeout=30) == (1, b"kernel\n")
        assert heard.empty()


@pytest.mark.parametrize("content", [b"", b"no xz", None])
def test_a_recording_that_is_none_is_a_sentence(forced, tmp_path, content):
    path = tmp_path / "bad"
    if content is not None:
        path.write_bytes(content)
    forced.setenv("LABKIT_REPLAY", str(path))
    with pytest.raises(MachineError, match="bad"):
        Lab().start()


def test_nothing_is_left_of_a_replay(forced):
    lab = Lab().start()
    run = lab.host1.channel.run
    assert run.stat().st_mode & 0o777 == 0o700
    lab.stop()
    assert not run.exists()


def test_a_kernel_finds_the_recording_of_its_notebook():
    for path in RECORDED:
        cells = tape.about(path)["cells"]
        assert find(RECORDINGS, set(cells[:3])) == path
    assert find(RECORDINGS, {mark("import this")}) is None
    assert find(RECORDINGS, set()) is None


# --- the notebooks


def test_every_notebook_is_recorded():
    assert [p.name.removesuffix(replay.SUFFIX) for p in RECORDED] == [p.stem for p in NOTEBOOKS]


@each_recording
def test_a_recording_is_of_its_notebooks_code(path):
    about = tape.about(path)
    notebook = nbformat.read(ROOT / "notebooks" / about["notebook"], 4)
    remedy = f"run ./lab record notebooks/{about['notebook']}"
    assert about["ran"] == digest(notebook), f"its code is not what was recorded; {remedy}"


def test_the_recordings_are_small():
    assert sum(p.stat().st_size for p in RECORDED) < 5e6


def texts(cell: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """What a cell shows that is text, with what differs from run to run replaced."""
    shown = []
    for output in cell.outputs:
        if output.output_type == "stream":
            shown.append((output.name, output.text))
        else:
            shown += [(kind, str(value)) for kind, value in output.get("data", {}).items()]
    kept = [(k, v) for k, v in shown if k != "stderr" and not k.startswith("image/")]
    for pattern, stand_in in SANITIZE:
        kept = [(kind, re.sub(pattern, stand_in, text)) for kind, text in kept]
    return kept


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(p, id=p.name[:2], marks=() if p.name[:2] in QUICK else pytest.mark.slow)
        for p in RECORDED
    ],
)
def test_a_notebook_shows_on_its_replay_what_is_stored(path, tmp_path):
    original = ROOT / "notebooks" / tape.about(path)["notebook"]
    copy = Path(shutil.copy(original, tmp_path / "renamed.ipynb"))
    environment = {k: v for k, v in os.environ.items() if k != "LABKIT_REPLAY"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "labkit", "run", "--save", str(copy)],
        env={**environment, "LABKIT_MACHINE": "replay", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    stored, again = (code_cells(nbformat.read(p, 4)) for p in (original, copy))
    assert len(stored) == len(again) > 10
    for before, after in zip(stored, again, strict=True):
        assert texts(after) == texts(before), before.source
