"""The few programs of the system that building and booting need, and how to get them."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from labkit.errors import ImageError

KEYS = "debian-archive-keyring"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "pivot_root": "util-linux",
    "tar": "tar",
}
"""Program: the Debian package that brings it."""

SQUASHFS = {"mksquashfs": "squashfs-tools"}
"""What the image's form for the virtual machine needs besides."""

INTERNET = {"passt": "passt"}
"""What a lab needs that is to have a way out."""

BROWSER = "chromium"
"""The browser in which the tests try the widgets, and its Debian package."""

TESTED = {
    BROWSER: BROWSER,
    "ip": "iproute2",
    "libatomic.so.1": "libatomic1",
    "newuidmap": "uidmap",
    "sudo": "sudo",
    **INTERNET,
}
"""What the tests need besides: a browser, a library of Playwright's own Node.js, what an ordinary
user's machines need, a lab's way out, and what joins a stand-in for the learner's network."""


def missing(programs: dict[str, str] = PROGRAMS) -> tuple[str, ...]:
    """The Debian packages that this system lacks, in alphabetical order."""
    packages = {package for name, package in programs.items() if not _there(name)}
    if "mmdebstrap" in programs and not KEYRING.exists():
        packages.add(KEYS)
    return tuple(sorted(packages))


def _there(name: str) -> bool:
    """Whether this system has the program of that name, or the shared library."""
    if ".so." not in name:
        path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
        return shutil.which(name, path=path) is not None
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def is_debian(release: Path = Path("/etc/os-release")) -> bool:
    """Whether this is Debian, Ubuntu or another child of Debian: os-release(5)."""
    try:
        lines = release.read_text().splitlines()
    except OSError:
        return False
    pairs = dict(line.split("=", 1) for line in lines if "=" in line)
    words = f"{pairs.get('ID', '')} {pairs.get('ID_LIKE', '')}".replace('"', "").split()
    return "debian" in words or "ubuntu" in words


def advice(packages: tuple[str, ...]) -> str:
    """What a person types to install these packages."""
    names = " ".join(packages)
    if is_debian():
        return f"run: apt-get install {names}" + ("" if os.geteuid() == 0 else "  (as root)")
    return f"install them with your system's package manager (Debian's names: {names})"


def installable() -> bool:
    """Whether ``install`` can: root, on Debian or a child of it."""
    return is_debian() and os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(say: Callable[[str], None] = print, programs: dict[str, str] = PROGRAMS) -> None:
    """Install what is missing, when root on Debian or Ubuntu; ImageError says what to do if not."""
    packages = missing(programs)
    if not packages:
        return
    if not installable():
        raise ImageError(f"this system lacks {', '.join(packages)}: {advice(packages)}")
    _apt_get(packages, say)


def install_for_tests(programs: dict[str, str], say: Callable[[str], None] = print) -> None:
    """Install what only tests need, where that can be done; where not, they are skipped."""
    if not installable():
        return
    for package in missing(programs):
        try:
            _apt_get((package,), say)
        except ImageError as error:  # such as a browser that Ubuntu has as a snap only
            say(f"some tests are skipped: {error}")


def _apt_get(packages: tuple[str, ...], say: Callable[[str], None]) -> None:
    say(f"installing {', '.join(packages)} with apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ("apt-get", "update", "--quiet"),
        ("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *packages),
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        # An update with one dead mirror of many is no reason to give up: the install decides.
        if done.returncode != 0 and command[1] == "install":
            said = done.stderr.strip() or done.stdout.strip() or "it said nothing"
            last = said.splitlines()[-1]
            raise ImageError(f"apt-get could not install {', '.join(packages)}: {last}")
