"""The recipe: known engines, and a hash that changes exactly when the image would."""

from __future__ import annotations

import dataclasses

import pytest

from labkit.errors import UsageError
from labkit.machine import recipe as module
from labkit.machine.recipe import IMAGES, RECIPES, generation, recipe


@pytest.mark.parametrize(("engine", "release"), [("26.1", "trixie"), ("20.10", "bookworm")])
def test_engine_chooses_the_release(engine, release):
    assert recipe(engine).release == release


def test_unknown_engine_names_the_known_ones():
    with pytest.raises(UsageError, match=r"no engine '29' .*'26.1' or '20.10'"):
        recipe("29")


def test_client_is_a_package_of_its_own_in_trixie_only():
    assert "docker-cli" in recipe("26.1").packages
    assert "docker-cli" not in recipe("20.10").packages


@pytest.mark.parametrize("known", RECIPES, ids=lambda r: r.release)
def test_packages_are_named_once_and_reach_mmdebstrap(known):
    assert len(set(known.packages)) == len(known.packages)
    include = next(o for o in known.machine() if o.startswith("--include="))
    assert include.removeprefix("--include=").split(",") == list(known.packages)
    assert f"--include={','.join(known.toolbox)}" in known.container()


def test_hash_is_stable_and_part_of_the_name():
    known = recipe("26.1")
    assert known.hash("amd64") == known.hash("amd64")
    assert known.name("amd64") == f"image-trixie-amd64-{known.hash('amd64')}"
    assert len(known.hash("amd64")) == 12


@pytest.mark.parametrize(
    "change",
    [
        {"release": "sid"},
        {"packages": (*module.MACHINE, "docker-cli", "traceroute")},
        {"packages": (*module.MACHINE[1:], "docker-cli")},
        {"toolbox": (*module.TOOLBOX, "traceroute")},
    ],
)
def test_hash_changes_with_the_lists(change):
    known = recipe("26.1")
    assert dataclasses.replace(known, **change).hash("amd64") != known.hash("amd64")


def test_hash_changes_with_the_architecture_and_the_options(monkeypatch):
    known = recipe("26.1")
    before = known.hash("amd64")
    assert known.hash("arm64") != before
    monkeypatch.setattr(module, "UNWANTED", (*module.UNWANTED, "/usr/share/zoneinfo/*"))
    assert known.hash("amd64") != before


def test_hash_changes_with_a_dockerfile_and_with_a_file_name(tmp_path, monkeypatch):
    import shutil

    shutil.copytree(IMAGES, tmp_path / "images")
    monkeypatch.setattr(module, "IMAGES", tmp_path / "images")
    before = recipe("26.1").hash("amd64")
    dockerfile = tmp_path / "images" / "busybox" / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "EXPOSE 23\n")
    changed = recipe("26.1").hash("amd64")
    dockerfile.rename(dockerfile.with_name("Containerfile"))
    assert len({before, changed, recipe("26.1").hash("amd64")}) == 3


def test_every_docker_image_of_the_lab_has_its_dockerfile():
    assert {path.parent.name for path in IMAGES.glob("*/Dockerfile")} == {
        "toolbox",
        "nginx",
        "busybox",
    }


def test_engine_that_is_meant(monkeypatch):
    monkeypatch.delenv("LABKIT_ENGINE", raising=False)
    assert generation() == "26.1"
    monkeypatch.setenv("LABKIT_ENGINE", "20.10")
    assert generation() == generation("20.10") == "20.10"
    assert generation("26.1") == "26.1"
    monkeypatch.setenv("LABKIT_ENGINE", "")
    assert generation() == "26.1"
