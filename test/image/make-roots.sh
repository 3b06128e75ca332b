#!/usr/bin/env bash
# Usage: make-roots.sh FOLDER
#
# Two Debians below FOLDER: `base`, from which the tests make their stand-ins for images that cannot be fetched
# everywhere, and `machine`, in which podman and buildah build and run them. Needs root, debootstrap and a Debian mirror.
set -euo pipefail
umask 022
folder=$1
base=$folder/base machine=$folder/machine

# How this machine reaches its package servers is not the tests' business: it is taken over as it is.
carry_in() { # ROOT
  cp -aT /etc/ssl/certs "$1/etc/ssl/certs"
  cp -L --remove-destination /etc/resolv.conf /etc/hosts "$1/etc/"
  apt-config dump Acquire | { grep -iE '^Acquire::(Check-|https?::|Retries)' || true; } >"$1/etc/apt/apt.conf.d/50acquire"
}

command -v debootstrap >/dev/null || { apt-get -q update && apt-get -qy --no-install-recommends install debootstrap; }
debootstrap --variant=minbase --include=ca-certificates trixie "$base" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
carry_in "$base"
printf '#!/bin/sh\nexit 101\n' | install /dev/stdin "$base/usr/sbin/policy-rc.d" # a package starts no service
rm -rf "$base"/var/lib/apt/lists/* "$base"/var/cache/apt/*

cp -a "$base" "$machine"
mount --bind /dev "$machine/dev"
mount -t proc proc "$machine/proc"
chroot "$machine" sh -ec '
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q update
  apt-get -qy --no-install-recommends install aardvark-dns buildah crun iproute2 netavark nftables podman
  apt-get clean
  rm -rf /var/lib/apt/lists/*'
umount "$machine/proc" "$machine/dev"
mkdir -p "$machine/etc/containers/containers.conf.d"
cat >"$machine/etc/containers/storage.conf" <<'END'
[storage]
driver = "overlay"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
END
cat >"$machine/etc/containers/containers.conf" <<'END'
[containers]
cgroups = "disabled"
log_driver = "k8s-file"
[network]
network_backend = "netavark"
firewall_driver = "nftables"
[engine]
runtime = "crun"
cgroup_manager = "cgroupfs"
events_logger = "none"
END
ln -s /run/limits.conf "$machine/etc/containers/containers.conf.d/limits.conf"
printf '{"default": [{"type": "insecureAcceptAnything"}]}\n' >"$machine/etc/containers/policy.json"
