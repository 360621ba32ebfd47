"""The real image: its Docker images on a lab host, and builds that fail or are killed for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labkit.lab import Lab
from labkit.machine.doctor import engine_version
from labkit.machine.image import ensure, find

STORE = "usr/lib/labkit/store"


@pytest.fixture(scope="module")
def host():
    with Lab(hosts=1) as lab:
        yield lab.host1


def test_image_has_the_engine_of_its_generation():
    image = ensure("26.1")
    assert image == find("26.1")
    assert engine_version(image).startswith("26.1.")


def test_older_engine_is_one_word_away():
    with Lab(hosts=1, engine="20.10") as lab:
        assert lab.engine.startswith("20.10.")
        assert lab.host1.read("docker run --rm nginx nginx -v 2>&1").startswith("nginx version")
        assert "20.10" in lab.host1.read("dockerd --cluster-store etcd://none --version")


def test_nothing_of_the_building_computer_is_in_the_image():
    image = ensure("26.1")
    for name in ("etc/hostname", "etc/resolv.conf", "usr/lib/labkit/build"):
        assert not (image / name).exists(), name


def without(programs: str) -> str:
    """A shell command that prints those of the programs that are not there."""
    return f"for p in {programs}; do command -v $p > /dev/null || echo $p; done"


def test_host_has_its_programs(host):
    programs = (
        "dockerd docker docker-proxy containerd runc tini nsenter unshare ip bridge tc ss iptables "
        "nft conntrack tcpdump ifconfig curl dig ping arping nc ethtool ipvsadm ps less jq python3 "
        "dnsmasq nginx etcd etcdctl modprobe"
    )
    assert host.read(without(programs)) == ""
    assert host.read(without("no-such-program")) == "no-such-program\n"


def test_host_has_cni_plugins(host):
    assert "bridge" in host.read("ls /usr/lib/cni")


def test_images_are_there_from_the_start(host):
    listed = host.read("docker images --format '{{.Repository}}:{{.Tag}}'").split()
    assert sorted(listed) == ["busybox:latest", "nginx:latest", "toolbox:latest"]


def test_host_copies_records_not_layers(host):
    used = int(host.read("du -sk --one-file-system /var/lib/docker/overlay2 | cut -f1"))
    assert used < 1024, "the layers, 100 MB, are in the store"


def test_toolbox_has_its_programs(host):
    programs = "ip ifconfig curl dig tcpdump ping iptables ss nft bridge arping nc netstat ps bash"
    assert host.read(f"docker run --rm toolbox sh -c '{without(programs)}'") == ""


def test_nginx_answers_logs_to_standard_output_and_stops_at_once(host):
    host.read("docker run --detach --name web --publish 8080:80 nginx")
    try:
        page = host.read("curl --silent --show-error --retry 20 --retry-all-errors localhost:8080")
        assert "nginx in a container" in page
        log = host.read("docker logs web 2> /dev/null")
        assert '"GET / HTTP/1.1" 200' in log
        assert host.read("docker logs web 2>&1 > /dev/null") == "", "quiet but for requests"
        ports = host.read("docker image inspect nginx --format '{{.Config.ExposedPorts}}'")
        assert ports.strip() == "map[80/tcp:{}]"
        begin = time.monotonic()
        host.read("docker stop web")
        assert time.monotonic() - begin < 5, "it understood the stop signal"
    finally:
        host.read("docker rm --force web")


def test_busybox_is_one_program_with_many_names(host):
    told = host.read("docker run --rm busybox sh -c 'whoami; readlink /bin/ls; touch /tmp/x'")
    assert told.split() == ["root", "/bin/busybox"]


def test_ordinary_user_pings_from_toolbox(host):
    assert "1 received" in host.read(
        "docker run --rm --user nobody toolbox ping -c 1 -W 2 172.17.0.1"
    )


def test_exec_is_in_the_container_and_diff_sees_what_it_did(host):
    host.read("docker run --detach --name box toolbox sleep 1000")
    try:
        host.read("docker exec box sh -c 'touch /added; rm /etc/issue'")
        assert set(host.read("docker diff box").splitlines()) >= {"A /added", "D /etc/issue"}
        assert host.read("ls /added 2> /dev/null || true") == "", "not on the lab host"
    finally:
        host.read("docker rm --force box")


def test_image_can_be_built_on_and_saved(host):
    host.read(
        "mkdir -p /tmp/mine && cd /tmp/mine && "
        "printf 'FROM toolbox\\nRUN rm /etc/issue && echo new > /etc/new\\n' > Dockerfile && "
        "DOCKER_BUILDKIT=0 docker build --quiet --tag mine . && "
        "docker save mine --output mine.tar && docker rmi mine && docker load --input mine.tar"
    )
    look = "docker run --rm mine sh -c 'test ! -e /etc/issue && cat /etc/new'"
    assert host.read(look) == "new\n"
    host.read("docker rmi mine; rm -r /tmp/mine")


def test_sizes_are_told_quickly_and_truly(host):
    begin = time.monotonic()
    size = host.read("docker system df --format '{{.Type}} {{.Size}}' | grep Images").split()[1]
    assert time.monotonic() - begin < 2
    assert 90 < float(size.removesuffix("MB")) < 250


def test_removing_an_image_leaves_the_other_hosts_theirs():
    def whole() -> set[str]:
        return {f"{p.parent.name}/{p.name}" for p in (ensure("26.1") / STORE).glob("*/*/diff/*")}

    before = whole()
    with Lab(hosts=2) as lab:
        lab.host1.read("docker rmi nginx busybox toolbox")
        assert lab.host1.read("docker images --quiet") == ""
        assert lab.host2.read("docker run --rm busybox echo fine") == "fine\n"
    assert whole() == before


def test_store_keeps_no_marks_of_the_overlay_it_was_built_on():
    store = ensure("26.1") / STORE
    assert not [p for p in store.rglob("*") if p.is_char_device() and p.stat().st_rdev == 0]


BUILD = """
from labkit.errors import LabError
from labkit.machine import image
{patch}
try:
    print(image.ensure("26.1", lambda *step: print(*step, flush=True)))
