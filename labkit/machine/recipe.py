"""The recipe of the machine image: lists of Debian packages, and a hash of all that shapes it.

Pure data; image.py cooks it. A new tool for the lab's hosts is one word in ``MACHINE``, one for
the containers is one word in ``TOOLBOX``.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import UsageError

IMAGES = Path(__file__).with_name("images")
"""Dockerfiles of the lab's Docker images, and the script that builds them."""

MACHINE = (
    # the engine, and what it calls
    "docker.io",
    "ca-certificates",
    "iptables",
    "kmod",
    "tini",
    # looking at a network
    "iproute2",
    "nftables",
    "conntrack",
    "tcpdump",
    "net-tools",
    "curl",
    "bind9-dnsutils",
    "iputils-ping",
    "iputils-arping",
    "netcat-openbsd",
    "ethtool",
    "ipvsadm",
    "procps",
    "less",
    "jq",
    # the agent
    "python3",
    # servers of the lab: names, the world outside, Docker images, key-value store, CNI
    "dnsmasq-base",
    "nginx",
    "busybox-static",
    "etcd-server",
    "etcd-client",
    "containernetworking-plugins",
)
"""Debian packages of the machine image."""

TOOLBOX = (
    "iproute2",
    "net-tools",
    "curl",
    "bind9-dnsutils",
    "tcpdump",
    "iputils-ping",
    "iputils-arping",
    "iptables",
    "nftables",
    "procps",
    "netcat-openbsd",
)
"""Debian packages of the Docker image ``toolbox``."""

UNWANTED = (
    "/usr/share/man/*",
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/bash-completion/*",
    "/usr/bin/etcdutl",
)
"""Files that dpkg leaves out: nobody reads a manual in the lab, and they are a fifth of it."""


@dataclass(frozen=True)
class Recipe:
    """One engine generation's image."""

    engine: str
    release: str
    packages: tuple[str, ...]
    toolbox: tuple[str, ...] = TOOLBOX

    def options(self) -> tuple[str, ...]:
        """What mmdebstrap is told for both file systems."""
        keep = ("--dpkgopt=path-include=/usr/share/doc/*/copyright",)
        forget = 'rm -f "$1"/etc/resolv.conf "$1"/etc/hostname'  # the building computer's own
        return (
            *(f"--dpkgopt=path-exclude={path}" for path in UNWANTED),
            *keep,
            f"--customize-hook={forget}",
        )

    def machine(self) -> tuple[str, ...]:
        """mmdebstrap's options for the machine's own file system."""
        return ("--variant=minbase", f"--include={','.join(self.packages)}", *self.options())

    def container(self) -> tuple[str, ...]:
        """mmdebstrap's options for the toolbox image's file system."""
        return ("--variant=essential", f"--include={','.join(self.toolbox)}", *self.options())

    def hash(self, architecture: str) -> str:
        """Twelve digits that change whenever the image would."""
        digest = hashlib.sha256()
        for text in (architecture, self.release, *self.machine(), *self.container()):
            digest.update(text.encode() + b"\0")
        for path in sorted(IMAGES.rglob("*")):
            if path.is_file():
                digest.update(str(path.relative_to(IMAGES)).encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()[:12]

    def name(self, architecture: str) -> str:
        """The image's folder name in the cache."""
        return f"image-{self.release}-{architecture}-{self.hash(architecture)}"


# The newest first. Debian 13 packages Docker's client apart from its daemon; Debian 12 did not yet.
RECIPES = (
    Recipe(engine="26.1", release="trixie", packages=(*MACHINE, "docker-cli")),
    Recipe(engine="20.10", release="bookworm", packages=MACHINE),
)


def generation(wanted: str | None = None) -> str:
    """The engine generation that is meant: that one, else $LABKIT_ENGINE, else the newest."""
    return wanted or os.environ.get("LABKIT_ENGINE") or RECIPES[0].engine


def recipe(engine: str) -> Recipe:
    """The recipe of that engine generation; UsageError names the known ones.

    Example:
        >>> recipe("26.1").release
        'trixie'
    """
    for known in RECIPES:
        if engine == known.engine:
            return known
    names = " or ".join(repr(known.engine) for known in RECIPES)
    raise UsageError(f"there is no engine {engine!r} to choose: say {names}")
