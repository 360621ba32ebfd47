"""What a container writes right behind the headers of an HTTP upgrade reaches the learner."""

import select
import socket
import socketserver
import threading

import docker
import pytest

from labkit.upgrade import mend

QUIET = 0.3  # seconds; an exec of `echo` has answered and ended by then, however busy it is here


class Slow(socketserver.BaseRequestHandler):
    """Brings an engine's words in one piece, as a busy computer does: when it has said them all."""

    def handle(self):
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self.server.engine)
            answer = b""
            while True:
                ready, _, _ = select.select([self.request, engine], [], [], QUIET)
                if self.request in ready:
                    if not (asked := self.request.recv(1 << 16)):
                        return
                    engine.sendall(asked)
                if engine in ready:
                    if not (said := engine.recv(1 << 16)):
                        self.request.sendall(answer)
                        return
                    answer += said
                if not ready:
                    self.request.sendall(answer)
                    answer = b""


@pytest.fixture
def slow(host, tmp_path):
    """A client of the host's engine, over a way that brings each answer in one piece."""
    path = tmp_path / "slow.sock"
    with socketserver.ThreadingUnixStreamServer(str(path), Slow) as server:
        server.engine, server.daemon_threads = str(host._socket), True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = mend(docker.DockerClient(base_url=f"unix://{path}"), path)
        yield client
        client.close()
        server.shutdown()


def test_an_exec_that_ends_at_once(host, slow):
    box = slow.containers.get(host.run("busybox", command="sleep 1000").id)
    assert box.exec_run("echo hi") == (0, b"hi\n")
    out, error = box.exec_run("sh -c 'echo out; echo error >&2'", demux=True).output
    assert (out, error) == (b"out\n", b"error\n")


def test_what_an_attached_container_has_said_so_far(host, slow):
    box = slow.containers.get(host.run("busybox", command="sh -c 'echo first; sleep 3'").id)
    assert next(box.attach(stream=True, logs=True)) == b"first\n"


def test_an_answer_that_is_no_upgrade(host, slow):
    box = slow.containers.get(host.run("busybox", command="true").id)
    with pytest.raises(docker.errors.APIError, match="is not running"):
        box.exec_run("true")
    assert slow.ping()
