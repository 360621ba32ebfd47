"""Runs a command as an ordinary user who exists nowhere else: this system's users stay as they are.

In a mount namespace of its own, /etc is an overlay with that user in its files. Needs root, for
that alone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from labkit.machine import image
from labkit.machine.privilege import ROOT, SUDO, first

PROJECT = Path(__file__).parents[2]
USER_ID = 4242
KINDS = ("ids", "one id", "sudo")
"""A user with subordinate ids, one with none, one with none and with passwordless sudo."""

SETUP = """
set -eu
kind=$1 cache=$2 reach=$3
shift 3
mount --make-rprivate /
scratch=/media  # nobody's project is there, and in this namespace nothing else is
mount -t tmpfs -o mode=755 scratch "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/keep"
mount -t overlay -o "lowerdir=/etc,upperdir=$scratch/upper,workdir=$scratch/work" overlay /etc
echo "learner:x:ID:ID::$scratch/home:/bin/sh" >> /etc/passwd
echo "learner:x:ID:" >> /etc/group
echo "learner:*:19000:0:99999:7:::" >> /etc/shadow
: > /etc/subuid
: > /etc/subgid
case $kind in
    ids) echo learner:231072:65536 | tee /etc/subuid > /etc/subgid ;;
    sudo) (umask 227; echo 'learner ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/learner) ;;
esac
mkdir -p "$scratch/home" "$cache"
chown ID:ID "$scratch/home"
[ "$kind" = sudo ] || chown ID:ID "$cache"
# What lies in somebody's own directory is shown to everybody, and nothing beside it.
echo "$reach" | while read -r path; do
    mkdir -p "$scratch/keep$path"
    mount --bind "$path" "$scratch/keep$path"
done
echo "$reach" | while read -r path; do
    closed=/
    for part in $(echo "$path" | tr / ' '); do
        closed=${closed%/}/$part
        [ -e "$closed" ] || break
        setpriv --reuid ID --regid ID --clear-groups test -x "$closed" || {
            mount -t tmpfs -o mode=755 open "$closed"
            break
        }
    done
done
echo "$reach" | while read -r path; do
    mkdir -p "$path"
    mount --bind "$scratch/keep$path" "$path"
done
cd "$PROJECT"
umask 022
exec setpriv --reuid ID --regid ID --clear-groups env HOME="$scratch/home" USER=learner "$@"
""".replace("ID", str(USER_ID))


def possible() -> bool:
    """Whether there is a root to make the user."""
    return first(ROOT if os.geteuid() == 0 else SUDO) is not None


def cache(kind: str) -> Path:
    """Where that user's machine images stay from one run of the tests to the next.

    Through sudo it is root's image that boots; the tests use the one that is there.
    """
    if kind == "sudo":
        return image.cache()
    return Path(f"{image.cache()}-tests", kind.replace(" ", "-"))


def command(kind: str, *argv: str, **variables: str) -> list[str]:
    """The command that runs ``argv`` as an ordinary user of that kind, with these variables."""
    reach = [PROJECT, Path(sys.prefix), Path(sys.base_prefix), cache(kind)]
    passed = {
        "PROJECT": str(PROJECT),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LABKIT_CACHE": str(cache(kind)),
        **{n: v for n, v in os.environ.items() if n.lower().endswith("_proxy")},
        **variables,
    }
    return [
        *(ROOT if os.geteuid() == 0 else SUDO).words,
        "env", "--ignore-environment", *(f"{name}={value}" for name, value in passed.items()),
        "unshare", "--mount", "sh", "-c", SETUP, "sh", kind, str(cache(kind)),
        "\n".join(map(str, reach)), *argv,
    ]  # fmt: skip


def python(kind: str, *argv: str, **variables: str) -> list[str]:
    """The same for this Python with these arguments."""
    return command(kind, sys.executable, *argv, **variables)
