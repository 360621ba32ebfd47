"""The machine image as an image of the learner's engine: brought there, or built there.

It is brought where this computer has its directory. Where it has none, and need not have the
programs that make one (macOS, Windows), the engine builds it: mmdebstrap, with the options that
every image is made with, runs in a container of Debian, and the Docker images are built in a lab
that boots from the result. Nothing of that comes to this computer but the Docker images' layers,
in passing.
"""

from __future__ import annotations

import contextlib
import io
import shlex
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

import docker
from docker.models.containers import Container

from labkit.errors import CommandError, ImageError
from labkit.leftovers import size
from labkit.machine import builder
from labkit.machine.container_relay import CHUNK, LABEL, PLACE, create
from labkit.machine.image import LABKIT
from labkit.machine.privilege import ROOT as AS_ROOT
from labkit.machine.privilege import Privilege
from labkit.machine.recipe import IMAGES, Recipe

REPOSITORY = "labkit/machine"
BASE = "debian:trixie-slim"
ROOT = PurePosixPath("/machine")  # where it is built, and stays, on top of BASE
INSTALL = "apt-get update && apt-get install --yes --no-install-recommends mmdebstrap"
TIDY = f"rm -r {ROOT / LABKIT / 'build'} /var/lib/apt/lists/*; apt-get clean"
FULL = (
    "the engine's disk filled up while the machine image was built: docker system prune frees "
    "some, and Docker Desktop's settings have its size"
)


def bring(
    client: docker.DockerClient, way: Privilege, directory: Path, reference: str, say: builder.Say
) -> None:
    """Import the machine image's directory into the engine, under that name."""
    words = ("tar", "--create", "--xattrs", "--xattrs-include=security.*", "--numeric-owner")
    source = ("--exclude=./dev/*", "--directory", str(directory), ".")
    job, whole = "machine image", size(directory) or 1
    repository, _, tag = reference.partition(":")
    command = (*way.shell(), *words, *source)
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as tar,
    ):
        assert tar.stdout
        try:
            client.api.import_image_from_stream(
                _told(tar.stdout, whole, job, say), repository, tag, changes=[_labels("/")]
            )
        except BaseException:
            tar.kill()
            raise
        if tar.wait() != 0:  # what arrived is not all of it
            client.images.remove(reference)
            errors.seek(0)
            raise builder.explain("tar", errors.read().decode(errors="replace").splitlines())
    say(job, "done", 10)


def _told(file: IO[bytes], whole: int, job: str, say: builder.Say) -> Iterator[bytes]:
    """What is in a file, saying ten times how far it is."""
    done = 0
    while chunk := file.read(CHUNK):
        if done * 10 // whole != (done + len(chunk)) * 10 // whole or not done:
            say(job, f"into the engine: {done >> 20} of {whole >> 20} MiB", 10)
        done += len(chunk)
        yield chunk


def _labels(place: str) -> str:
    return f"LABEL {LABEL}=image {PLACE}={place}"


def build(client: docker.DockerClient, wanted: Recipe, reference: str, say: builder.Say) -> None:
    """Build the machine image in the engine, under that name."""
    from labkit.lab import Lab  # here, because a lab needs an image

    job = f"Debian {wanted.release}"
    say(job, f"fetching {BASE}", 1)
    _fetch(client)
    part = f"{reference}.part"
    with contextlib.ExitStack() as stack:
        workshop = stack.enter_context(_workshop(client))
        _run(workshop, INSTALL, job, say)
        _mmdebstrap(workshop, builder.Job(job, wanted.machine(), wanted.release, ROOT), say)
        build = ROOT / LABKIT / "build"
        _run(workshop, f"mkdir -p {build}", job, say)
        workshop.put_archive(str(build), _packed(IMAGES))
        toolbox = build / "toolbox" / "rootfs.tar"
        _mmdebstrap(
            workshop, builder.Job("toolbox", wanted.container(), wanted.release, toolbox), say
        )
        job, steps = "Docker images", 3
        say(job, "booting a lab host", steps)
        _commit(workshop, part)
        stack.callback(client.images.remove, part, force=True)
        with tempfile.TemporaryFile() as file:
            try:
                with Lab(hosts=1, image=part, machine="container") as lab:
                    say(job, "building toolbox, nginx and busybox", steps)
                    lab.host1.save(f"sh /{LABKIT}/build/bake.sh", file)
            except CommandError as error:
                raise builder.explain("docker build", error.stderr.splitlines()) from error
            file.seek(0)
            workshop.put_archive(str(ROOT / LABKIT), file)
        _run(workshop, TIDY, job, say)
        _commit(workshop, reference)
        say(job, "done", steps)


def _fetch(client: docker.DockerClient) -> None:
    try:
        client.images.get(BASE)
    except docker.errors.ImageNotFound:
        try:
            client.images.pull(BASE)
        except docker.errors.APIError as error:
            raise ImageError(
                f"the engine could not fetch {BASE}, which the machine image is built on "
                f"({error.explanation}): check the engine's network"
            ) from error


@contextlib.contextmanager
def _workshop(client: docker.DockerClient) -> Iterator[Container]:
    """A container of Debian with the engine's own network, for as long as we hold its input."""
    made = create(client.api, BASE, ["cat"], network="host")
    try:
        attached = client.api.attach_socket(made, params={"stdin": 1, "stream": 1})
        client.api.start(made)
        yield client.containers.get(made)
        attached.close()
    finally:
        with contextlib.suppress(docker.errors.APIError):  # it may be on its way out already
            client.api.remove_container(made, force=True, v=True)


def _mmdebstrap(workshop: Container, job: builder.Job, say: builder.Say) -> None:
    _run(workshop, shlex.join(builder.mmdebstrap(AS_ROOT, job, job.result)), job.name, say)
    say(job.name, "done", builder.STEPS)


def _run(workshop: Container, script: str, job: str, say: builder.Say) -> None:
    """Run a shell script in the workshop, and say the steps that mmdebstrap or apt names."""
    api = workshop.client.api
    run = api.exec_create(
        workshop.id, ["sh", "-euc", script], environment={"DEBIAN_FRONTEND": "noninteractive"}
    )["Id"]
    said = [""]
    for chunk in api.exec_start(run, stream=True):
        *whole, rest = (said.pop() + chunk.decode(errors="replace")).split("\n")
        for line in whole:
            if step := builder.STEP.match(line):
                say(job, step[1], builder.STEPS)
        said += [*whole, rest]
    if api.exec_inspect(run)["ExitCode"] != 0:
        if builder.FULL in "\n".join(said):
            raise ImageError(FULL)
        raise builder.explain(script.split()[0], said)


def _packed(folder: Path) -> bytes:
    """A tar of what is in a folder, owned by root."""
    file = io.BytesIO()

    def by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        return entry.replace(uid=0, gid=0, uname="", gname="", deep=False)

    with tarfile.open(fileobj=file, mode="w") as tar:
        tar.add(folder, arcname=".", filter=by_root)
    return file.getvalue()


def _commit(workshop: Container, reference: str) -> None:
    repository, _, tag = reference.partition(":")
    workshop.commit(repository, tag, changes=[_labels(str(ROOT))])
