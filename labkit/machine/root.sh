# Boot the machine image in namespaces of its own, as root. Arguments: IMAGE RUNDIR.
# Standard input and output are the agent's. This shell stays outside to tidy up: it outlives the
# learner's kernel, however that ends, and removes what namespaces do not take along.
set -eu
image=$1 run=$2
trap '' HUP INT TERM  # only the end of the machine ends this shell

# Every cgroup hierarchy of this system (cgroups(7)): one with version 2, several with version 1.
hierarchies=$(awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/self/mounts)
name=labkit.${run##*/}
for hierarchy in $hierarchies; do
    mkdir "$hierarchy/$name" 2> /dev/null || continue
    if [ -e "$hierarchy/cpuset.cpus" ]; then  # version 1: a new directory has no processors yet
        cat "$hierarchy/cpuset.cpus" > "$hierarchy/$name/cpuset.cpus"
        cat "$hierarchy/cpuset.mems" > "$hierarchy/$name/cpuset.mems"
    fi
    echo $$ > "$hierarchy/$name/cgroup.procs"
done

status=0
(
    trap - HUP INT TERM  # what is ignored here would be ignored by every program in the machine
    exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child \
        sh "${0%.sh}-inner.sh" "$image" "$run"
) || status=$?

for hierarchy in $hierarchies; do
    [ -d "$hierarchy/$name" ] || continue
    echo $$ > "$hierarchy/cgroup.procs"
    find "$hierarchy/$name" -depth -type d -exec rmdir {} +
done
rm -rf "$run"
exit $status
