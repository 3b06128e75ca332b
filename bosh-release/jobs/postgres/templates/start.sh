#!/usr/bin/env bash
# Run by bpm as vcap, at each boot too.
set -euo pipefail

source /var/vcap/jobs/postgres/bin/server
prepare_run
take_data 30

"${package}/postgres" -D "${data}" -c "config_file=${configuration}/postgresql.conf" &
server=$!
# SIGTERM would wait for the clients; SIGINT ends their sessions and writes what is to be written.
trap 'kill -INT "${server}"' TERM INT
# wait ends at a signal, too.
while kill -0 "${server}" 2>/dev/null; do wait "${server}" && code=0 || code=$?; done
exit "${code:-1}"
