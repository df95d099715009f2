#!/usr/bin/env bash
# The array script of docs/batch.md on a real Slurm: `tests/slurm/run.sh [nstr]`. For a Debian machine, as root.
#
# Installs `slurm-wlm` where it is missing and runs its daemons on localhost from a temporary folder, with a configuration of
# their own: no service of the machine is touched. Ten meshes are fitted by an array of ten; one task is killed and requeued,
# another is requeued in the middle of its fit. At the end the tables must say the same as that of a plain run: every mesh
# once, with the same figures.
#
#   STEPS=400     steps of a fit
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
nstr=$(realpath "${1:-target/release/nstr}")
steps=${STEPS:-4000}
[ -x "$nstr" ] || { echo "$nstr is missing: cargo build --release" >&2; exit 2; }

if ! command -v slurmctld >/dev/null || ! command -v slurmd >/dev/null || ! command -v munged >/dev/null; then
    apt-get -q update
    # Without the services that the packages would start.
    [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d && policy=1; }
    DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends slurm-wlm munge || failed=1
    [ -z "${policy:-}" ] || rm -f /usr/sbin/policy-rc.d
    [ -z "${failed:-}" ] || exit 2
fi

work=$(mktemp -d)
chmod 755 "$work"
# The job's folder and the daemons' own.
mkdir -p "$work"/{etc,state,spool,logs,bin,job/logs}
pids=()
finish() {
    local code=$?
    scancel --user root >/dev/null 2>&1 || true
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do
        for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -9 "$pid" 2>/dev/null || true
    done
    if [ $code -ne 0 ]; then
        echo "--- the daemons' last words"
        tail -n 15 "$work"/logs/*.log 2>/dev/null || true
        tail -n 15 "$work"/job/logs/* 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT

node=$(hostname -s)
threads=$(nproc)
memory=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) * 9 / 10240))
head -c 1024 /dev/urandom >"$work/etc/munge.key"
chmod 400 "$work/etc/munge.key"
cat >"$work/etc/slurm.conf" <<CONF
ClusterName=nstr
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=26817
SlurmdPort=26818
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/logs/slurmctld.log
SlurmdLogFile=$work/logs/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=2,batch_sched_delay=0
ReturnToService=2
MailProg=/bin/true
KillWait=10
MinJobAge=3600
InactiveLimit=0
NodeName=$node NodeAddr=127.0.0.1 CPUs=$threads RealMemory=$memory State=UNKNOWN
PartitionName=all Nodes=$node Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$work/etc/slurm.conf

munged --foreground --force --key-file="$work/etc/munge.key" --socket="$work/munge.socket" --pid-file="$work/munged.pid" \
    --log-file="$work/logs/munged.log" --seed-file="$work/munged.seed" >"$work/logs/munged.out.log" 2>&1 &
pids+=($!)
# until TEXT COMMAND…: waits at most two minutes for a command to succeed.
until_true() {
    local what=$1
    shift
    for _ in $(seq 600); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.2
    done
    echo "waited in vain for $what" >&2
    return 1
}
until_true "munge" test -S "$work/munge.socket"
slurmctld -D -i >"$work/logs/slurmctld.out.log" 2>&1 &
pids+=($!)
until_true "the controller" scontrol ping
slurmd -D >"$work/logs/slurmd.out.log" 2>&1 &
pids+=($!)
idle() { sinfo -h -o %t | grep -q idle; }
until_true "the node" idle
sinfo

# Ten boxes and what the script expects around them: $SHAPENET/03001627/<id>/models/model_normalized.obj.
for i in 0 1 2 3 4 5 6 7 8 9; do
    folder=$work/shapenet/03001627/mesh$i/models
    mkdir -p "$folder"
    awk -v i=$i 'BEGIN {
        for (c = 0; c < 8; c++) print "v", c % 2 * (1 + i / 10), int(c / 2) % 2, int(c / 4) * (2 - i / 10)
        print "f 1 3 4 2\nf 5 6 8 7\nf 1 2 6 5\nf 3 7 8 4\nf 1 5 7 3\nf 2 4 8 6"
    }' >"$folder/model_normalized.obj"
done
cat >"$work/bin/nstr" <<SH
#!/bin/sh
exec "$nstr" "\$@"
SH
chmod +x "$work/bin/nstr"
export PATH=$work/bin:$PATH

# The page's own script: its first block that begins like one.
awk '/^```sh$/ { inside = 1; next } /^```$/ { if (found) exit; inside = 0 } inside && /^#!\/bin\/bash$/ { found = 1 } found' \
    docs/batch.md | sed "s/--steps 4000/--steps $steps/" >"$work/job/shapenet.sbatch"
grep -q '^#SBATCH --array' "$work/job/shapenet.sbatch"
cd "$work/job"
export SHAPENET=$work/shapenet OUT=$work/models
job=$(sbatch --parsable --array=0-9 --cpus-per-task=1 --mem=1G --time=1:00:00 shapenet.sbatch)
echo "job $job"

# status TASK: RUNNING, COMPLETED, …
status() { scontrol -o show job "${job}_$1" | sed -n 's/.*JobState=\([A-Z]*\).*/\1/p' | head -n 1; }
is_status() { [ "$(status "$1")" = "$2" ]; }
restarts() { scontrol -o show job "${job}_$1" | sed -n 's/.*Restarts=\([0-9]*\).*/\1/p' | head -n 1; }
# fitting TASK: the process of the task's fit.
fitting() { pgrep -f "^$nstr fit $SHAPENET" | while read -r pid; do
    if tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "SLURM_ARRAY_TASK_ID=$1"; then echo "$pid"; fi
done; }
is_fitting() { [ -n "$(fitting "$1")" ]; }

# The first task's fit is killed outright; its job fails and is put back into the queue.
until_true "the fit of task 0" is_fitting 0
kill -9 "$(fitting 0 | head -n 1)"
echo "killed task 0"
until_true "the end of task 0" is_status 0 FAILED
scontrol requeue "${job}_0"
# Another task is taken from the node in the middle of its fit: it gets SIGTERM, saves, and goes on later.
other() { for i in 1 2 3 4 5 6 7 8 9; do if is_fitting $i; then echo $i && return; fi; done; return 1; }
until_true "another fit" other
taken=$(other)
scontrol requeue "${job}_$taken"
echo "requeued task $taken while it ran"

complete() { [ "$(for i in 0 1 2 3 4 5 6 7 8 9; do status $i; done | grep -c COMPLETED)" = 10 ]; }
# A requeued job is held back for two minutes.
for _ in 1 2 3 4 5 6 7; do if until_true "all tasks so far" complete; then break; fi; done
for i in 0 1 2 3 4 5 6 7 8 9; do echo "task $i: $(status $i), $(restarts $i) restarts"; done
complete
[ "$(restarts 0)" -ge 1 ]
[ "$(restarts "$taken")" -ge 1 ]

# The same meshes by one plain process of as many threads a fit.
RAYON_NUM_THREADS=1 "$nstr" fit \
    "$SHAPENET/03001627/*/models/model_normalized.obj" -o "$work/plain" --preset sdf-tiny --steps "$steps"
awk 'FNR == 1 && NR != 1 { next } { print }' "$OUT"/03001627/results.*.csv >"$work/all.csv"
python3 - "$work/all.csv" "$work/plain/results.csv" <<'PY'
import csv
import sys

def rows(path):
    found = {}
    for row in csv.DictReader(open(path)):
        assert row["status"] == "fitted", row
        assert row["input"] not in found, f"twice: {row['input']}"
        # Times, and what depends on where it ran.
        found[row["input"]] = {k: v for k, v in row.items() if k not in ("output", "fit_seconds", "file_bytes")}
    return found

slurm, plain = map(rows, sys.argv[1:])
assert len(plain) == 10, len(plain)
different = [key for key in plain | slurm if plain.get(key) != slurm.get(key)]
for key in different:
    print(key, plain.get(key), slurm.get(key), sep="\n  ")
if different:
    sys.exit(f"{len(different)} meshes differ")
print(f"{len(plain)} meshes, the same figures as without Slurm")
PY
echo "passed"
