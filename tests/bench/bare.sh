# Docker Engines started by hand from the machine image, with nothing of labkit: the peer that a
# lab is measured against. Arguments: IMAGE DIR COUNT plain|containerd. It prints "ready" when all
# answer and ends with its standard input. Run in mount and pid namespaces of its own.
set -eu
image=$1 dir=$2 engines=$(seq "$3") how=$4
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs "$dir"
for n in $engines; do
    root=$dir/$n/root
    mkdir -p "$dir/$n/upper" "$dir/$n/work" "$root"
    mount -t overlay -o "lowerdir=$image,upperdir=$dir/$n/upper,workdir=$dir/$n/work" overlay "$root"
    mkdir -p "$root/var/lib/docker"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs tmpfs "$root/var/lib/docker"
    mount --rbind /dev "$root/dev"
    mount --rbind /sys "$root/sys"
    mount -t proc proc "$root/proc"
    if [ "$how" = containerd ]; then
        start='containerd > /dev/null 2>&1 & until [ -S /run/containerd/containerd.sock ]; do sleep 0.01; done
               exec dockerd --containerd=/run/containerd/containerd.sock'
    else
        start='exec dockerd'
    fi
    unshare --net --uts chroot "$root" sh -c "ip link set lo up; $start" > "$dir/$n/log" 2>&1 < /dev/null &
done
for n in $engines; do
    until [ -S "$dir/$n/root/run/docker.sock" ]; do sleep 0.005; done
    curl --silent --output /dev/null --unix-socket "$dir/$n/root/run/docker.sock" http://docker/_ping
done
echo ready
cat
