"""The machines in namespaces: whether they can boot here, by which privilege, and why not."""

import sys
from pathlib import Path

import pytest

from labkit.errors import ImageError
from labkit.machine import privilege, user
from labkit.machine.builder import remove
from labkit.machine.privilege import MANY_IDS, ONE_ID_ONLY, ROOT, SUDO, Privilege
from labkit.machine.root import RootMachine
from labkit.machine.user import UserMachine


@pytest.fixture
def closed(monkeypatch):
    """Every privilege is closed, with this refusal."""
    monkeypatch.setattr(Privilege, "refusal", lambda self: "Operation not permitted")
    return monkeypatch


def test_not_root_and_no_sudo(closed):
    closed.setattr("os.geteuid", lambda: 1000)
    able, why = RootMachine().available()
    assert not able
    assert why.startswith("you are not root")
    assert why.endswith("run ./lab as root")


def test_sudo_that_asks_for_nothing(monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(Privilege, "refusal", lambda self: "" if self is SUDO else "no")
    assert RootMachine().available() == (True, "Linux, and sudo makes you root without a password")
    assert RootMachine().command(Path("image"), Path("run"))[0] == "sudo"


@pytest.mark.parametrize("machine", [RootMachine(), UserMachine()])
def test_not_linux(monkeypatch, machine):
    monkeypatch.setattr("sys.platform", "darwin")
    able, why = machine.available()
    assert not able
    assert "darwin" in why


@pytest.mark.parametrize("machine", [RootMachine(), UserMachine()])
def test_a_tool_is_missing(monkeypatch, machine):
    there = {"nsenter", "pivot_root", "find"}
    monkeypatch.setattr("shutil.which", lambda tool, path: tool if tool in there else None)
    assert machine.available() == (False, "unshare not found; install util-linux")


def test_a_root_that_may_not_make_namespaces(closed):
    closed.setattr("os.geteuid", lambda: 0)
    able, why = RootMachine().available()
    assert not able
    assert why == "this root may not make namespaces (Operation not permitted)"


def test_refusal_is_the_last_word_of_what_was_tried():
    assert Privilege(words=("sh", "-c", "echo one >&2; echo two >&2; exit 1")).refusal() == "two"
    assert Privilege(words=("no-such-program",)).refusal().startswith("no-such-program: No such")
    assert Privilege(words=("true",)).refusal() == ""


def test_what_a_refused_unshare_leaves_behind_is_ended_and_not_waited_for(tmp_path):
    """In a container with no namespaces, unshare --map-auto ends, and its helper does not."""
    late = tmp_path / "late"
    script = f"(sleep 20; touch {late}) & echo not permitted >&2; exit 1"
    assert Privilege(words=("sh", "-c", script)).refusal() == "not permitted"
    assert not late.exists()


def test_subordinate_ids_come_before_one_id(monkeypatch):
    monkeypatch.setattr(Privilege, "refusal", lambda self: "")
    assert UserMachine().privilege is MANY_IDS
    monkeypatch.setattr(Privilege, "refusal", lambda self: "no" if self is MANY_IDS else "")
    assert UserMachine().privilege is ONE_ID_ONLY


@pytest.mark.parametrize(
    ("settings", "what", "remedy"),
    [
        (
            {"kernel/apparmor_restrict_unprivileged_userns": "1"},
            "AppArmor",
            "as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        (
            {"kernel/unprivileged_userns_clone": "0"},
            "Debian's kernel forbids",
            "as root: sysctl kernel.unprivileged_userns_clone=1",
        ),
        (
            {"user/max_user_namespaces": "0", "kernel/unprivileged_userns_clone": "1"},
            "this system allows none",
            "as root: sysctl user.max_user_namespaces=10000",
        ),
    ],
)
def test_ban_is_named_with_its_setting_and_its_remedy(closed, tmp_path, settings, what, remedy):
    for name, value in settings.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    closed.setattr(privilege, "SETTINGS", tmp_path)
    able, why = UserMachine().available()
    assert not able
    assert what in why
    assert why.endswith(f"; {remedy}")


def test_a_filter_of_calls_is_named(closed, tmp_path):
    closed.setattr(privilege, "SETTINGS", tmp_path)
    (tmp_path / "status").write_text("Name:\tx\nSeccomp:\t2\n")
    closed.setattr(privilege, "STATUS", tmp_path / "status")
    assert "seccomp filter" in UserMachine().available()[1]


def test_a_refusal_of_unknown_cause_is_quoted(closed, tmp_path):
    closed.setattr(privilege, "SETTINGS", tmp_path)
    closed.setattr(privilege, "STATUS", tmp_path / "none")
    assert "Operation not permitted" in UserMachine().available()[1]


def test_a_proc_that_can_not_be_mounted_is_named(monkeypatch):
    monkeypatch.setattr(Privilege, "refusal", lambda self: "")
    monkeypatch.setattr(user, "MANY_IDS", Privilege())
    monkeypatch.setattr(user, "TRIAL", ["--no-such-option"])
    able, why = UserMachine().available()
    assert not able
    assert "unrecognized option" in why
    assert "run labkit outside" in why


def test_root_needs_no_word_before_its_commands():
    assert ROOT.shell()[0] == "unshare"
    assert SUDO.shell()[:1] == ("sudo",)
    assert sys.executable in ONE_ID_ONLY.shell()


def test_who_can_be_no_root_removes_what_is_theirs(closed, tmp_path):
    (tmp_path / "labkit-x").mkdir()
    (tmp_path / "labkit-x" / "host1.sock").touch()
    assert privilege.best() is None
    remove(privilege.best(), tmp_path / "labkit-x", tmp_path / "not there")
    assert list(tmp_path.iterdir()) == []


def test_image_of_another_user_is_refused_in_a_sentence(monkeypatch, tmp_path):
    assert UserMachine().prepare("26.1", tmp_path) == tmp_path
    monkeypatch.setattr("os.geteuid", lambda: 4242)
    with pytest.raises(ImageError, match=r"belongs to another user.*LABKIT_CACHE"):
        UserMachine().prepare("26.1", tmp_path)
