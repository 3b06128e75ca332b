#!/usr/bin/env bash
# Usage: machine.sh ROOT CHECKOUT
#
# Inside new mount, PID and network namespaces: mounts what a machine has, goes into ROOT, says that it is up, and waits.
# CHECKOUT lies at /checkout, read-only. Everything ends with it.
set -euo pipefail
root=$1 checkout=$2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 dev "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue" "$root/dev/net"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
for name in null zero full random urandom tty; do
  touch "$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
for name in ptmx:pts/ptmx fd:/proc/self/fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do ln -s "${name#*:}" "$root/dev/${name%%:*}"; done
for folder in run tmp; do mount -t tmpfs -o mode=1777 "$folder" "$root/$folder"; done
mkdir -p "$root/checkout"
mount --bind -o ro "$checkout" "$root/checkout"
# A container is not promised more than this machine has to give.
cat >"$root/run/limits.conf" <<END
[containers]
default_ulimits = ["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=$(ulimit -Hu):$(ulimit -Hu)"]
END
mkdir -p "$root/.outside"
cd "$root"
pivot_root . .outside
cd /
umount -l /.outside
ip link set lo up
echo up
# The end of the input is the end of the machine.
exec cat
