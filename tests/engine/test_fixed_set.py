"""What every machine must do: a lab of LABKIT_MACHINE's kind, looked at from the learner's side.

test_machines.py runs this file on each machine that this computer can boot. None of it knows on
which one it runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from labkit import Lab, journey
from tests import agreement
from tests.engine.conftest import gone_within, processes


def test_machine_is_the_one_that_was_asked_for(lab):
    assert lab.machine == os.environ.get("LABKIT_MACHINE", lab.machine)
    assert f"on a {lab.machine} machine" in repr(lab)


def test_container_runs_and_its_exit_status_comes_back(host):
    assert host.read("docker run --rm busybox echo hello") == "hello\n"
    assert host.sh("docker run --rm busybox sh -c 'exit 7'", check=False).status == 7


def test_exec_and_terminal(host):
    box = host.run("toolbox", name="box", command="sleep 1000")
    assert box.container.exec_run("sh -c 'exit 5'").exit_code == 5
    assert host.sh("docker exec -it box tty").strip() == "/dev/pts/0"


def test_engine_turned_forwarding_on_whatever_the_computer_had(lab, host):
    assert "-P FORWARD DROP" in host.read("iptables -S FORWARD")
    assert lab.station1.read("cat /proc/sys/net/ipv4/ip_forward") == "0\n"


def test_published_port_is_a_dnat_rule(host):
    host.run("nginx", name="web", publish="8080:80")
    curl = "curl -s --retry 20 --retry-all-errors"
    assert "nginx in a container" in host.read(f"{curl} {host.address}:8080")
    assert "--dport 8080 -j DNAT --to-destination 172.17.0.2:80" in host.read("iptables-save")


def test_published_port_is_reached_from_the_lan(lab, host):
    host.run("nginx", name="web", publish="8080:80")
    page = lab.station1.read("curl -s --retry 20 --retry-all-errors host1:8080")
    assert "nginx in a container" in page


def test_outside_sees_the_host(host):
    told = host.read("docker run --rm toolbox curl -s http://outside")
    assert told == f"hello, {host.address}\n"


def test_names_on_a_network_of_ones_own(host):
    host.read("docker network create mine")
    host.run("toolbox", name="one", command="sleep 1000", network="mine")
    script = "getent hosts one && ping -c 1 -W 2 one"
    assert "1 received" in host.read(f"docker run --rm --network mine toolbox sh -c '{script}'")


def test_ordinary_user_of_a_container_may_ping(host):
    ping = "docker run --rm --user nobody toolbox ping -c 1 -W 2 172.17.0.1"
    assert "1 received" in host.read(ping)


def test_host_and_none(host):
    own = host.read("docker run --rm --network none toolbox ip -o link").splitlines()
    assert len(own) == 1
    assert host.read("docker run --rm --network host toolbox hostname") == "host1\n"


def test_macvlan_is_on_the_lan(host):
    host.read(
        "docker network create -d macvlan --subnet 192.168.56.0/24 --ip-range 192.168.56.192/28 "
        "-o parent=eth0 lan"
    )
    told = host.read("docker run --rm --network lan toolbox ping -c 1 -W 2 station1")
    assert "1 received" in told


def test_files_of_a_container_are_its_own(host):
    script = "rm -r /etc/apt && mkdir /etc/apt && echo >> /etc/issue && echo x > /etc/new"
    host.read(f"docker run --name box toolbox sh -c '{script}'")
    assert {"A /etc/new", "C /etc/issue"} <= set(host.read("docker diff box").splitlines())
    assert host.read("docker images -q | wc -l") == "3\n"


def test_image_can_be_built_on(host):
    build = "printf 'FROM busybox\\nRUN echo new > /new\\n' | docker build -q -t mine -"
    host.read(build)
    assert host.read("docker run --rm mine cat /new; docker rmi mine > /dev/null") == "new\n"


def test_snapshot_reads_all_of_it(host):
    web = host.run("nginx", name="web", publish="8080:80")
    snapshot = host.snapshot()
    inside = snapshot.namespace(snapshot.container(web.name).namespace).interface("eth0")
    assert snapshot.root.interface(inside.peer.name).master == "docker0"
    assert any(r.target == "DNAT" for chain in snapshot.root.chains for r in chain.rules)


def test_overlay_joins_two_hosts(lab):
    one, two = lab.hosts
    one.read("docker swarm init --advertise-addr eth0")
    try:
        token = one.read("docker swarm join-token --quiet worker").strip()
        two.read(f"docker swarm join --token {token} {one.address}:2377")
        one.read("docker network create -d overlay --attachable across")
        one.run("toolbox", name="here", command="sleep 1000", network="across")
        ping = "docker run --rm --network across toolbox ping -c 1 -W 5 here"
        # Status 125: the engine gave the manager 20 seconds, and a busy computer may need more.
        assert "1 received" in two.read(f"{ping} || {{ [ $? -eq 125 ] && {ping}; }}")
        service = "docker service create --detach --endpoint-mode dnsrr --name web"
        one.read(f"{service} --network across nginx")
        page = one.read("docker exec here curl -s --retry 30 --retry-all-errors http://web")
        assert "nginx in a container" in page
    finally:
        two.sh("docker swarm leave", check=False)
        one.read("docker service rm web; docker rm -f here; docker swarm leave --force")


def test_engine_can_be_restarted(lab):
    host = lab.host2
    host.read("service docker restart")
    assert host.read("docker run --rm busybox echo again") == "again\n"


def test_packet_is_followed(host):
    client = host.run("toolbox", name="client", command="sleep 1000")
    found = journey(client, "curl -s outside")
    assert found.output == f"hello, {host.address}\n"
    assert agreement.with_tracking(found) == agreement.with_cables(found) == []
    if "nf_tables trace" in found.means:  # else the kernel has none, and a remark says so
        assert agreement.with_counters(found) == []
        assert "MASQUERADE" in {step.verdict for step in found.steps}
    else:
        assert found.remarks


KERNEL = """
from labkit import Lab
lab = Lab().start()
lab.host1.run("nginx", publish="8080:80")
print(lab._channel.run, flush=True)
lab.host1.sh("sleep 1000")
"""


def test_nothing_is_left_when_the_kernel_is_killed():
    with subprocess.Popen(
        [sys.executable, "-c", KERNEL], stdout=subprocess.PIPE, text=True
    ) as kernel:
        run = Path(kernel.stdout.readline().strip())
        assert run.is_dir()
        kernel.send_signal(signal.SIGKILL)
    assert gone_within(run, 20) == []


def test_nothing_is_left_after_stop():
    with Lab() as lab:
        run = lab._channel.run
        assert lab.host1.read("docker run --rm busybox echo hello") == "hello\n"
    assert gone_within(run, 20) == []


def test_killed_machine_is_a_sentence():
    from labkit.errors import MachineError

    lab = Lab().start()
    run = lab._channel.run
    boot = psutil.Process(processes(str(run))[-1])
    try:
        boot.kill()
    except psutil.AccessDenied:
        lab.stop()
        pytest.skip("sudo's processes are not ours to kill")
    boot.wait(timeout=20)  # a busy computer could answer a call before it has carried out the kill
    with pytest.raises(MachineError, match="went away"):
        lab.host1.sh("true")
    lab.stop()
    assert gone_within(run, 20) == []
