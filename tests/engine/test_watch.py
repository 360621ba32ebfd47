"""host.watch and %%watch on a live lab: what a block does to a host's networking."""

from __future__ import annotations

import time

import pytest
from IPython.core.interactiveshell import InteractiveShell

from labkit import diff, magics
from labkit.errors import CommandError, UsageError


@pytest.fixture
def quiet(host):
    """host1 when nothing of what went before is still under way."""
    end = time.monotonic() + 10
    before = host.snapshot()
    while time.monotonic() < end:
        time.sleep(0.3)
        after = host.snapshot()
        if not diff(before, after):
            return host
        before = after
    raise AssertionError(f"host1 does not come to rest: {diff(before, host.snapshot())}")


def kinds(changes):
    return {c.kind for c in changes}


RUN = "docker run -d --name web -p 8080:80 nginx"


def test_docker_run_and_docker_rm(quiet):
    with quiet.watch() as change:
        quiet.read(RUN)
    came = [c.words for c in change.diff.came]
    assert "container web, image nginx, in network bridge" in came
    assert "published port 8080 → 80/tcp of web" in came
    assert "listening socket tcp 0.0.0.0:8080, docker-proxy" in came
    assert any(w.startswith("interface veth") and w.endswith("other end eth0 of web") for w in came)
    assert any(w.startswith("interface eth0, 172.17.0.2/16, other end veth") for w in came)
    dnat = (
        "rule nat DOCKER: a TCP packet for port 8080, not in by docker0 "
        "→ its destination becomes 172.17.0.2:80"
    )
    assert dnat in came
    assert change.diff.went == ()
    assert [repr(c) for c in change.diff.changed] == ["~ interface docker0: carrier no → yes"]
    assert repr(change) == repr(change.diff)
    assert f"+ {dnat}" in repr(change).splitlines()

    with quiet.watch() as change:
        quiet.read("docker rm -f web")
    went = [c.words for c in change.diff.went]
    assert "container web, image nginx, in network bridge" in went
    assert dnat in went
    assert {"published port", "interface", "route", "socket"} <= kinds(change.diff.went)
    assert change.diff.came == ()
    assert [repr(c) for c in change.diff.changed] == ["~ interface docker0: carrier yes → no"]


def test_nothing_changed(quiet):
    with quiet.watch() as change:
        quiet.sh("true")
    assert not change.diff
    assert repr(change).startswith("nothing changed")


def test_a_request_is_traffic_not_a_change(quiet):
    quiet.read("curl -s outside")  # so that the neighbours know each other
    # Debian 12's iptables makes its chains without counters for their policy, but restores them
    # with counters: other tests have done so, or not.
    quiet.read("iptables-save -c | iptables-restore -c")
    with quiet.watch() as change:
        quiet.read("curl -s outside")
    assert not change.diff
    assert any("→ 203.0.113.10:80" in c.words for c in change.diff.tracked)
    assert kinds(change.diff.counted) == {"chain"}


def test_a_network_and_its_rules_come_and_go(quiet):
    with quiet.watch() as change:
        quiet.read("docker network create --subnet 10.5.0.0/24 backend")
    assert kinds(change.diff.came) == {"network", "interface", "route", "rule"}
    assert change.diff.went == change.diff.changed == ()
    back = change.diff.came
    with quiet.watch() as change:
        quiet.read("docker network rm backend")
    assert [c.words for c in change.diff.went] == [c.words for c in back]
    assert change.diff.came == change.diff.changed == ()


def test_what_is_typed_by_hand(quiet):
    with quiet.watch() as change:
        quiet.read("ip link add cable0 mtu 1400 type bridge; ip address add 10.7.0.1/24 dev cable0")
        quiet.read("iptables -P FORWARD ACCEPT; iptables -N MINE")
    assert [repr(c) for c in change.diff.changes] == [
        "+ interface cable0, a bridge, 10.7.0.1/24, MTU 1400, switched off",
        "+ chain filter MINE",
        "~ chain filter FORWARD: policy DROP → ACCEPT",
    ]
    with quiet.watch() as change:
        quiet.read("ip link set cable0 name cable1 up")
    words = [repr(c) for c in change.diff.changes]
    assert words[0].startswith("~ interface cable1: switched on, name cable0 → cable1")
    assert words[1:] == ["+ route 10.7.0.0/24 by cable1 with source 10.7.0.1"]
    with quiet.watch() as change:
        quiet.read("ip link del cable1; iptables -P FORWARD DROP; iptables -X MINE")
    assert len(change.diff.went) == 3


def test_a_restart_is_told_as_one(quiet):
    quiet.read("docker run -d --name web nginx")
    with quiet.watch() as change:
        quiet.read("docker restart -t 0 web")
    assert "~ container web: started again" in map(repr, change.diff.changes)


def test_the_engine_that_ends_takes_no_container_from_the_list(quiet):
    quiet.read("docker run -d --name web nginx")
    with quiet.watch() as change:
        quiet.read("kill -9 $(cat /run/docker.pid)")
    try:
        version = change.before.engine
        assert repr(change.diff.changes[0]) == f"~ Docker Engine: {version} → does not answer"
        assert "container" not in kinds(change.diff.changes)
    finally:
        quiet.read("service docker restart; until docker info >/dev/null 2>&1; do sleep 0.2; done")


def test_a_block_that_fails_is_told_too_and_keeps_its_error(quiet):
    change = quiet.watch()
    assert "no two snapshots yet" in repr(change)
    with pytest.raises(CommandError), change:
        quiet.read("ip link add cable0 type bridge; false")
    quiet.read("ip link del cable0")
    assert [c.name for c in change.diff.came] == ["cable0"]


@pytest.fixture
def shell(lab):
    shell = InteractiveShell.instance()
    magics.load_ipython_extension(shell)
    yield shell
    InteractiveShell.clear_instance()


def test_the_magic_runs_the_cell_and_shows_the_diff(shell, quiet, capsys):
    result = shell.run_cell("%%watch host1\necho made\nip link add cable0 type bridge\n")
    quiet.read("ip link del cable0")
    assert result.success
    assert result.result is None
    out = capsys.readouterr().out
    assert out == "made\n+ interface cable0, a bridge, switched off\n"


def test_the_magic_shows_what_a_failing_cell_did(shell, quiet, capsys):
    result = shell.run_cell("%%watch host1\nip link add cable0 type bridge\nfalse\n")
    quiet.read("ip link del cable0")
    assert isinstance(result.error_in_exec, CommandError)
    assert "+ interface cable0, a bridge, switched off\n" in capsys.readouterr().out


def test_the_magic_is_for_lab_hosts(shell, quiet):
    result = shell.run_cell("%%watch outside\ntrue\n")
    assert isinstance(result.error_in_exec, UsageError)
    assert "outside is no lab host" in str(result.error_in_exec)
