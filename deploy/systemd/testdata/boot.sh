#!/bin/bash
# boot.sh DIRECTORY boots systemd on a copy of this machine that forgets what is written to it. It is process 1 of a PID
# namespace, in a mount and a cgroup namespace of its own; the network is this machine's.
set -euo pipefail
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1"/{written,work,root}
root=$1/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/written,workdir=$1/work" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys" # the kernel's settings are this machine's
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"

# None of this machine's own services, nor its network's; a machine like this one that has never had the package.
rm -rf "$root"/etc/systemd/{system,network}/* "$root"/etc/pgwitness "$root"/usr/bin/pgwitness "$root"/usr/local/bin/pgwitness
ln -s /dev/null "$root/etc/systemd/system/network-online.target"
echo uninitialized >"$root/etc/machine-id"

cd "$root"
mkdir before
pivot_root . before
umount -l /before
mount --make-rshared / # or credentials, mounted in a namespace of their own, do not reach the services
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=sysinit.target --show-status=no
