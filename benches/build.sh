#!/usr/bin/env bash
# Build times, as a Markdown table on stdout; progress goes to stderr.
#
#     benches/build.sh [--full] [--rooms "kernel fit"] [--only command|tests]
#
# For each room: seconds from a one-line change in it (a public function at the end of its lib.rs) to
#   command   the linked command: cargo build --release
#   tests     its unit tests, built and run: cargo test --release -p nstr-ROOM --lib
# With --full also seconds from nothing, with all sources downloaded, to the command and to all tests, not run:
# cargo test --release --workspace --no-run.
#
# Before each measurement the same thing is built untimed, so that the change is all there is to build. Every lib.rs is
# as it was when the script ends, however it ends. Measure on a machine that does nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C CARGO_TERM_COLOR=never

usage() {
    echo "usage: benches/build.sh [--full] [--rooms \"ROOM…\"] [--only command|tests]" >&2
    exit 2
}

# Bottom to top, as they depend on each other.
rooms="kernel geometry render field fit pipeline viewer diagnostics compare cli"
kinds="command tests"
full=false
while [ $# -gt 0 ]; do
    case $1 in
        --full) full=true ;;
        --rooms) [ $# -gt 1 ] || usage; rooms=$2; shift ;;
        --only) [ $# -gt 1 ] || usage; kinds=$2; shift ;;
        *) usage ;;
    esac
    shift
done
case $kinds in command | tests | "command tests") ;; *) usage ;; esac
if [ -z "${EPOCHREALTIME:-}" ]; then
    echo "benches/build.sh needs bash 5 (this is $BASH_VERSION)" >&2
    exit 2
fi
for room in $rooms; do
    if ! [ -f "src/$room/lib.rs" ]; then
        echo "no such room: $room (there is no src/$room/lib.rs)" >&2
        exit 2
    fi
done

scratch=$(mktemp -d "${TMPDIR:-/tmp}/nstr-build.XXXXXX")

# Without the old modification time: cargo has to see that the file changed once more.
restore() {
    local kept room
    for kept in "$scratch"/*.rs; do
        [ -e "$kept" ] || continue
        room=$(basename "$kept" .rs)
        cat "$kept" >"src/$room/lib.rs"
    done
    rm -rf "$scratch"
}
trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# run COMMAND...: silent, unless it fails.
run() {
    if ! "$@" >"$scratch/log" 2>&1 </dev/null; then
        tail -n 40 "$scratch/log" >&2
        echo "failed: $*" >&2
        exit 1
    fi
}

# timed COMMAND...: sets `seconds`.
timed() {
    local from=$EPOCHREALTIME
    run "$@"
    seconds=$(awk -v from="$from" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }')
}

# probe ROOM: another public function at the end of the room, in place of the one before. It is code, which a comment is
# not, and nothing calls it, so that the tests stay what they are.
probes=0
probe() {
    probes=$((probes + 1))
    {
        cat "$scratch/$1.rs"
        printf '\n#[doc(hidden)]\npub fn build_probe_%d() -> u32 {\n    %d\n}\n' "$probes" "$probes"
    } >"src/$1/lib.rs"
}

# from_change ROOM KIND: sets `seconds`.
from_change() {
    local room=$1
    case $2 in
        command)
            run cargo build --release
            probe "$room"
            timed cargo build --release
            ;;
        tests)
            run cargo test --release -p "nstr-$room" --lib --no-run
            probe "$room"
            timed cargo test --release -p "nstr-$room" --lib
            ;;
    esac
}

# from_nothing KIND: sets `seconds`.
from_nothing() {
    local target=(env "CARGO_TARGET_DIR=$scratch/target")
    case $1 in
        command) timed "${target[@]}" cargo build --release ;;
        tests) timed "${target[@]}" cargo test --release --workspace --no-run ;;
    esac
    rm -rf "$scratch/target"
}

# row NAME MEASURE ARGUMENT...: a row of the table, `MEASURE ARGUMENT... KIND` for each kind.
rows=()
row() {
    local cells=$1 measure=$2 kind
    shift 2
    for kind in $kinds; do
        "$measure" "$@" "$kind"
        cells="$cells | $seconds"
        echo "${*:-everything}, $kind: $seconds s" >&2
    done
    rows+=("| $cells |")
}

run cargo fetch
for room in $rooms; do
    # Under a temporary name until it is whole: restore takes what it finds.
    if ! [ -e "$scratch/$room.rs" ]; then
        cp "src/$room/lib.rs" "$scratch/part"
        mv "$scratch/part" "$scratch/$room.rs"
    fi
    row "one line of \`$room\`" from_change "$room"
done
if $full; then
    # As it is in the repository, without probes.
    for room in $rooms; do
        cat "$scratch/$room.rs" >"src/$room/lib.rs"
    done
    row "from nothing" from_nothing
fi

echo "$(getconf _NPROCESSORS_ONLN) cores, $(rustc --version)."
echo
heading="| change" rule="|---"
for kind in $kinds; do
    heading="$heading | to the $kind, s"
    rule="$rule|---"
done
echo "$heading |"
echo "$rule|"
printf '%s\n' "${rows[@]}"
