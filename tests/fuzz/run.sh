#!/usr/bin/env bash
# Fuzzes each target for FUZZ_SECONDS, guided by coverage, and ends with the first crash.
#   tests/fuzz/run.sh [target...]           all of them without a name
#   tests/fuzz/run.sh --replay target file  runs one input again
# What is found stays beneath target/fuzz: found/ holds the inputs that make a target panic, and
# corpus/ what reached new code, from which the next run goes on.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${FUZZ_SECONDS:-60}
target_dir=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')

# libFuzzer's own counters, which the stable compiler can write. With --target, build scripts and
# macros, which run elsewhere, do not get them.
coverage=-Cpasses=sancov-module
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    coverage+=" -Cllvm-args=-sanitizer-coverage-$option"
done
RUSTFLAGS=$coverage cargo build --locked --profile fuzz -p gavel-fuzz \
    --features engine,libfuzzer-sys/link_libfuzzer --target "$host" --target-dir "$target_dir"
fuzzer=$target_dir/$host/fuzz/gavel-fuzz

if [ "${1:-}" = --replay ]; then
    FUZZ_TARGET=$2 exec "$fuzzer" "$3"
fi
if [ $# = 0 ]; then
    cd tests/fuzz/corpus; set -- *; cd - > /dev/null
fi
for target; do
    found=$target_dir/found/$target kept=$target_dir/corpus/$target log=$target_dir/$target.log
    mkdir -p "$found" "$kept"
    if ! FUZZ_TARGET=$target "$fuzzer" -max_total_time="$seconds" -rss_limit_mb=512 -timeout=10 \
        -max_len=4096 -print_final_stats=1 -artifact_prefix="$found/" \
        "$kept" "tests/fuzz/corpus/$target" > "$log" 2>&1; then
        tail -n 40 "$log"
        input=$(sed -n 's/.*Test unit written to //p' "$log")
        echo "fuzz: $target fails. Again: tests/fuzz/run.sh --replay $target ${input:-FILE}" >&2
        exit 1
    fi
    awk -v target="$target" '
        /INITED/ { for (i = 1; i < NF; i++) if ($i == "cov:") first = $(i + 1) }
        / cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") last = $(i + 1) }
        /number_of_executed_units/ { executed = $2 }
        END { printf "fuzz: %-10s ok, %d executions, coverage %d -> %d\n", target, executed, first, last }
    ' "$log"
done
