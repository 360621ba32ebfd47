# Boot the machine image in namespaces of its own. Arguments: IMAGE RUNDIR OWNER, and how an ordinary
# user becomes root in them: options of unshare(1) such as --map-root-user; none for who is root.
# OWNER is the learner's user id, whose sockets will be in RUNDIR.
# Standard input and output are the agent's. This shell stays outside to tidy up: it outlives the
# learner's kernel, however that ends, and removes what namespaces do not take along.
set -eu
image=$1 run=$2 owner=$3
shift 3
trap '' HUP INT TERM  # only the end of the machine ends this shell
mkdir -m 700 "$run"
chown "$owner" "$run"

# A directory in every cgroup hierarchy of this system (cgroups(7)): one with version 2, several
# with version 1, where a new directory has no processors yet. An ordinary user may make none.
groups=''
while read -r _ place kind _; do
    case $kind in
        cgroup | cgroup2) [ ! -w "$place" ] || groups="$groups $place/labkit.${run##*/}" ;;
    esac
done < /proc/self/mounts
if [ -n "$groups" ]; then mkdir $groups; else set -- "$@" --cgroup; fi
for group in $groups; do
    if [ -e "$group/cpuset.mems" ] && [ ! -e "$group/cgroup.controllers" ]; then
        for file in cpuset.cpus cpuset.mems; do
            read -r value < "${group%/*}/$file"
            echo "$value" > "$group/$file"
        done
    fi
done

status=0
(
    trap - HUP INT TERM  # what is ignored here would be ignored by every program in the machine
    exec unshare "$@" --mount --pid --net --uts --ipc --fork --kill-child \
        sh "${0%.sh}-inner.sh" "$image" "$run" $groups
) || status=$?

# Where unshare was killed, the processes of the machine are on their way out still.
for _ in $(seq 100); do
    [ -n "$groups" ] || break
    ! find $groups -depth -type d -exec rmdir {} + 2> /dev/null || break
    sleep 0.05
done
rm -rf "$run"
exit $status
