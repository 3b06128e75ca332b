#!/usr/bin/env ruby
# Stands in for bpm (bpm-release): start, stop and pid of a job, whose bpm.yml it obeys. As there, the process is vcap's,
# without privileges, in a mount namespace in which of the VM's data only the job's own are to be seen, and the root file
# system cannot be written. Unlike there, it shares the VM's process numbers, and memory has no limit.
require 'etc'
require 'fileutils'
require 'shellwords'
require 'yaml'

STOP_SECONDS = 20

verb, job, option, name = ARGV
abort 'expected start|stop|pid JOB [-p PROCESS]' unless %w[start stop pid].include?(verb) && job && [nil, '-p'].include?(option)
name ||= job
run = "/var/vcap/sys/run/bpm/#{job}"
FileUtils.mkdir_p(run)
PID_FILE = "#{run}/#{name}.pid"
File.new("#{run}/#{name}.lock", 'w').tap { |lock| lock.flock(File::LOCK_EX) }

def alive
  pid = Integer(File.read(PID_FILE))
  Process.kill(0, pid) && pid
rescue Errno::ENOENT, Errno::ESRCH, ArgumentError
  nil
end

def own(*folders)
  vcap = Etc.getpwnam('vcap')
  folders.each do |folder|
    FileUtils.mkdir_p(folder)
    File.chown(vcap.uid, vcap.gid, folder)
  end
end

# The script that makes the namespace and becomes the process.
def script(job, process)
  seen = ["/var/vcap/data/#{job}", "/var/vcap/sys/log/#{job}", "/var/vcap/jobs/#{job}", '/var/vcap/data/packages']
  seen << "/var/vcap/store/#{job}" if process['persistent_disk']
  seen += (process['additional_volumes'] || []).map { |volume| volume.fetch('path') }
  writable = (process.dig('unsafe', 'unrestricted_volumes') || []).map { |volume| volume.fetch('path') }
  binds = seen.each_with_index
  <<~SH
    set -e
    mount --make-rprivate /
    mount -t tmpfs tmpfs /mnt
    #{binds.map { |path, i| "mkdir /mnt/#{i}; mount --rbind #{path.shellescape} /mnt/#{i}" }.join("\n")}
    for hidden in /var/vcap/data /var/vcap/store /var/vcap/jobs /var/vcap/sys; do mount -t tmpfs tmpfs "$hidden"; done
    #{binds.map { |path, i| "mkdir -p #{path.shellescape}; mount --rbind /mnt/#{i} #{path.shellescape}" }.join("\n")}
    umount -l /mnt
    mount --bind /var/vcap/data/#{job}/tmp /tmp
    mount -t tmpfs -o size=64m,mode=1777 tmpfs /dev/shm
    #{writable.map { |path| "mount --bind #{path.shellescape} #{path.shellescape}" }.join("\n")}
    mount -o remount,bind,ro /
    # A container may not go beyond its own limit.
    ulimit -n #{process.dig('limits', 'open_files') || 1024} || ulimit -n "$(ulimit -Hn)"
    cd /var/vcap/jobs/#{job}
    exec setpriv --reuid vcap --regid vcap --init-groups --no-new-privs --bounding-set=-all --inh-caps=-all -- "$@"
  SH
end

def start(job, name)
  return if alive

  process = YAML.safe_load(File.read("/var/vcap/jobs/#{job}/config/bpm.yml")).fetch('processes').find { |each| each['name'] == name }
  log = "/var/vcap/sys/log/#{job}"
  own("/var/vcap/data/#{job}", "/var/vcap/data/#{job}/tmp", log)
  own("/var/vcap/store/#{job}") if process['persistent_disk']
  own(*(process['additional_volumes'] || []).map { |volume| volume.fetch('path') })
  env = { 'LANG' => 'en_US.UTF-8', 'PATH' => '/usr/local/bin:/usr/bin:/bin', 'TMPDIR' => "/var/vcap/data/#{job}/tmp" }
  output = %w[stdout stderr].to_h { |stream| [stream, File.open("#{log}/#{name}.#{stream}.log", 'a')] }
  pid = Process.spawn(
    env.merge(process['env'] || {}), 'unshare', '--mount', 'sh', '-c', script(job, process), 'bpm',
    process.fetch('executable'), *(process['args'] || []).map(&:to_s),
    unsetenv_others: true, pgroup: true, in: '/dev/null', out: output['stdout'], err: output['stderr'], close_others: true
  )
  File.write(PID_FILE, pid.to_s)
  Process.detach(pid)
end

def stop
  if (pid = alive)
    [['TERM', STOP_SECONDS], ['QUIT', 5], ['KILL', 5]].each do |signal, seconds|
      Process.kill(signal, pid)
      limit = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
      sleep 0.05 while alive && Process.clock_gettime(Process::CLOCK_MONOTONIC) < limit
      break unless alive
    rescue Errno::ESRCH
      break
    end
  end
  FileUtils.rm_f(PID_FILE)
end

case verb
when 'start' then start(job, name)
when 'stop' then stop
else puts(alive || abort('not running'))
end
