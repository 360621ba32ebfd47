#!/bin/busybox sh
# Process 1 of the virtual machine's kernel: from its initial RAM disk to the image, where the script
# of all machines takes over. Its console is QEMU's standard error.
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

if [ "$0" = /init ]; then  # in the RAM disk: mount the image and go there
    box() { /bin/busybox "$@"; }
    box mount -t devtmpfs dev /dev
    while read -r module; do box insmod "/modules/$module"; done < /modules/order
    box mount -t proc proc /proc
    if box grep -q labkit.trial /proc/cmdline; then echo 'labkit: this kernel runs'; exit; fi
    box mount -t squashfs /dev/vda /image
    box mount --move /proc /image/proc
    box mount -t sysfs sysfs /image/sys
    box mount -t cgroup2 cgroup2 /image/sys/fs/cgroup
    box mount -t tmpfs tmpfs /image/run
    box mount --move /dev /image/dev
    box cp /init /inner.sh /image/run
    exec /bin/busybox switch_root /image /bin/sh /run/init
fi

# What else the engines would ask for one by one, waiting for each. Not IPVS, which wakes up once a
# second for each namespace that there is: the kernel loads it for who asks.
modprobe -a br_netfilter nf_conntrack_netlink nft_compat xt_conntrack xt_addrtype xt_MASQUERADE \
    xt_nat xt_comment veth vxlan macvlan ipvlan 8021q xfrm_user

# An idle kernel shall sleep: no looks every half second at memory in pieces, every second at counts.
echo 0 > /proc/sys/vm/compaction_proactiveness
echo 60 > /proc/sys/vm/stat_interval

# On an ordinary Docker host a container's namespaces begin with that host's settings of IPv4, and
# Swarm's load balancer needs its ip_forward. Here hosts are namespaces: settings come from them.
echo 3 > /proc/sys/net/core/devconf_inherit_init_net  # the creator's: sysctl/net.rst

# QEMU's ports: the first is the agent's standard input and output, the second tells the time. That
# one answers when both are connected; again when the machine is restored, with its clock behind.
until clock=$(echo /dev/vport?p2) && read -r now < "$clock"; do sleep 0.05; done 2> /dev/null
date -s "@$now" > /dev/null
while read -r now; do date -s "@$now" > /dev/null; done < "$clock" &

# Below this process, for the kernel panics when its process 1 ends.
port=${clock%2}1
unshare --pid --fork sh /run/inner.sh / /run <> "$port" >&0 || true
exec busybox poweroff -f
