"""Binder for real: its image built by a Docker Engine, and run with the rights that Binder gives.

`python -m pytest -m slow -s tests/binder` also prints what was measured.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import nbformat
import pytest
from docker.models.containers import Container

from labkit import leftovers
from labkit.machine.container_image import BASE
from tests.engine import by_hand

pytestmark = pytest.mark.slow  # it builds an image in ten minutes, and runs notebooks in emulation

ROOT = Path(__file__).parents[2]
VISITOR = Path(__file__).with_name("visitor.py")
TAG = "labkit-binder"
BUILDER = 2_000_000_000  # bytes of memory that mybinder.org builds with
USER = {"NB_USER": "jovyan", "NB_UID": "1000"}
URL, TOKEN = "/user/someone-lab-ab12cd34/", "a-token-of-binders"
# What mybinder.org gives a visitor: its Helm chart's and repo2docker's own files.
LAUNCH = {
    "user": USER["NB_UID"],
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],  # seccomp's profile is the engine's own
    "mem_limit": "2g",
    "memswap_limit": "2g",
    "nano_cpus": 1_000_000_000,
    "network_mode": "none",
}
SERVER = [
    "jupyter-lab",
    "--ip=0.0.0.0",
    "--port=8888",
    "--no-browser",
    f"--ServerApp.base_url={URL}",
    f"--IdentityProvider.token={TOKEN}",
]
SERVED = f"http://127.0.0.1:8888{URL}"
LISTENS = """
import sys, time, urllib.request
while True:
    try:
        sys.exit(urllib.request.urlopen(sys.argv[1]).status != 200)
    except OSError:
        time.sleep(0.1)
"""
NOTEBOOKS = ("00", "01", "04", "05", "10")


@dataclass(frozen=True)
class Launched:
    """A running container of Binder's image, and its cgroups by the names of their hierarchies."""

    container: Container
    groups: dict[str, Path]

    def group_file(self, version1: str, version2: str) -> str:
        """The text of a file of its cgroup, memory/NAME or NAME: see cgroups(7)."""
        hierarchy, _, name = version1.partition("/")
        if hierarchy in self.groups:
            return (self.groups[hierarchy] / name).read_text()
        return (self.groups["cgroup"] / version2).read_text()

    def processor_seconds(self) -> float:
        """The processor seconds that all in it have taken."""
        text = self.group_file("cpuacct/cpuacct.usage", "cpu.stat")
        if len(words := text.split()) == 1:
            return int(words[0]) / 1e9
        return int(words[words.index("usage_usec") + 1]) / 1e6

    def run(self, *command: str) -> str:
        """Run a command in it as its user; its output."""
        status, (output, errors) = self.container.exec_run(list(command), demux=True)
        assert status == 0, f"{command[:2]}: {(errors or output or b'').decode()}"
        return (output or b"").decode()


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Iterator[docker.DockerClient]:
    """An engine with Binder's image in it, built from what git has of the project."""
    with by_hand.engine(tmp_path_factory.mktemp("binder")) as client:
        begin = time.monotonic()
        lines = client.api.build(
            fileobj=repository(),
            custom_context=True,
            dockerfile="binder/Dockerfile",
            tag=TAG,
            buildargs=USER,
            network_mode="host",
            container_limits={"memory": BUILDER, "memswap": BUILDER},
            decode=True,
        )
        said = []
        for line in lines:
            said.append(line.get("stream", "") or line.get("error", ""))
            assert "error" not in line, "".join(said[-30:])
        print(f"\nimage built in {time.monotonic() - begin:.0f} s", end=", ")
        layers = client.api.history(TAG)
        base = client.images.get(BASE).attrs["Size"]
        print(f"{sum(layer['Size'] for layer in layers) / 1e9:.2f} GB ({base / 1e6:.0f} MB Debian)")
        yield client


