"""ContainerMachine on a real engine: that of a lab host, which shares no file with this system.

The engine is remote in all that counts: it is reached by its API alone. So its containers are the
lab's machines, and the machines' lab hosts have engines of their own, three deep.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import psutil
import pytest
from docker.context import ContextAPI

from labkit import Lab, cli
from labkit.errors import ImageError, MachineError
from labkit.host import Host
from labkit.machine.container import ContainerMachine
from labkit.machine.recipe import generation, recipe
from tests.engine.conftest import gone_within

NAME = "labkit/machine"
PATIENCE = 60  # seconds; an engine that is busy takes its time to remove a container
PLUGIN = """
import http.server, json, os, socketserver
class Plugin(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}")
        answer = {"Allow": True}
        if self.path == "/Plugin.Activate":
            answer = {"Implements": ["authz"]}
        elif asked.get("RequestUri", "").split("?")[0].endswith("/containers/create"):
            answer = {"Allow": False, "Msg": "nobody may"}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def address_string(self):
        return "engine"
class Server(socketserver.ThreadingUnixStreamServer):
    pass
os.makedirs("/run/docker/plugins", exist_ok=True)
Server("/run/docker/plugins/deny.sock", Plugin).serve_forever()
"""


@pytest.fixture(scope="module")
def outer() -> Iterator[Lab]:
    """The lab whose hosts' engines stand for the learner's.

    Engine 20.10 starts a privileged container only if it may give it every capability there is.
    """
    with Lab(hosts=2, machine="root", engine="26.1") as lab:
        yield lab


@pytest.fixture
def engine(outer: Lab, monkeypatch) -> Iterator[docker.DockerClient]:
    """The learner's engine: DOCKER_HOST names it, and the container machine is asked for.

    Nothing may be left in it after a test.
    """
    host = f"unix://{outer._channel.run}/host1.sock"
    monkeypatch.setenv("DOCKER_HOST", host)
    monkeypatch.setenv("LABKIT_MACHINE", "container")
    client = docker.DockerClient(host, version="auto")
    yield client
    try:
        assert gone(client) == []
    finally:
        for container in client.containers.list(all=True):
            container.remove(force=True)
        client.close()


def gone(engine: docker.DockerClient) -> list[str]:
    """The containers and volumes that are still in the engine when patience ends."""
    end = time.monotonic() + PATIENCE
    while True:
        found = [c.name for c in engine.containers.list(all=True, ignore_removed=True)]
        found += [v.name for v in engine.volumes.list()]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.02)


def test_two_hosts_and_all_that_a_lesson_does_with_them(engine):
    with Lab(hosts=2) as lab:
        assert lab.machine == "container"
        assert lab.host1.docker.info()["Driver"] == "overlay2"
        web = lab.host1.run("nginx", publish="8080:80")
        page = "curl --silent --show-error --retry 20 --retry-all-errors http://host1:8080"
        assert "nginx in a container" in lab.host2.read(page)
        assert "1 received" in lab.host1.read("ping -c 1 -W 2 host2")
        snapshot = lab.host1.snapshot()
        assert web.name in snapshot.to_json()
        reached = lab.host1.read("docker run --rm toolbox curl --silent http://203.0.113.10")
        assert reached.startswith("hello, 192.168.56.11")
        limited = lab.host1.read("docker run --rm --memory 64m --pids-limit 10 busybox echo fine")
        assert limited == "fine\n"


def test_nothing_of_this_system_is_in_the_container_and_no_port_is_open(engine):
    with Lab(hosts=1):
        (machine,) = (c.attrs for c in engine.containers.list())
    assert machine["Mounts"] == []
    assert machine["HostConfig"]["Binds"] is None
    assert not machine["HostConfig"]["PortBindings"]
    assert not machine["NetworkSettings"]["Ports"]
    assert list(machine["NetworkSettings"]["Networks"]) == ["none"]
    assert machine["Config"]["Labels"]["labkit"] == "container"


def test_image_is_brought_once_and_named_after_the_recipe(engine, capsys):
    reference = ContainerMachine().prepare(generation())
    found = engine.images.get(reference)
    assert reference.startswith(f"{NAME}:{recipe(generation()).release}-")
    assert found.labels["labkit"] == "image"
    capsys.readouterr()
    assert ContainerMachine().prepare(generation()) == reference
    assert capsys.readouterr().out == "", "there is nothing to wait for, and nothing is said"
    assert engine.images.get(reference).id == found.id


def test_available_tells_which_engine_and_leaves_nothing_there(engine):
    able, why = ContainerMachine().available()
    assert able, why
    assert why.startswith("Docker Engine 26.1.5")
    assert f"of DOCKER_HOST ({os.environ['DOCKER_HOST']})" in why
    assert engine.containers.list(all=True) == []


def test_current_docker_context_names_the_engine(outer, engine, monkeypatch, tmp_path):
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text('{"currentContext": "desktop"}')
    host = f"unix://{outer._channel.run}/host1.sock"
    ContextAPI.create_context("desktop", host=host)
    able, why = ContainerMachine().available()
    assert able, why
    assert "of the docker context 'desktop' (" in why
    assert host in why
    with Lab(hosts=1) as lab:
        assert lab.host1.read("docker run --rm busybox echo hello") == "hello\n"


SCRIPT = """
from labkit import Lab
lab = Lab(hosts=1)
print("starting", flush=True)
lab.start()
print(lab._channel.run, lab._channel._process.pid, flush=True)
lab.host1.sh("sleep 1000")
"""


def kernel() -> subprocess.Popen:
    """A process with a lab, as a notebook's kernel is."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "starting\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_when_the_kernel_is_killed(engine, number):
    ContainerMachine().prepare(generation())
    process = kernel()
    run = Path(process.stdout.readline().split()[0])
    assert len(engine.containers.list()) == 1
    process.send_signal(number)
    process.communicate()
    assert gone(engine) == []
    assert gone_within(run, 5) == []


