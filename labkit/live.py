"""Live: a function that is called when the networking of lab hosts has changed, burst by burst."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from labkit.host import Host

QUIET, LONGEST = 0.15, 0.5  # seconds


class Live:
    """Calls ``changed`` in a thread of its own, once for a burst of changes, until it is stopped.

    A burst is over when nothing was told for ``QUIET`` seconds; one that goes on for ``LONGEST``
    is not waited for any longer. The first call comes at once: what happened before is not told.

    Args:
        hosts: the lab hosts to listen to.
        changed: called with no argument.
        ended: called once, in that thread, when it ends by itself because the lab has gone.
    """

    def __init__(
        self,
        hosts: Sequence[Host],
        changed: Callable[[], None],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._changed, self._ended = changed, ended
        self._told: queue.SimpleQueue = queue.SimpleQueue()
        self._calls: list[Future] = []
        try:
            for host in hosts:
                self._calls.append(host.changes(self._told.put))
        except BaseException:
            self._cancel()
            raise
        for call in self._calls:
            call.add_done_callback(lambda _: self._told.put(None))
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="labkit-live", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it, and wait until its thread has ended. Does nothing the second time."""
        self._stopped = True
        self._cancel()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _cancel(self) -> None:
        for call in self._calls:
            call.cancel()

    def _run(self) -> None:
        while self._told.get() is not None and self._quiet():
            self._changed()
        if not self._stopped:
            self._cancel()  # of several hosts, one may have ended before the others
            self._ended()

    def _quiet(self) -> bool:
        """Wait for the end of the burst; False when there is nothing more to wait for."""
        end = time.monotonic() + LONGEST
        while (left := end - time.monotonic()) > 0:
            try:
                if self._told.get(timeout=min(QUIET, left)) is None:
                    return False
            except queue.Empty:
                break
        return True
