# A node: a machine's namespaces with a root of their own. Runs as their process 1.
# Arguments: NAME KIND DNS. It prints its process id, reads the node's script from standard
# input, runs it, prints "ready" and turns into a process 1 that does nothing but reap.
set -eu
name=$1 kind=$2 dns=$3
read -r pid _ < /proc/self/stat  # this is still the machine's /proc: our process id out there

mount --make-rprivate /
node=/lab/nodes/$name
root=$node/root
mkdir -p $node/upper $node/work $root
mount -t overlay -o lowerdir=/lab/image,upperdir=$node/upper,workdir=$node/work overlay $root
# A container's overlay stacks on the layers in the image itself, not on this one: see root-inner.sh.
store=usr/lib/labkit/store
[ ! -d /lab/image/$store ] || mount --bind /lab/image/$store $root/$store
mount -t proc proc $root/proc
# The learner's kernel is not the lab's to tune: of /proc/sys only the network part, which is
# this namespace's own, can be written.
mount --bind $root/proc/sys $root/proc/sys
mount --bind $root/proc/sys/net $root/proc/sys/net
mount -o remount,bind,ro $root/proc/sys
mount -t sysfs sysfs $root/sys
mount --rbind /sys/fs/cgroup $root/sys/fs/cgroup
mount --rbind /dev $root/dev
mount -t tmpfs -o mode=755 tmpfs $root/run
mount -t tmpfs -o mode=1777 tmpfs $root/tmp
hostname "$name"
echo "$name" > $root/etc/hostname
cp /lab/hosts $root/etc/hosts
echo "nameserver $dns" > $root/etc/resolv.conf
echo no-styled-output > $root/root/.curlrc  # bold headers are for terminals that can show them
if [ "$kind" = host ]; then
    # overlay2 cannot sit on an overlay mount. The images' layers are shared: the skeleton is
    # an engine's data root in which each layer is a link to the machine image's one copy.
    mkdir -p $root/var/lib/docker
    mount -t tmpfs -o mode=710 tmpfs $root/var/lib/docker
    cp "${0%/*}/docker.init" $root/etc/init.d/docker
    chmod 755 $root/etc/init.d/docker
    cp "${0%/*}/containerd.toml" $root/etc/containerd/config.toml
    [ ! -d $root/usr/lib/labkit/skeleton ] || cp -a $root/usr/lib/labkit/skeleton/. $root/var/lib/docker/
fi
cd $root
pivot_root . mnt
umount -l /mnt
# No wait for duplicate IPv6 addresses: two seconds in which an address is only "tentative".
echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
ip link set lo up
[ "$kind" != host ] || /etc/init.d/docker containerd
echo "$pid"
script=$(cat)
eval "$script"
echo ready
exec tini -- sleep infinity < /dev/null > /dev/null 2>&1