def test_container_goes_when_the_relay_is_killed_and_the_learner_is_told(engine):
    lab = Lab(hosts=1).start()
    try:
        os.kill(lab._channel._process.pid, signal.SIGKILL)
        assert gone(engine) == []
        with pytest.raises(MachineError, match="went away"):
            lab.host1.read("true")
    finally:
        lab.stop()
    assert not lab._channel.run.exists()


def test_kernel_and_relay_killed_at_once_leave_nothing_in_the_engine(engine):
    ContainerMachine().prepare(generation())
    process = kernel()
    run, relay = process.stdout.readline().split()
    os.kill(int(relay), signal.SIGKILL)
    process.kill()
    process.communicate()
    assert gone(engine) == []
    shutil.rmtree(run)


def test_nothing_is_left_when_the_kernel_is_killed_while_it_starts(engine):
    ContainerMachine().prepare(generation())
    for delay in (0.1, 0.3, 0.5, 0.7):
        process = kernel()
        time.sleep(delay)
        relay = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.communicate()
        psutil.wait_procs(relay, timeout=PATIENCE)  # it may be about to create the container
        assert gone(engine) == []


def test_container_removed_by_others_ends_the_lab_with_a_sentence(engine):
    lab = Lab(hosts=1).start()
    try:
        (machine,) = engine.containers.list()
        machine.remove(force=True)
        with pytest.raises(MachineError, match="the lab's machine went away"):
            lab.host1.read("true")
    finally:
        lab.stop()
    assert gone_within(lab._channel.run, 5) == []


def test_image_that_is_not_in_the_engine_is_told_by_the_relay(engine):
    lab = Lab(hosts=1, image=f"{NAME}:none")
    with pytest.raises(MachineError, match=f"the Docker Engine answers: No such image: {NAME}"):
        lab.start()


