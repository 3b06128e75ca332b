# To be sourced. Where the server's things are, and the lock that keeps two of them from one data folder: every process
# of the server inherits it, so it is free when the last one has ended.

package=/var/vcap/packages/postgres-15/bin
store=/var/vcap/store/postgres
data="${store}/postgres-15"
run=/var/vcap/data/postgres
socket="${run}/socket"
configuration=/var/vcap/jobs/postgres/config

# Of vcap, and before each start: the folder below /var/vcap/data may have been emptied.
prepare_run() {
  mkdir -p "${socket}"
  chmod 755 "${run}" "${socket}"
  (umask 077 && cat "${configuration}/private_key.pem" >"${run}/private_key.pem")
}

# Waits for the last process of a server that was here before. A pid file is left then by one that was killed only, and
# its number may be any other process's by now.
take_data() {
  exec 9<"${store}"
  if ! flock --timeout "${1}" 9; then
    echo "another server uses ${data}" >&2
    return 1
  fi
  rm -f "${data}/postmaster.pid"
}
