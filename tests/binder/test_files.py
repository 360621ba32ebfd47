"""What binder/Dockerfile names is in the project; that it builds and runs, test_launch.py tries."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from labkit import machine, wake
from labkit.machine import container_image, prerequisites, qemu

ROOT = Path(__file__).parents[2]


def steps() -> list[tuple[str, str]]:
    """The Dockerfile's instructions: each one's word and the rest, its lines joined."""
    text = (ROOT / "binder" / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [tuple(line.split(" ", 1)) for line in whole if line]


def rest(word: str) -> list[str]:
    """The rest of every instruction of that kind."""
    return [rest for kind, rest in steps() if kind == word]


def variables() -> dict[str, str]:
    """What its ENV instructions set."""
    return dict(pair.split("=", 1) for line in rest("ENV") for pair in shlex.split(line))


def test_it_begins_with_the_debian_that_engines_build_machine_images_on():
    assert rest("FROM") == [container_image.BASE]


def test_it_is_the_only_thing_that_binder_finds():
    assert [path.name for path in (ROOT / "binder").iterdir()] == ["Dockerfile"]


def test_what_it_copies_is_there_before_all_of_it_is():
    *some, last = [shlex.split(line) for line in rest("COPY")]
    for *sources, _ in some:
        for source in sources:
            assert (ROOT / source).exists(), source
    assert last[-2:] == [".", "."]


def test_it_has_binders_user_and_ends_as_that():
    assert "NB_UID=1000" in rest("ARG")
    assert "NB_USER=jovyan" in rest("ARG")
    assert steps()[-1] == ("USER", "${NB_USER}")
    assert not {"ENTRYPOINT", "CMD"} & {kind for kind, _ in steps()}, "Binder brings the command"


def test_it_installs_what_the_virtual_machine_and_the_image_need():
    packages = shlex.split(next(line for line in rest("RUN") if "apt-get install" in line))
    wanted = {prerequisites.KEYS, "mmdebstrap", "squashfs-tools", qemu.SYSTEMS["amd64"].package}
    assert wanted <= set(packages)
    (pip,) = (line for line in rest("RUN") if "pip install" in line)
    named = [w for w in shlex.split(pip.partition("pip install")[2]) if not w.startswith("-")]
    assert named == [".", "notebook"], "labkit's own list of packages, and what Binder asks for"


def test_its_variables_mean_something():
    found = variables()
    assert machine.named(found["LABKIT_MACHINE"]).name == "virtual"
    assert found[wake.VARIABLE]
    for name in ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH"):
        assert (ROOT / found[name].removeprefix("${HOME}/")).is_dir(), name


def test_readme_names_binder_and_its_limits():
    text = (ROOT / "README.md").read_text()
    assert "mybinder.org/v2/" in text
    assert "urlpath=lab/tree/notebooks/00-start-here.ipynb" in text
    assert (ROOT / "notebooks" / "00-start-here.ipynb").exists()
