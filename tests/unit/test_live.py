"""Live mode's bursts, with a host that tells what the test says."""

import queue
import threading
from concurrent.futures import Future

import pytest

from labkit import live as module
from labkit.live import Live

PATIENCE = 30


class TalkingHost:
    def __init__(self):
        self.call = Future()

    def changes(self, put):
        self.put = put
        return self.call

    def tell(self):
        self.put((1, b"kernel\n"))


@pytest.fixture
def host():
    return TalkingHost()


def test_a_burst_is_one_call(host, monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 3600)
    calls = queue.SimpleQueue()
    live = Live([host], lambda: calls.put(1))
    for _ in range(1000):
        host.tell()
    calls.get(timeout=PATIENCE)
    live.stop()
    assert calls.empty()


def test_a_burst_with_no_end_is_not_waited_for(host, monkeypatch):
    monkeypatch.setattr(module, "QUIET", 3600)
    monkeypatch.setattr(module, "LONGEST", 0.05)
    calls = queue.SimpleQueue()
    live = Live([host], lambda: calls.put(1))
    host.tell()
    calls.get(timeout=PATIENCE)
    live.stop()


def test_what_is_told_while_the_call_runs_leads_to_another_one(host):
    calls, go = queue.SimpleQueue(), threading.Event()

    def changed():
        calls.put(1)
        go.wait(PATIENCE)

    live = Live([host], changed)
    host.tell()
    calls.get(timeout=PATIENCE)
    host.tell()
    go.set()
    calls.get(timeout=PATIENCE)
    live.stop()


def test_it_can_be_stopped_by_what_it_calls(host):
    stopped = threading.Event()

    def changed():
        live.stop()
        stopped.set()

    live = Live([host], changed, lambda: pytest.fail("it was stopped, it did not end"))
    host.tell()
    assert stopped.wait(PATIENCE)
    live._thread.join(PATIENCE)
    assert not live._thread.is_alive()


def test_when_one_host_has_gone_the_others_are_let_go_too(host):
    other, gone = TalkingHost(), threading.Event()
    live = Live([host, other], lambda: None, gone.set)
    host.call.set_exception(OSError())
    assert gone.wait(PATIENCE)
    live._thread.join(PATIENCE)
    assert other.call.cancelled()


def test_when_one_host_refuses_nothing_is_left_of_the_others(host):
    class Refusing:
        def changes(self, put):
            raise OSError("no")

    with pytest.raises(OSError, match="no"):
        Live([host, Refusing()], lambda: None)
    assert host.call.cancelled()
