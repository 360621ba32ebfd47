# The inside of root.sh: process 1 of the machine. Arguments: IMAGE RUNDIR.
set -eu
image=$1 run=$2 root=$2/machine

mount --make-rprivate /
mkdir "$root"
mount -t tmpfs -o mode=755 labkit "$root"
mkdir "$root/upper" "$root/work" "$root/root" "$root/lab"
mount -t overlay -o lowerdir="$image",upperdir="$root/upper",workdir="$root/work" overlay "$root/root"
mkdir -p "$root/root/lab" && mount --bind "$root/lab" "$root/root/lab"
root=$root/root
mkdir "$root/lab/image" "$root/lab/nodes"
# The nodes stack their own overlays on the image itself: overlays nest two deep, no deeper.
mount --bind "$image" "$root/lab/image"
mount -o remount,bind,ro "$root/lab/image"

mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
awk '$3 == "cgroup" || $3 == "cgroup2" { print $2, $3, $4 }' /proc/self/mounts > "$run/cgroups"
if grep -q ' cgroup ' "$run/cgroups"; then
    mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
fi
while read -r place kind options; do
    inside=$root$place
    mkdir -p "$inside"
    case $kind in
        cgroup2) mount -t cgroup2 cgroup2 "$inside" ;;
        *) mount -t cgroup -o "$(echo "$options" | sed -E 's/(^|,)(rw|ro|relatime|nosuid|nodev|noexec|xattr|release_agent=[^,]*)//g; s/^,//')" cgroup "$inside" ;;
    esac
done < "$run/cgroups"

mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device" && mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
hostname machine

cd "$root"
pivot_root . mnt
umount -l /mnt
ip link set lo up
exec /usr/bin/python3 -I -c '
import json, os, pathlib, sys
def take(n):
    data = b""
    while len(data) < n:
        data += os.read(0, n - len(data)) or sys.exit("the learner went away")
    return data
for name, text in json.loads(take(int(take(8)))).items():
    path = pathlib.Path("/lab/agent", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
sys.path.insert(0, "/lab/agent")
import runpy
runpy.run_module("labkit.agent", run_name="__main__")
'
