#!/bin/sh
# Build the Docker images of this folder on this lab host's engine and write to standard output one
# tar of what every lab host shares: store/ (the layers' files, once) and skeleton/ (the engine's
# records of them, which a host copies; there each layer is a symbolic link into the store).
set -eu
exec 3>&1 >&2
cd "$(dirname "$0")"
work=$(mktemp -d /var/lib/docker/bake.XXXXXX)
trap 'rm -rf "$work"' EXIT
cp -a toolbox nginx busybox "$work"

# Only files travel, with their directories' real names: a directory entry "lib" in the tar would
# replace the image's symbolic link lib -> usr/lib.
dpkg -L nginx nginx-common | while read -r path; do
    if [ -f "$path" ] || [ -L "$path" ]; then
        echo "$(realpath "$(dirname "$path")")/$(basename "$path")"
    fi
done | grep -v -e /systemd/ -e /init.d/ -e ^/usr/share/vim/ >"$work/files"
printf '%s\n' /var/lib/nginx /var/log/nginx >>"$work/files" # empty, and nginx does not make them
tar --create --file "$work/nginx/rootfs.tar" --no-recursion --absolute-names --transform 's,^/,,' \
    --files-from "$work/files"
cp "$(command -v busybox)" "$work/busybox/busybox"

for image in toolbox nginx busybox; do
    echo "docker build $image"
    DOCKER_BUILDKIT=0 docker build --tag "$image" "$work/$image"
done

skeleton=$work/skeleton
mkdir -p -m 710 "$skeleton" "$skeleton/overlay2"
cp -a /var/lib/docker/image "$skeleton"
cp -a /var/lib/docker/overlay2/l "$skeleton/overlay2"
cd /var/lib/docker/overlay2
: >"$work/layers"
for diff in */diff; do
    layer=${diff%/diff}
    mkdir -p "$skeleton/overlay2/$layer"
    find "$layer" -mindepth 1 -maxdepth 1 ! -name diff -exec cp -a {} "$skeleton/overlay2/$layer" \;
    ln -s "/usr/lib/labkit/store/overlay2/$diff" "$skeleton/overlay2/$diff"
    echo "overlay2/$diff" >>"$work/layers"
done

echo "store"
# --xattrs without trusted.*: a file's capabilities travel, overlayfs's own marks don't.
tar --create --file - --xattrs --xattrs-include='security.*' --numeric-owner \
    --transform 's,^overlay2,store/overlay2,S' -C /var/lib/docker --files-from "$work/layers" \
    -C "$work" skeleton >&3
