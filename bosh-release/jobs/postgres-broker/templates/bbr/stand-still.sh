# To be sourced by the lock scripts.

monit=/var/vcap/bosh/bin/monit

# monit acts on a request when its loop comes round.
unmonitored() { "${monit}" summary | grep -qiE "'?postgres-broker'?.*not monitored"; }

# The broker drained and stopped, by monit as well.
stand_still() {
  "${monit}" unmonitor postgres-broker
  local waited=0
  until unmonitored; do
    if ((waited++ >= 60)); then
      echo 'monit goes on monitoring postgres-broker' >&2
      return 1
    fi
    sleep 1
  done
  /var/vcap/jobs/postgres-broker/bin/drain >/dev/null
  "${monit}" stop postgres-broker
}

go_on() {
  "${monit}" start postgres-broker
  /var/vcap/jobs/postgres-broker/bin/post-start
}
