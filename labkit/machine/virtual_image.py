"""The machine image in the form that QEMU boots: a squashfs of it, and a kernel with its modules.

Made once from the image's own directory, beside it: ``IMAGE.virtual/`` with ``image.squashfs``,
``kernel``, and ``modules/`` for the initial RAM disk, in the order in which they are inserted.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from labkit.errors import ImageError
from labkit.machine import builder, prerequisites
from labkit.machine.image import alone, architecture, booter
from labkit.machine.qemu import SYSTEMS

NEEDED_TO_MOUNT = "virtio_pci virtio_blk virtio_console squashfs overlay"
SCRIPT = """\
set -eu
image=$1 kernel=$2 form=$3
# A copy of the image whose files are links to it, and in it the kernel's modules.
cp -al "$image" "$form/tree"
cp -a "$kernel/usr/lib/modules" "$form/tree/usr/lib"
version=$(ls "$kernel/usr/lib/modules")
chroot "$form/tree" depmod "$version"
mkdir "$form/modules"
chroot "$form/tree" modprobe -S "$version" -a --show-depends $4 | while read -r kind path _; do
    name=$(basename "$path" .xz)
    if [ "$kind" = insmod ] && [ ! -e "$form/modules/$name" ]; then
        "$image/usr/bin/busybox" xzcat "$form/tree$path" > "$form/modules/$name"
        echo "$name" >> "$form/modules/order"
    fi
done
mksquashfs "$form/tree" "$form/image.squashfs" -comp zstd -Xcompression-level 9 -xattrs \\
    -noappend -no-progress -quiet
cp "$kernel"/boot/vmlinuz-* "$form/kernel"
cp "$image/usr/bin/busybox" "$form/busybox"
rm -rf "$form/tree" "$kernel"
chmod -R a+rX "$form"
"""


def place(image: Path) -> Path:
    """Where an image's form for QEMU is, or would be."""
    return image.with_name(f"{image.name}.virtual")


def find(image: Path) -> Path | None:
    """The form of an image for QEMU if it has been made."""
    return place(image) if place(image).is_dir() else None


def make(image: Path, say: builder.Say) -> Path:
    """Make it. Needs mmdebstrap and squashfs-tools, and Debian's kernel package from a mirror."""
    form = place(image)
    way = booter().privilege
    half = form.with_name(f"{form.name}.part")
    with alone(form.with_name(f"{form.name}.lock"), say):
        if form.is_dir():  # somebody else made it while we waited
            return form
        prerequisites.install(
            lambda step: say("packages", step, 1), prerequisites.PROGRAMS | prerequisites.SQUASHFS
        )
        builder.remove(way, half)
        half.mkdir()
        kernel = half / "kernel-package"
        package = SYSTEMS[architecture()].kernel
        options = ("--variant=extract", f"--include={package}")
        builder.cook(way, [builder.Job("kernel", options, release(image), kernel)], half, say)
        say("virtual machine", "packing the image", 3)
        builder.run(
            *way.shell(), "sh", "-c", SCRIPT, "sh", str(image), str(kernel), str(half),
            NEEDED_TO_MOUNT,
        )  # fmt: skip
        half.rename(form)
    return form


def release(image: Path) -> str:
    """The Debian release that an image is of, by its os-release(5)."""
    with contextlib.suppress(OSError):
        for line in (image / "usr/lib/os-release").read_text().splitlines():
            if line.startswith("VERSION_CODENAME="):
                return line.partition("=")[2].strip('"')
    raise ImageError(f"{image} is no machine image: it has no /usr/lib/os-release of Debian's")
