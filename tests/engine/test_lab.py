"""A lab as a learner uses it: hosts, station, outside, shell, engine, containers, snapshot."""

import io
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from labkit import Lab, Snapshot
from labkit.errors import CommandError
from labkit.machine.recipe import generation


def test_nodes_reach_each_other_by_name(lab):
    assert "0% packet loss" in lab.host1.sh("ping -c 1 host2")
    assert "0% packet loss" in lab.station1.sh("ping -c 1 host1")
    assert lab.outside.read("ip route get 192.168.56.11").startswith(
        "192.168.56.11 via 203.0.113.1"
    )


def test_outside_answers_with_the_address_it_saw(lab):
    assert lab.host2.read("curl -s outside") == "hello, 192.168.56.12\n"
    assert lab.station1.read("curl -s outside") == "hello, 192.168.56.101\n"


def test_outside_sees_the_hosts_address_when_a_container_asks(host):
    answer = host.read("docker run --rm busybox wget -qO- http://outside")
    assert answer == f"hello, {host.address}\n"


def test_the_lab_has_no_other_way_out(host):
    assert host.sh("ping -c 1 -W 1 192.0.2.1", check=False).status != 0
    assert host.sh("getent hosts example.com", check=False).status != 0


def test_a_host_has_its_own_tools_and_name(lab):
    tools = "docker ip ifconfig bridge iptables nft conntrack tcpdump ss curl dig ping"
    for node in lab.hosts:
        assert node.read("hostname") == f"{node.name}\n"
        node.read(f"for tool in {tools}; do command -v $tool; done")


def test_hosts_have_roots_of_their_own(lab):
    lab.host1.sh("echo one > /etc/mine")
    assert lab.host2.sh("cat /etc/mine", check=False).status == 1


def test_sh_prints_what_it_returns(lab, capsys):
    text = lab.host1.sh("echo out; echo err >&2")
    assert text == "out\n"
    assert text.stderr == "err\n"
    assert sorted(capsys.readouterr().out.split()) == ["err", "out"]


def test_sh_raises_with_command_status_and_stderr(lab):
    with pytest.raises(CommandError, match="ended with status 3: no") as caught:
        lab.host1.sh("echo no >&2; exit 3")
    error = caught.value
    assert (error.host, error.status, error.stderr) == ("host1", 3, "no\n")
    assert lab.host1.sh("exit 3", check=False).status == 3


def test_sh_gives_a_terminal(host):
    assert host.sh("docker run -it --rm busybox tty").strip() == "/dev/pts/0"


def test_sh_loses_nothing_of_a_long_output(lab, capsys):
    text = lab.host1.sh("seq 200000")
    assert text.splitlines() == [str(n) for n in range(1, 200001)]


def test_sh_streams(lab, monkeypatch):
    seen = []
    monkeypatch.setattr("sys.stdout.write", lambda text: seen.append((time.monotonic(), text)))
    lab.host1.sh("echo first; sleep 0.5; echo second")
    times = {text: when for when, text in seen}
    assert times["second\n"] - times["first\n"] > 0.4


def test_an_interrupt_stops_the_command(lab):
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        lab.host1.sh("exec -a interrupt-me sleep 100")
    end = time.monotonic() + 3
    while lab.host1.sh("pgrep -f interrupt-m[e]", check=False) and time.monotonic() < end:
        time.sleep(0.05)
    assert not lab.host1.sh("pgrep -f interrupt-m[e]", check=False)


def test_signals_are_not_ignored(lab):
    # A process that inherits an ignored signal cannot be interrupted by a learner either.
    ignored = lab.host1.read("grep SigIgn /proc/self/status").split()[1]
    assert int(ignored, 16) & (1 << 0 | 1 << 1 | 1 << 14) == 0


def test_a_timeout_stops_the_command(lab):
    assert lab.host1.sh("sleep 100", check=False, timeout=0.2).status == 124


def test_a_background_process_outlives_its_cell(lab):
    lab.host1.sh("(while sleep 0.1; do echo alive; done) & echo $! > /tmp/pid")
    time.sleep(0.5)
    lab.host1.sh("kill $(cat /tmp/pid)")


def test_save_gives_bytes(lab):
    file = io.BytesIO()
    lab.host1.save(r"printf '\000\377\r\n'; echo note >&2", file)
    assert file.getvalue() == b"\x00\xff\r\n"


def test_images_are_there_from_the_start(lab):
    for node in lab.hosts:
        tags = {tag for image in node.docker.images.list() for tag in image.tags}
        assert tags >= {"nginx:latest", "busybox:latest", "toolbox:latest"}
    assert "80/tcp" in lab.host1.docker.images.get("nginx").attrs["Config"]["ExposedPorts"]


def test_nginx_is_real_and_logs_to_stdout(host):
    web = host.run("nginx", name="web", publish="8080:80")
    assert "nginx in a container" in host.read(
        "curl -s --retry 9 --retry-all-errors localhost:8080"
    )
    line = next(iter(web.container.logs(stream=True, follow=True))).decode()
    assert '"GET / HTTP/1.1" 200' in line


def test_toolbox_has_the_tools(host):
    box = host.run("toolbox", name="box", command="sleep infinity")
    assert "eth0" in box.sh("ip addr; ifconfig; ss -lnt; command -v curl dig tcpdump ping iptables")


def test_run_gives_a_handle(host):
    box = host.run("busybox", name="box", command="sleep 1000")
    assert box.sh("hostname").strip() == box.id[:12]  # and by now runc has become busybox
    assert host.read(f"readlink /proc/{box.pid}/exe") == "/bin/busybox\n"
    box.remove()
    assert host.docker.containers.list(all=True) == []


