# boot.sh FOLDER
#
# Becomes process 1 of the machine whose disk is FOLDER/root, as containers do, in namespaces that hold.sh has made.
# The kernel's settings are out of reach; of the devices there are those that cannot do harm.
set -eu
folder=$1

# The number that it has outside, since this /proc is still the outer one.
read -r pid _ </proc/self/stat
echo "init $pid" >&3
exec 3>&-

cd "$folder/root"
mount -t proc -o nosuid,nodev,noexec proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys

# On EC2 cloud-init looks here for a number that begins with ec2, where the hypervisor is Xen, and else in the tables of
# the firmware. Nobody can make files in sysfs, so its folders are bound into one where that is possible.
mkdir "$folder/sysfs-$pid"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$folder/sysfs-$pid"
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs sys
for part in "$folder/sysfs-$pid"/*; do
    [ "${part##*/}" != hypervisor ] || continue
    mkdir "sys/${part##*/}"
    mount --bind "$part" "sys/${part##*/}"
done
mkdir sys/hypervisor
echo ec2e1916-9099-7caf-fd21-0abc12345de6 >sys/hypervisor/uuid
mount -o remount,ro sys
mount -t cgroup2 cgroup2 sys/fs/cgroup

mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
mount -t tmpfs -o mode=755,nosuid tmpfs dev
mkdir dev/pts dev/shm dev/outside
for device in null zero full random urandom tty; do
    : >"dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd

pivot_root . dev/outside
umount -l /dev/outside
rmdir /dev/outside
# The variable tells systemd that hardware, kernel and clock are not its own.
exec env -i container=irp PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init
