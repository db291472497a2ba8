# hold.sh FOLDER BOOT_SCRIPT LOWER
#
# Keeps the disk of one machine, in a mount namespace of its own, and starts it once for each line on its input:
# LOWER (folders as overlayfs wants them, the uppermost first) with a layer in memory above, which outlives a reboot.
# Tells on its output `init PID` when the machine starts, and `ended STATUS` when it has ended.
set -eu
folder=$1 boot=$2 lower=$3

mount -t tmpfs -o mode=755 tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root" "$folder/cgroup"
mount -t overlay -o "lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work" overlay "$folder/root"
mount -t cgroup2 cgroup2 "$folder/cgroup"
group=$folder/cgroup/irp-machine-$$
exec 3>&1

while read -r _; do
    mkdir "$group"
    status=0
    # The group first: the namespace of control groups begins where its first process is.
    sh -c 'echo 0 >"$1/cgroup.procs"; shift; exec "$@"' sh "$group" \
        unshare --pid --mount --uts --ipc --cgroup --fork --kill-child sh "$boot" "$folder" </dev/null >&2 ||
        status=$?
    # With its process 1 all processes of the machine are gone.
    find "$group" -depth -type d -exec rmdir {} + || :
    echo "ended $status"
done