def test_half_an_image_is_not_taken_for_one(engine, monkeypatch, tmp_path, capsys):
    """A tar that stops half way, as one does that may not read a file."""
    (tmp_path / "tar").write_text(
        "#!/bin/sh\n/usr/bin/tar -c -C / etc/hosts\necho no >&2; exit 2\n"
    )
    (tmp_path / "tar").chmod(0o755)
    (tmp_path / "image-half").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ImageError, match="tar could not make the machine image: no"):
        ContainerMachine().prepare(generation(), tmp_path / "image-half")
    assert not engine.images.list(f"{NAME}:half")


def test_engine_that_cannot_fetch_its_base_image_says_so(engine, monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    with pytest.raises(ImageError, match="the engine could not fetch debian:trixie-slim, which"):
        ContainerMachine().prepare("20.10" if generation() == "26.1" else "26.1")


@pytest.fixture
def nothing_here(monkeypatch, tmp_path):
    """Of what `clean` finds on this system, which other tests' labs use too, it sees nothing."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    monkeypatch.setattr("labkit.leftovers.run_directories", lambda used: [])
    monkeypatch.setattr("labkit.leftovers.cgroups", lambda used: [])


def test_clean_removes_what_a_crash_left_and_nothing_else(engine, nothing_here, capsys):
    engine.containers.create("busybox", labels={"labkit": "container"}, name="left")
    theirs = engine.containers.create("busybox", name="theirs")
    try:
        assert cli.main(["clean"]) == 0
        assert "removed container left\n" in capsys.readouterr().out
        assert [c.name for c in engine.containers.list(all=True)] == ["theirs"]
    finally:
        theirs.remove()
    assert cli.main(["clean"]) == 0
    assert capsys.readouterr().out == "nothing to remove\n"


def test_clean_keeps_a_running_lab_and_its_image(engine, capsys, request):
    with Lab(hosts=1) as lab:
        request.getfixturevalue("nothing_here")  # not before: the image comes from the cache
        assert cli.main(["clean"]) == 0
        told = capsys.readouterr().out
        assert ": a running lab uses it\n" in told
        assert f"kept image {NAME}:" in told
        assert lab.host1.read("docker run --rm busybox echo alive") == "alive\n"
    assert cli.main(["clean"]) == 0
    assert f"removed image {NAME}:" in capsys.readouterr().out
    assert not engine.images.list(filters={"label": "labkit"})


def test_engine_that_refuses_is_quoted(outer, engine, monkeypatch):
    """An authorization plugin, a real one: docs.docker.com/engine/extend/plugins_authorization."""
    host = outer.host2
    host.read(f"cat > /tmp/plugin.py << 'END'\n{PLUGIN}\nEND")
    host.read("python3 /tmp/plugin.py & echo $! > /tmp/pid")
    host.read("until [ -S /run/docker/plugins/deny.sock ]; do sleep 0.02; done")
    try:
        with configured(host, '{"authorization-plugins": ["deny"]}'):
            monkeypatch.setenv("DOCKER_HOST", f"unix://{outer._channel.run}/host2.sock")
            able, why = ContainerMachine().available()
            assert not able
            assert (
                "refuses the lab's privileged container "
                "(authorization denied by plugin deny: nobody may); ask whoever runs it" in why
            )
            with pytest.raises(MachineError, match="the container machine, asked for by name, can"):
                Lab(hosts=1).start()
    finally:
        host.read("kill $(cat /tmp/pid)")


def test_engine_that_remaps_users_is_quoted(outer, engine, monkeypatch):
    host = outer.host2
    host.read("echo root:100000:65536 | tee /etc/subuid > /etc/subgid")
    with configured(host, '{"userns-remap": "root"}'):
        monkeypatch.setenv("DOCKER_HOST", f"unix://{outer._channel.run}/host2.sock")
        able, why = ContainerMachine().available()
    assert not able
    assert "(privileged mode is incompatible with user namespaces." in why


@contextlib.contextmanager
def configured(host: Host, configuration: str) -> Iterator[None]:
    """The lab host's engine, restarted with that /etc/docker/daemon.json."""
    host.read(f"echo '{configuration}' > /etc/docker/daemon.json && service docker restart")
    try:
        yield
    finally:
        host.read("rm /etc/docker/daemon.json && service docker restart")