def test_exec_attach_and_logs_stream(host):
    box = host.run("busybox", name="box", command="sh -c 'while read x; do echo got $x; done'",
                   stdin_open=True)  # fmt: skip
    assert box.container.exec_run("echo hi") == (0, b"hi\n")
    socket = box.container.attach_socket(params={"stdin": 1, "stream": 1})
    socket._sock.sendall(b"one\ntwo\n")
    lines = box.container.logs(stream=True, follow=True)
    assert b"".join(next(lines) for _ in range(2)) == b"got one\ngot two\n"
    socket.close()


def test_sockets_are_the_users_own(lab):
    run = lab._channel.run
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    sockets = list(run.glob("*.sock"))
    assert len(sockets) == 2
    assert {stat.S_IMODE(s.stat().st_mode) for s in sockets} == {0o600}


def test_nothing_listens_on_a_tcp_port_of_the_learners_system(lab):
    with Lab(hosts=1) as another:
        another.host1.run("nginx", publish="8080:80")
        tables = "".join(Path(f"/proc/self/net/{name}").read_text() for name in ("tcp", "tcp6"))
        rows = [line.split() for line in tables.splitlines()]
        listening = {f"socket:[{row[9]}]" for row in rows if row[3:4] == ["0A"]}
        ours = {os.readlink(file) for file in Path("/proc/self/fd").iterdir() if file.is_symlink()}
        assert not listening & ours
        # and the rest of the lab cannot: its processes are in namespaces of their own
        here = os.readlink("/proc/self/ns/net")
        machine = psutil.Process(another._channel._process.pid)
        engines = [p for p in machine.children(recursive=True) if p.name() == "dockerd"]
        assert len(engines) == 1
        assert os.readlink(f"/proc/{engines[0].pid}/ns/net") != here


def test_two_labs_at_once(lab):
    with Lab(hosts=1) as other:
        other.host1.run("nginx", name="web", publish="8080:80")
        assert lab.host1.docker.containers.list() == []
        assert other.host1.read("curl -s outside") == lab.host1.read("curl -s outside")


def test_snapshot_agrees_with_the_tools(host):
    host.run("nginx", name="web", publish="8080:80")
    host.run("toolbox", name="box", command="sleep infinity")
    host.read("conntrack -F; curl -s --retry 9 --retry-all-errors localhost:8080")
    host.read("docker exec box curl -s outside")
    snapshot = host.snapshot()
    assert Snapshot.from_json(snapshot.to_json()) == snapshot

    root = snapshot.root
    assert [i.name for i in root.interfaces] == [
        line.split(":")[1].split("@")[0].strip() for line in host.read("ip -o link").splitlines()
    ]
    for container in snapshot.containers:
        inside = snapshot.namespace(container.namespace).interface("eth0")
        outside = root.interface(inside.peer.name)
        assert inside.peer.namespace == root.id
        assert (outside.peer.namespace, outside.peer.name) == (container.namespace, "eth0")
        assert outside.master == "docker0"
        assert inside.mac == container.endpoints[0].mac
        assert inside.addresses[0].address == container.endpoints[0].address
    assert root.interface("eth0").peer.namespace is None
    assert len(root.routes) == len(host.read("ip route; ip -6 route").splitlines())
    assert {n.mac for n in root.neighbours if n.interface == "docker0" and n.mac} == {
        e.mac for c in snapshot.containers for e in c.endpoints
    }
    rules = [r for chain in root.chains for r in chain.rules]
    assert len(rules) == host.read("iptables-save").count("\n-A ")
    (dnat,) = [r for r in rules if r.target == "DNAT"]
    assert "--dport 8080" in dnat.spec
    assert any(r.packets > 0 for r in rules if r.target == "MASQUERADE")
    (tracked,) = [c for c in root.conntrack if c.original.destination == "203.0.113.10"]
    assert tracked.snat
    assert tracked.reply.destination == host.address
    assert {(s.process, s.port) for s in root.sockets} == {("docker-proxy", 8080)}
    assert ("nginx", 80) in {
        (s.process, s.port) for n in snapshot.namespaces if n.name == "web" for s in n.sockets
    }
    (port,) = {(p.host_port, p.container_port) for c in snapshot.containers for p in c.ports}
    assert port == (8080, 80)


def test_snapshot_of_host_and_none_containers(host):
    own = host.run("busybox", name="own", command="sleep 1000", network="none")
    shared = host.run("busybox", name="shared", command="sleep 1000", network="host")
    snapshot = host.snapshot()
    assert snapshot.container(shared.name).namespace == snapshot.root.id
    lonely = snapshot.namespace(snapshot.container(own.name).namespace)
    assert [i.name for i in lonely.interfaces] == ["lo"]


def test_snapshot_while_containers_come_and_go(host):
    host.read("for n in 1 2 3 4; do docker run --rm -d busybox sleep 0.2; done")
    for _ in range(20):
        assert host.snapshot().engine.startswith(generation())


def test_snapshot_works_without_the_engine(lab):
    host = lab.host2
    try:
        host.read("service docker stop")
        snapshot = host.snapshot()
        assert snapshot.engine is None
        assert snapshot.root.interface("docker0")
    finally:
        host.read("service docker start")
    assert host.snapshot().engine.startswith(generation())


def test_containers_run_where_cgroups_are_version_2():
    # A mount namespace in which this system has no other cgroups (cgroups(7)).
    script = """
        mount --make-rprivate / && umount -l /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup
        exec "$0" -c 'from labkit import Lab
with Lab() as lab:
    print(lab.host1.docker.info()["CgroupVersion"], lab.host1.read("docker run busybox echo ran"))'
    """
    argv = ["unshare", "--mount", "sh", "-c", script, sys.executable]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "ran"]
