"""Nothing but the user's own can reach a lab, and a lab reaches nothing but itself."""

import contextlib
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import Lab
from tests.engine import as_user

OTHER = 65534  # nobody
LISTENING = "0A"  # proc_net_tcp(5)


@pytest.fixture(scope="module")
def busy():
    """A lab in use: an engine's client is connected, a port is published, a command runs."""
    with Lab(hosts=2) as lab:
        lab.host1.docker.ping()
        lab.host2.docker.ping()
        lab.host1.run("nginx", name="web", publish="8080:80")
        yield lab


def listening() -> set[str]:
    """The listening and unconnected sockets of this system: TCP, UDP and UNIX ones."""
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            words = line.split()
            if table.startswith("udp") or words[3] == LISTENING:
                found.add(f"{table} {words[1]}")
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        words = line.split()
        if int(words[3], 16) & 0x10000:  # __SO_ACCEPTCON
            found.add(f"unix {words[7] if len(words) > 7 else 'without a name'}")
    return found


def as_other(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python as another user of this computer."""

    def become() -> None:
        os.setgroups([])
        os.setgid(OTHER)
        os.setuid(OTHER)

    return subprocess.run(
        ["/usr/bin/env", "python3", "-c", script, *words],
        preexec_fn=become, capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip


def test_the_files_of_a_lab_are_its_owners_alone(busy):
    run = busy._channel.run
    modes = {
        str(path.relative_to(run)): (stat.filemode(path.lstat().st_mode), path.lstat().st_uid)
        for path in run.iterdir()
    }
    me = os.geteuid()
    assert stat.filemode(run.stat().st_mode) == "drwx------"
    assert {n: m for n, m in modes.items() if n.endswith(".sock")} == {
        "host1.sock": ("srw-------", me),
        "host2.sock": ("srw-------", me),
    }
    assert set(modes) <= {"host1.sock", "host2.sock", "machine"}  # an empty directory, outside


def test_a_lab_listens_on_nothing_but_its_owners_sockets():
    before = listening()
    with Lab(hosts=1) as lab:
        lab.host1.run("nginx", publish="8080:80")
        lab.host1.docker.ping()
        own = {f"unix {path}" for path in lab._channel.run.glob("*.sock")}
        assert len(own) == 1
        new = listening() - before
        # Tests that run beside this one have labs of their own.
        assert {n for n in new if str(lab._channel.run) in n} == own
        assert [n for n in new if not n.startswith("unix") and n.endswith(f":{8080:04X}")] == []


@contextlib.contextmanager
def lab_of_an_ordinary_user() -> Iterator[tuple[Path, int]]:
    """The run directory of a running lab of one, and the process whose streams are its agent's."""
    script = (
        "from labkit import Lab\n"
        "lab = Lab().start()\n"
        "lab.host1.docker.ping()\n"
        "print(lab._channel.run, lab._channel._process.pid, flush=True)\n"
        "input()"
    )
    with subprocess.Popen(
        as_user.python("ids", "-c", script, LABKIT_MACHINE="user"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as kernel:  # fmt: skip
        # Before that come an image's steps, where it is being built just now.
        run, machine = next(line for line in kernel.stdout if line.startswith("/")).split()
        yield Path(run), int(machine)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("whose", ["root", "user"])
def test_another_user_reaches_neither_the_engine_nor_the_agent(busy, whose):
    with contextlib.ExitStack() as stack:
        run, machine = busy._channel.run, busy._channel._process.pid
        if whose == "user":
            run, machine = stack.enter_context(lab_of_an_ordinary_user())
        connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
        looked = as_other("import os, sys; os.listdir(sys.argv[1])", str(run))
        assert "PermissionError" in looked.stderr
        sockets = list(run.glob("*.sock"))
        assert sockets
        for path in sockets:
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as mine:
                mine.connect(str(path))
            assert "PermissionError" in as_other(connect, str(path)).stderr
            # Not by its own mode either, if the directory were open.
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        peek = "import sys; open(f'/proc/{sys.argv[1]}/fd/0', 'rb')"
        assert "PermissionError" in as_other(peek, str(machine)).stderr


def test_a_container_reaches_nothing_of_the_learners_network(busy):
    """An address of this computer answers here, and not from a container or a lab host."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        addresses = subprocess.run(
            ["hostname", "-I"], capture_output=True, text=True, check=True
        ).stdout.split()
        addresses = ["127.0.0.1", *(a for a in addresses if "." in a)]
        for address in addresses:
            with socket.create_connection((address, port), timeout=5):
                pass
            for where in ("", "docker exec web "):
                ask = f"{where}curl -s -m 2 -o /dev/null http://{address}:{port}/; echo $?"
                status = int(busy.host1.read(ask))
                # 7: refused or no route, 28: no answer (curl(1))
                assert status in (7, 28), (address, where, status)
    assert busy.host1.read("docker exec web curl -s -m 5 outside").startswith("hello, ")


def test_the_python_that_another_user_runs_is_no_excuse():
    """The checks above fail for lack of permission, not for lack of Python."""
    assert as_other("print('here')").stdout == "here\n", sys.version
