"""docker-py without its loss of what comes right behind an HTTP upgrade.

The engine answers an exec's start and an attach with headers, and writes the container's output
behind them on the same connection. http.client reads ahead into a buffer while it looks for the
headers' end, but docker-py goes on with the socket below that buffer: output that arrived together
with the headers is lost, most of all on a busy computer (docker-py issue 3332).
"""

from __future__ import annotations

import http.client
import socket
from functools import partial
from pathlib import Path
from typing import Any

import docker
from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnection, UnixHTTPConnectionPool


def mend(client: docker.DockerClient, path: Path) -> docker.DockerClient:
    """The same client of the engine at a UNIX socket; its upgraded streams lose nothing."""
    client.api.get_adapter(client.api.base_url).close()
    client.api.mount("http+docker://", _Adapter(f"http+unix://{path}", client.api.timeout))
    return client


class _Answer(http.client.HTTPResponse):
    """An answer that takes from its socket no byte more than it needs: its buffer holds one."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = sock.makefile("rb", buffering=1)


class _Connection(UnixHTTPConnection):
    def putheader(self, header: str, *values: Any) -> None:
        super().putheader(header, *values)
        if header == "Upgrade":
            self.response_class = _Answer


class _Adapter(UnixHTTPAdapter):
    def get_connection(self, url: str, proxies: Any = None) -> UnixHTTPConnectionPool:
        pool = super().get_connection(url, proxies)
        pool._new_conn = partial(_Connection, pool.base_url, pool.socket_path, pool.timeout)
        return pool
