#!/bin/sh
# Run a command beside a SLURM of one node on this machine: with_slurm.sh COMMAND [ARGUMENT ...]
# Installs SLURM where that is possible (Debian, as root); elsewhere says why it does not run.
set -eu

skip() { echo "skipped: $1"; exit 0; }

if ! command -v slurmctld slurmd munged >/dev/null; then
    [ "$(id -u)" = 0 ] || skip "SLURM is not installed, and installing it takes root"
    command -v apt-get >/dev/null || skip "SLURM is not installed, and this is no Debian"
    apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge >/dev/null ||
        skip "SLURM's packages cannot be installed (try apt-get update)"
fi
[ "$(id -u)" = 0 ] || skip "SLURM's daemons take root here"

home=$(mktemp -d)
mkdir "$home/state" "$home/spool"
export SLURM_CONF="$home/slurm.conf"
cat >"$SLURM_CONF" <<CONF
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$home/state
SlurmdSpoolDir=$home/spool
SlurmctldPidFile=$home/slurmctld.pid
SlurmdPidFile=$home/slurmd.pid
SlurmctldLogFile=$home/slurmctld.log
SlurmdLogFile=$home/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MailProg=/bin/true
ReturnToService=2
KillWait=15
NodeName=localhost CPUs=2 State=UNKNOWN
PartitionName=test Nodes=localhost Default=YES MaxTime=INFINITE State=UP
CONF

started=
stop() {
    # shellcheck disable=SC2086
    [ -z "$started" ] || kill $started 2>/dev/null || true
    wait || true
    rm -rf "$home"
}
trap stop EXIT

if [ ! -S /run/munge/munge.socket.2 ] || ! munge -n >/dev/null 2>&1; then
    install -d -o munge -g munge -m 755 /run/munge
    runuser -u munge -- munged -F >/dev/null 2>&1 & started="$started $!"
fi
sleep 1
slurmctld -D >/dev/null 2>&1 & started="$started $!"
slurmd -D -N localhost >/dev/null 2>&1 & started="$started $!"
for _ in $(seq 60); do
    [ "$(sinfo -h -o %t 2>/dev/null)" = idle ] && break
    sleep 1
done
[ "$(sinfo -h -o %t)" = idle ] || { cat "$home"/*.log; echo "SLURM did not start"; exit 1; }
"$@"
