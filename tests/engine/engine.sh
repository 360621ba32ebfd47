# A Docker Engine by hand from the machine image, with nothing of labkit, in this computer's own
# network, which it leaves alone. Arguments: IMAGE DIR. Its socket is DIR/docker.sock, its data lie
# in DIR/data; it prints "ready" and ends with its standard input. Run in mount, pid and cgroup
# namespaces.
set -eu
image=$1 dir=$2 root=$2/machine/root
mount --make-rprivate /
mkdir "$dir/data" "$dir/machine"
mount -t tmpfs tmpfs "$dir/machine"
mkdir "$dir/machine/upper" "$dir/machine/work" "$root"
mount -t overlay -o "lowerdir=$image,upperdir=$dir/machine/upper,workdir=$dir/machine/work" overlay "$root"
mkdir -p "$root/var/lib/docker" "$root/share"
mount --bind "$dir/data" "$root/var/lib/docker"
mount --bind "$dir" "$root/share"
mount -t tmpfs tmpfs "$root/run"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t proc proc "$root/proc"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
cd "$root"
# runc's own pivot_root would lead out of a mere chroot.
pivot_root . mnt
umount -l /mnt
dockerd --host unix:///share/docker.sock --bridge none --iptables=false --ip6tables=false \
    --ip-forward=false --cgroup-parent "/labkit-test.${dir##*/}" > /share/log 2>&1 < /dev/null &
until curl --silent --output /dev/null --unix-socket /share/docker.sock http://docker/_ping; do sleep 0.05; done
echo ready
cat