except LabError as error:
    print(f"{{type(error).__name__}}: {{error}}")
"""


def build(cache: Path, *wrapper: str, patch: str = "") -> subprocess.Popen:
    """A build into an empty cache, in a process of its own."""
    return subprocess.Popen(
        [*wrapper, sys.executable, "-c", BUILD.format(patch=patch)],
        env={**os.environ, "LABKIT_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def working_on(cache: Path) -> list[str]:
    """The command lines that name the cache."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_text()
        except OSError:
            continue
        if f"{cache}/image-" in line:
            found.append(line)
    return found


def test_build_without_network_says_so(tmp_path):
    told, _ = build(tmp_path / "cache", "unshare", "--net").communicate(timeout=60)
    assert told.splitlines()[-1].startswith(
        "ImageError: Debian's packages, needed once for the machine image, could not be fetched"
    )
    assert not working_on(tmp_path / "cache")


def test_build_on_a_disk_that_fills_up_says_so(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    small = f'mount -t tmpfs -o size=60m small {cache} && exec "$0" "$@"'
    process = build(cache, "unshare", "--mount", "sh", "-c", small, patch="image.ROOM = 0")
    told, _ = process.communicate(timeout=120)
    assert told.splitlines()[-1].startswith("ImageError: the disk filled up")
    assert not working_on(cache)
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def test_killed_build_leaves_no_process_and_no_mount(tmp_path):
    cache = tmp_path / "cache"
    process = build(cache)
    for line in process.stdout:
        if "extracting" in line:
            break
    assert working_on(cache), "it is at work"
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 2
    while working_on(cache) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not working_on(cache)
    assert str(cache) not in Path("/proc/self/mounts").read_text()


def test_interrupted_build_says_how_it_goes_on_and_leaves_no_process(tmp_path):
    cache = tmp_path / "cache"
    process = build(cache)
    for line in process.stdout:
        if "extracting" in line:
            break
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=20)
    assert "interrupted; what was finished is kept" in told.splitlines()[-1]
    assert not working_on(cache)
