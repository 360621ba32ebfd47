# A node: a machine's namespaces with a root of their own. Runs as their process 1.
# Arguments: NAME KIND DNS. It prints its process id, reads the node's script from standard
# input, runs it, prints "ready" and does nothing then but reap.
set -eu
name=$1 kind=$2 dns=$3 here=${0%/*}
read -r pid _ < /proc/self/stat  # this is still the machine's /proc: our process id out there

node=/lab/nodes/$name
root=$node/root
docker=$root/var/lib/docker labkit=usr/lib/labkit
mkdir -p "$node/upper" "$node/work" "$root"
read -r _ _ ids < /proc/self/uid_map
[ "$ids" = 4294967295 ] && marks='' || marks=,userxattr  # in a user namespace: user_namespaces(7)
layers=lowerdir=/lab/image,upperdir=$node/upper,workdir=$node/work

# The learner's kernel is not the lab's to tune: of /proc/sys only the network part, which is
# this namespace's own, can be written.
cat > "$node/fstab" << END
overlay         $root               overlay $layers$marks
proc            $root/proc          proc    defaults
$root/proc/sys  $root/proc/sys      none    bind
$root/proc/sys/net $root/proc/sys/net none  bind
sysfs           $root/sys           sysfs   defaults
/sys/fs/cgroup  $root/sys/fs/cgroup none    rbind
/dev            $root/dev           none    rbind
tmpfs           $root/run           tmpfs   mode=755
tmpfs           $root/tmp           tmpfs   mode=1777
END
if [ "$kind" = host ]; then
    # overlay2 cannot sit on an overlay mount. The images' layers are shared: containers stack on
    # the one copy where it is in the machine image, not on this root's view of it, for overlays
    # nest two deep and no deeper.
    echo "tmpfs $docker tmpfs X-mount.mkdir,mode=710" >> "$node/fstab"
    [ ! -d "/lab/image/$labkit/store" ] ||
        echo "/lab/image/$labkit/store $root/$labkit/store none bind" >> "$node/fstab"
fi
mount --all --fstab "$node/fstab"
mount -o remount,bind,ro "$root/proc/sys"

hostname "$name"
echo "$name" > "$root/etc/hostname"
cp /lab/hosts "$root/etc/hosts"
echo "nameserver $dns" > "$root/etc/resolv.conf"
echo no-styled-output > "$root/root/.curlrc"  # bold headers are for terminals that can show them

if [ "$kind" = host ]; then
    cp "$here/containerd.toml" "$root/etc/containerd/config.toml"
    cp -p "$here/docker.init" "$root/etc/init.d/docker"
    [ -z "$marks" ] || cp -p "$here/runc.sh" "$root/usr/local/sbin/runc"
    # An engine's data root in which each layer is a link to the store's.
    [ ! -d "$root/$labkit/skeleton" ] || cp -a "$root/$labkit/skeleton/." "$docker"
fi

cd "$root"
pivot_root . mnt
umount -l /mnt
# No wait for duplicate IPv6 addresses: two seconds in which an address is only "tentative".
echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
# A namespace begins with the computer's setting, which is 1 where there is a Docker already. An
# engine that finds 1 leaves the policy of FORWARD at ACCEPT.
echo 0 > /proc/sys/net/ipv4/ip_forward
[ "$kind" != host ] || /etc/init.d/docker containerd
echo "$pid"
script=$(cat)
eval "$script"
echo ready
exec < /dev/null > /dev/null 2>&1
# A shell that waits reaps every child. (tini would too, and looks up every second.)
while :; do sleep infinity || :; done
