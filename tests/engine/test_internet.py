"""The way out: none, unless the learner asked for it. A namespace stands for the learner's network.

Nothing here leaves this computer: the learner's kernel runs in a network namespace, on a cable to
another one, in which a server answers.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from labkit import Lab
from labkit.machine import named
from tests.engine import as_user

FAR, LEARNER = "198.51.100.1", "198.51.100.2"  # RFC 5737: nobody's
SERVER = f"""
import http.server, socket, threading

class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello, " + self.client_address[0].encode())

def names():
    asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asked.bind(("", 53))
    while True:
        query, who = asked.recvfrom(512)  # RFC 1035: one question, answered with one address
        head = query[:2] + bytes.fromhex("8180 0001 0001 0000 0000")
        question = query[12 : query.index(0, 12) + 5]
        answer = bytes.fromhex("c00c 0001 0001 0000003c 0004") + socket.inet_aton("{FAR}")
        asked.sendto(head + question + answer, who)

input()  # the cable is plugged in
threading.Thread(target=names, daemon=True).start()
server = http.server.ThreadingHTTPServer(("", 80), Hello)
print("ready", flush=True)
server.serve_forever()
"""
CABLE = f"""
set -e
echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6  # whose addresses change by themselves
ip link set lo up
ip link add eth0 type veth peer name eth0 netns "$1"
ip address add {LEARNER}/24 dev eth0
ip link set eth0 up
nsenter --net="/proc/$1/ns/net" sh -ec '
    ip address add {FAR}/24 dev eth0
    ip link set eth0 up
'
ip route add default via {FAR}
"""
LABS = f"""
import socket
from labkit import Lab
from tests.endurance import state_of_this_system

own = socket.create_server(("127.0.0.1", 8000))  # somebody listens where nobody may come
before = state_of_this_system()
print()
for internet in (False, True):
    with Lab(hosts=1, internet=internet) as lab:
        lab.host1.run("toolbox", name="box", command="sleep 1000")
        for address, seconds in (("{FAR}", 20 if internet else 0.5), ("10.0.2.2:8000", 0.5)):
            ask = f"docker exec box curl -s -m {{seconds}} http://{{address}}/ || echo nothing"
            print(internet, address, lab.host1.read(ask).strip(), flush=True)
        after = state_of_this_system()
        assert after == before, set(after.splitlines()) ^ set(before.splitlines())
"""
SEEN = f"""
False {FAR} nothing
False 10.0.2.2:8000 nothing
True {FAR} hello, {LEARNER}
True 10.0.2.2:8000 nothing
"""
ONE_LAB = """
from labkit import Lab
lab = Lab(internet=True).start()
print(lab.host1.read("docker run --rm toolbox dig +short far.test"), flush=True)
input()
"""

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network for the learner"),
    pytest.mark.skipif(not shutil.which("passt"), reason="passt is not installed"),
]


@pytest.fixture(scope="module")
def network() -> Iterator[str]:
    """The learner's network: the path of a namespace that has a cable to a far server."""
    with contextlib.ExitStack() as stack:

        def apart(*words: str) -> subprocess.Popen[str]:
            process = stack.enter_context(
                subprocess.Popen(
                    ["unshare", "--net", *words],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                )
            )  # fmt: skip
            stack.callback(process.kill)
            return process

        far = apart(sys.executable, "-c", SERVER)
        learner = apart("sh", "-c", f"{CABLE} echo ready; read -r _", "sh", str(far.pid))
        assert learner.stdout.readline() == "ready\n"
        far.stdin.write("\n")
        far.stdin.flush()
        assert far.stdout.readline() == "ready\n"
        yield f"/proc/{learner.pid}/ns/net"


def in_it(network: str, command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["nsenter", f"--net={network}", *command], capture_output=True, text=True, check=False
    )


def shows_both(network: str, command: list[str]) -> None:
    done = in_it(network, command)
    assert done.stdout.endswith(SEEN), done.stdout + done.stderr  # an image's way may be before


@pytest.mark.parametrize("machine", ["root", pytest.param("virtual", marks=pytest.mark.slow)])
def test_no_way_out_but_for_who_asked(network, machine):
    able, why = named(machine).available()
    if not able:
        pytest.skip(why)
    shows_both(network, ["env", f"LABKIT_MACHINE={machine}", sys.executable, "-c", LABS])


def test_no_way_out_but_for_who_asked_as_an_ordinary_user(network):
    shows_both(network, as_user.python("ids", "-c", LABS, LABKIT_MACHINE="user"))


@pytest.mark.slow
def test_no_way_out_but_for_who_asked_on_the_container_machine(network):
    with Lab(hosts=1, machine="root") as outer:
        engine = f"DOCKER_HOST=unix://{outer._channel.run}/host1.sock"
        words = ["env", engine, "LABKIT_MACHINE=container", sys.executable, "-c", LABS]
        shows_both(network, words)


def test_names_are_asked_where_the_learner_asks_and_a_killed_kernel_leaves_no_passt(
    network, tmp_path
):
    servers = tmp_path / "resolv.conf"
    servers.write_text(f"nameserver {FAR}\n")
    there = 'mount --bind "$1" /etc/resolv.conf; shift; exec nsenter --net="$@"'
    command = ["sh", "-c", there, "sh", str(servers), network, sys.executable, "-c", ONE_LAB]
    with subprocess.Popen(
        ["unshare", "--mount", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as kernel:
        try:
            assert kernel.stdout.readline() == f"{FAR}\n"
            [passt] = [p for p in psutil.Process(kernel.pid).children() if "passt" in p.name()]
        finally:
            kernel.kill()
    assert psutil.wait_procs([passt], timeout=3)[1] == []


def test_without_a_network_of_ones_own_one_sentence_says_so():
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", ONE_LAB],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    last = done.stderr.splitlines()[-1]
    assert last.startswith("labkit.errors.MachineError: internet=True: "), done.stderr
    assert "xternal" in last  # passt's own reason
