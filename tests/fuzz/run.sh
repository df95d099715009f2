#!/usr/bin/env bash
# Fuzzes every reader: `tests/fuzz/run.sh [seconds a target] [target…]`. On one core at the lowest priority.
#
# Builds the fuzzers, writes the seeds, and runs each target (all of them unless named) from the kept corpus, the regressions
# and what earlier runs grew (`grown/`). A finding goes to `found/<target>/`, shortened, and the target goes on until its time
# is used up or it has five. Last comes a table of runs, runs a second, coverage and findings. The exit code is 1 with any
# finding.
#
#   FUZZ_SANITIZER=address     with the address sanitizer instead of none (slower; for `unsafe` code of dependencies)
#   FUZZ_FEATURES=training     also the targets of the rooms that train, which build Burn: fit_set, open, points, recipe
#   CARGO_TARGET_DIR=FOLDER    where to build
#
# Needs a C++ compiler for libFuzzer and `cargo fuzz`, which is installed where it is missing. RUSTC_BOOTSTRAP lets a stable
# toolchain take the flags of the instrumentation.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
here=$PWD
export RUSTC_BOOTSTRAP=1 RAYON_NUM_THREADS=1

seconds=${1:-60}
[ $# -gt 0 ] && shift
case $seconds in *[!0-9]* | '') echo "usage: tests/fuzz/run.sh [seconds a target] [target…]" >&2 && exit 2 ;; esac
training=(fit_set open points recipe)
targets=("$@")
if [ $# -eq 0 ]; then
    for file in fuzz_targets/*.rs; do
        name=$(basename "$file" .rs)
        if [[ " ${training[*]} " == *" $name "* && "${FUZZ_FEATURES:-}" != *training* ]]; then continue; fi
        targets+=("$name")
    done
fi

command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
# The versions that the program is built with.
cp ../../Cargo.lock Cargo.lock
low=(nice -n 19)
command -v taskset >/dev/null && low+=(taskset -c "$(($(nproc) - 1))")
build=(cargo fuzz build --fuzz-dir . --sanitizer "${FUZZ_SANITIZER:-none}" ${FUZZ_FEATURES:+--features "$FUZZ_FEATURES"})
for target in seeds "${targets[@]}"; do
    nice -n 19 "${build[@]}" "$target"
done
host=$(rustc -vV | sed -n 's/^host: //p')
bin=$(realpath "${CARGO_TARGET_DIR:-target}")/$host/release

# Files that readers take by path, in memory where there is such a place.
scratch=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")" nstr-fuzz.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
export TMPDIR=$scratch

NSTR_SEEDS=$here/corpus "$bin/seeds" -runs=0 >"$scratch/seeds.log" 2>&1 || { cat "$scratch/seeds.log" >&2; exit 1; }

# stat NAME FILE: a number of libFuzzer's closing lines; 0 where it ended without them.
stat() {
    local value
    value=$(sed -n "s/^stat::$1: *//p" "$2" | tail -n 1)
    echo "${value:-0}"
}

table=()
failed=0
for target in "${targets[@]}"; do
    mkdir -p "grown/$target" "found/$target" "corpus/$target" "regressions/$target"
    runs=0 used=0 findings=0 coverage=0
    started=$SECONDS
    while [ $((SECONDS - started)) -lt "$seconds" ] && [ $findings -lt 5 ]; do
        log=$scratch/$target.log
        dictionary=dictionaries/$target.dict
        code=0
        # Longer inputs find nothing that shorter ones don't, and cost runs. 2 GiB are far beyond the bound that the target
        # itself checks (limits.rs); 25 s likewise.
        "${low[@]}" "$bin/$target" "grown/$target" "corpus/$target" "regressions/$target" \
            -max_total_time=$((seconds - (SECONDS - started))) -rss_limit_mb=2048 -timeout=25 -max_len=16384 -len_control=50 \
            -dict="$dictionary" -artifact_prefix="found/$target/" -print_final_stats=1 >"$log" 2>&1 </dev/null || code=$?
        runs=$((runs + $(stat number_of_executed_units "$log")))
        cover=$(grep -o 'cov: [0-9]*' "$log" | tail -n 1 | tr -dc 0-9 || true)
        [ "${cover:-0}" -gt "$coverage" ] && coverage=$cover
        rm -rf "${scratch:?}"/nstr-fuzz-*
        [ $code -eq 0 ] && break
        file=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        if [ -z "$file" ]; then
            echo "$target ended with $code and no input; the end of its log:" >&2
            tail -n 20 "$log" >&2
            failed=1
            break
        fi
        findings=$((findings + 1))
        grep -E 'panicked at|SUMMARY|memory; at most|are allowed|overflow' -A 1 "$log" | head -n 6 >"$file.txt" || true
        echo "--- $target: $file"
        cat "$file.txt"
        # The shortest input that does the same; it keeps a finding readable.
        "${low[@]}" "$bin/$target" "$file" -minimize_crash=1 -exact_artifact_path="$file.short" -max_total_time=10 \
            -rss_limit_mb=2048 -timeout=25 >/dev/null 2>&1 </dev/null || true
        rm -rf "${scratch:?}"/nstr-fuzz-*
        # A reader that breaks at once on a kept input has nothing more to tell.
        [ "$(stat number_of_executed_units "$log")" -lt 100 ] && break
    done
    used=$((SECONDS - started))
    [ $findings -gt 0 ] && failed=1
    table+=("$(printf '%-14s %10d %8d %9d %9d %9d' "$target" "$runs" "$used" $((runs / (used > 0 ? used : 1))) "$coverage" $findings)")
done

echo
printf '%-14s %10s %8s %9s %9s %9s\n' target runs seconds runs/s coverage findings
printf '%s\n' "${table[@]}"
exit $failed
