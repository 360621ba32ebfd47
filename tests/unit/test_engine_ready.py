"""When an engine counts as ready: its socket is there, somebody listens, and it answers."""

import asyncio
import http.server
import socket
import socketserver
import threading

import pytest

from labkit.agent import engine


class Answer(http.server.BaseHTTPRequestHandler):
    """An engine that says OK."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def address_string(self):
        return "engine"

    def log_message(self, *_):
        pass


@pytest.fixture
def root(tmp_path):
    """A host's root with an engine that runs and has made no socket yet."""
    for folder in ("run", "var/log", "proc/7"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "run/docker-engine.pid").write_text("7\n")
    (tmp_path / "var/log/docker.log").write_text("Starting up\nno space left\n")
    return tmp_path


def test_a_socket_that_nobody_listens_on_yet_is_waited_for(root):
    """Between bind(2) and listen(2) a connection is refused."""
    server = socketserver.UnixStreamServer(str(root / "run/docker.sock"), Answer, False)
    server.timeout = 5
    server.server_bind()
    with pytest.raises(ConnectionRefusedError), socket.socket(socket.AF_UNIX) as probe:
        probe.connect(server.server_address)

    def listen():
        server.server_activate()
        server.handle_request()

    late = threading.Timer(0.1, listen)
    late.start()
    try:
        asyncio.run(engine.ready("host1", root))
    finally:
        late.join()
        server.server_close()


def test_an_engine_that_ended_is_told_with_its_last_words(root):
    (root / "proc/7").rmdir()
    with pytest.raises(OSError, match=r"host1 did not start \(it ended\): no space left"):
        asyncio.run(engine.ready("host1", root))
