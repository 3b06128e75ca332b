#!/usr/bin/env bash
# Usage: images.sh INPUTS
#
# Within the machine, with the network outside: stand-ins for the images of docker-compose.yml and of the Dockerfile's
# FROM lines, then the Dockerfile itself. INPUTS: base.tar, node, npm, npmrc, versitygw.
set -euo pipefail
export BUILDAH_ISOLATION=chroot
inputs=$1
cp /checkout/test/image/stand-ins/* "$inputs"
if ! buildah inspect --type image docker.io/library/debian:trixie-slim >/dev/null 2>&1; then
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$inputs/base.tar" /
  buildah commit --quiet --rm "$container" docker.io/library/debian:trixie-slim
fi
# HEALTHCHECK is not part of OCI's own format.
build() { buildah build --quiet --layers --format docker "$@" 2>&1; }
cd "$inputs"
build --file node.Dockerfile --tag docker.io/library/node:24-trixie-slim .
build --file postgres.Dockerfile --tag docker.io/library/postgres:17 .
build --file haproxy.Dockerfile --tag docker.io/library/haproxy:3.2 .
build --file versitygw.Dockerfile --tag docker.io/versity/versitygw:v1.8.0 .
build --build-arg POSTGRESQL_CLIENTS=debian --tag docker.io/library/postgresql-broker:latest /checkout
podman image prune --force >/dev/null
