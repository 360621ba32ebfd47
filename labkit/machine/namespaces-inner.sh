# The inside of namespaces.sh: process 1 of the machine. Arguments: IMAGE RUNDIR CGROUP...
set -eu
image=$1 machine=$2/machine root=$2/machine/root
if [ $# -gt 2 ]; then
    # Join the machine's cgroups, which then are the roots of what it sees: cgroup_namespaces(7).
    shift 2
    for group; do echo $$ > "$group/cgroup.procs"; done
    exec unshare --cgroup sh "$0" "$image" "${machine%/*}"
fi
mounts=$(cat /proc/self/mounts)  # as the learner's system has them, before ours join the list
# In a user namespace overlayfs keeps its marks where its root may write them: user_namespaces(7).
read -r _ _ ids < /proc/self/uid_map
[ "$ids" = 4294967295 ] && marks='' || marks=,userxattr

mkdir "$machine"
mount --make-rprivate /
mount -t tmpfs -o mode=755 labkit "$machine"
mkdir "$machine/upper" "$machine/work" "$machine/lab" "$root"
layers=lowerdir=$image,upperdir=$machine/upper,workdir=$machine/work
mount -t overlay -o "$layers$marks" overlay "$root"

# The nodes stack their own overlays on the image itself, and live on the tmpfs under /lab.
mkdir "$root/lab" "$machine/lab/image" "$machine/lab/nodes"
mount --bind "$machine/lab" "$root/lab"
mount --bind "$image" "$root/lab/image"
mount -o remount,bind,ro "$root/lab/image"

# One mount(8) for many: each one more would take two milliseconds of every start.
{
    cat << END
proc    $root/proc  proc    defaults
sysfs   $root/sys   sysfs   defaults
tmpfs   $root/dev   tmpfs   mode=755,nosuid
tmpfs   $root/run   tmpfs   mode=755
tmpfs   $root/tmp   tmpfs   mode=1777
END
    # The machine's own view of each cgroup hierarchy.
    [ -e /sys/fs/cgroup/cgroup.controllers ] ||
        echo "tmpfs $root/sys/fs/cgroup tmpfs mode=755"
    while read -r _ place kind options _; do
        case $kind in
            cgroup2) echo "cgroup2 $root$place cgroup2 X-mount.mkdir" ;;
            cgroup)
                controllers=X-mount.mkdir
                IFS=,
                for option in $options; do
                    case $option in
                        rw | ro | nosuid | nodev | noexec | relatime | xattr | clone_children) ;;
                        release_agent=*) ;;
                        *) controllers=$controllers,$option ;;
                    esac
                done
                unset IFS
                echo "cgroup $root$place cgroup $controllers"
                ;;
        esac
    done << END
$mounts
END
} > "$machine/fstab"
mount --all --fstab "$machine/fstab"

# In version 2 a group with processes has no groups below it: runc's would not work.
while read -r _ place kind _; do
    # An ordinary user's cannot be written, and the engine sets no limits.
    [ "$kind" = cgroup2 ] && [ -w "$root$place" ] || continue
    mkdir "$root$place/machine"
    echo $$ > "$root$place/machine/cgroup.procs"
done << END
$mounts
END

cd "$root/dev"
mkdir pts shm mqueue
terminals=newinstance,ptmxmode=0666,mode=620
chown :5 pts 2> /dev/null && terminals=$terminals,gid=5  # group tty, where there are groups
{
    echo "devpts $root/dev/pts devpts $terminals"
    echo "tmpfs $root/dev/shm tmpfs mode=1777"
    for device in null zero full random urandom tty; do
        : > $device
        echo "/dev/$device $root/dev/$device none bind"
    done
} > "$machine/devices"
mount --all --fstab "$machine/devices"
ln -s pts/ptmx ptmx
ln -s /proc/self/fd fd
ln -s fd/0 stdin
ln -s fd/1 stdout
ln -s fd/2 stderr
hostname machine

cd "$root"
pivot_root . mnt
umount -l /mnt
ip link set lo up
# The agent's code comes first on standard input; then its requests do.
exec /usr/bin/python3 -I -c '
import json, os, pathlib, runpy, sys
def take(n):
    data = b""
    while len(data) < n:
        data += os.read(0, n - len(data)) or sys.exit("the learner went away")
    return data
for name, text in json.loads(take(int(take(8)))).items():
    path = pathlib.Path("/lab/agent", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
sys.path.insert(0, "/lab/agent")
runpy.run_module("labkit.agent", run_name="__main__")
'