def repository() -> io.BytesIO:
    """The tar of the project as Binder clones it, with changes that are not committed yet."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).exists():
                tar.add(ROOT / name, arcname=name)
    file.seek(0)
    return file


@pytest.fixture(scope="module")
def launched(engine) -> Iterator[Launched]:
    """The image, run as Binder runs it, with Jupyter listening."""
    container = engine.containers.run(TAG, SERVER, detach=True, **LAUNCH)
    try:
        folder = Path(engine.api._custom_adapter.socket_path).parent
        group = Path(by_hand.group_name(folder), container.id)
        places = {place.name: place / group for place in leftovers._hierarchies()}
        found = Launched(container, places)
        found.run("timeout", "120", "python", "-c", LISTENS, f"{SERVED}api")
        yield found
    finally:
        container.remove(force=True)


def test_what_binder_allows_is_what_is_tried_here(launched):
    status = launched.run("cat", "/proc/self/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert facts["Uid"].split() == ["1000"] * 4
    assert {facts[name] for name in ("CapBnd", "CapEff", "CapPrm")} == {"0" * 16}
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    assert launched.run("sh", "-c", "! unshare --user true 2> /dev/null && echo refused")
    assert launched.run("sh", "-c", "test ! -e /dev/kvm && echo none")
    assert launched.group_file("memory/memory.limit_in_bytes", "memory.max").strip() == str(2 << 30)


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_notebook_runs_and_every_claim_is_true(launched, number):
    (path,) = (ROOT / "notebooks").glob(f"{number}-*.ipynb")
    begin = time.monotonic()
    visit = ("python", "-c", VISITOR.read_text(), SERVED, TOKEN, f"notebooks/{path.name}")
    out = launched.run(*visit)
    took = time.monotonic() - begin
    cells = json.loads(out)
    assert [(cell["source"], cell["error"]) for cell in cells if cell["error"]] == []
    stored = claims(
        output.get("text", "")
        for cell in nbformat.read(path, as_version=4).cells
        for output in cell.get("outputs", [])
    )
    assert len(stored) > 3
    assert claims(cell["text"] for cell in cells) == stored
    started = next(cell for cell in cells if ".start()" in cell["source"])
    assert "The lab: virtual machine" in started["text"]
    print(f"{path.stem}: {took:.0f} s, its lab was there after {started['seconds']:.1f} s")


def claims(texts) -> set[str]:
    """The sentences that a notebook claimed, and the lab bore out."""
    lines = "\n".join(texts).splitlines()
    return {line for line in lines if line.startswith("✓ ")}


FIRST = """
import os, time
from pathlib import Path
begin = time.perf_counter()
from labkit import Lab
lab = Lab().start()
ready = time.perf_counter() - begin
lab.host1.run("busybox", "true")
first = time.perf_counter() - begin
begin = time.perf_counter()
lab.host1.read("docker run --rm busybox true")
print(lab.machine, ready, first, time.perf_counter() - begin)
outside = lab._channel._process.pid
children = Path(f"/proc/{outside}/task/{outside}/children").read_text().split()
def used():
    fields = [Path(f"/proc/{p}/stat").read_text().rpartition(")")[2].split() for p in children]
    return sum(int(f[11]) + int(f[12]) for f in fields) / os.sysconf("SC_CLK_TCK")
time.sleep(10)  # what a start leaves to do
before = used()
time.sleep(60)
print(used() - before)
"""


def test_idle_machine_takes_less_than_a_processor_second_in_a_minute(launched):
    before = launched.processor_seconds()
    machine, *numbers = launched.run("python", "-c", FIRST).split()
    assert machine == "virtual"
    ready, first, again, idle = map(float, numbers)
    took = launched.processor_seconds() - before
    most = int(launched.group_file("memory/memory.max_usage_in_bytes", "memory.peak")) >> 20
    print(
        f"lab ready {ready:.1f} s, first container {first:.1f} s, a further one {again:.1f} s; "
        f"an idle minute of the machine: {idle:.2f} processor seconds, of {took:.0f} in all; "
        f"memory at its fullest, file cache and all: {most} MiB"
    )
    assert idle < 1
