#!/bin/bash
# Runs every fuzz target, or those that are named, for a number of executions and prints one table.
#
#   fuzz/run.sh [-n EXECUTIONS] [-s MAX_SECONDS] [-m] [TARGET...]
#
# -n  executions per target, 1,000,000 unless said otherwise
# -s  seconds per target at most; 0, the default, for no end
# -m  afterwards fold what was found into the committed corpus, smallest set that covers the same
#
# Needs a nightly toolchain (libFuzzer's coverage instrumentation). Exit status 1 if a target failed:
# the input that made it fail is left in fuzz/libfuzzer/artifacts/TARGET.
set -euo pipefail
cd "$(dirname "$0")"

runs=1000000 seconds=0 merge=no
while getopts n:s:m option; do
    case $option in
        n) runs=$OPTARG ;;
        s) seconds=$OPTARG ;;
        m) merge=yes ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
if [ $# -gt 0 ]; then targets=("$@"); else targets=($(cd corpus && ls)); fi

host=$(rustc +nightly -vV | sed -n 's/^host: //p')
target_dir=${CARGO_TARGET_DIR:-libfuzzer/target}/libfuzzer
# What plays the peer is not what is tested, so it is not instrumented.
export RUSTC_WRAPPER=$PWD/libfuzzer/rustc.sh
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
bins=()
for target in "${targets[@]}"; do bins+=(--bin "$target"); done
cargo +nightly build --quiet --release --locked --manifest-path libfuzzer/Cargo.toml \
    --target "$host" --target-dir "$target_dir" "${bins[@]}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0 total=0
row='%-22s %12s %10s %7s %9s %8s %7s\n'
printf "$row" target executions exec/s edges features "peak MB" crashes
for target in "${targets[@]}"; do
    binary=$target_dir/$host/release/$target
    found=$work/$target log=$work/$target.log
    mkdir -p "$found" "libfuzzer/artifacts/$target"
    crashes=0 options=()
    # Thousands of features in each input: statistics of them would cost more than the machine.
    [[ $target != *_machine ]] || options+=(-entropic=0)
    nice "$binary" "${options[@]}" "$found" "corpus/$target" -runs="$runs" -max_total_time="$seconds" \
        -max_len=4096 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="libfuzzer/artifacts/$target/" >"$log" 2>&1 || crashes=1
    stat() { sed -n "s/^stat::$1: *//p" "$log" | tail -1; }
    covered=$(grep -oE 'cov: [0-9]+ ft: [0-9]+' "$log" | tail -1)
    executions=$(stat number_of_executed_units)
    printf "$row" "$target" "${executions:-?}" "$(stat average_exec_per_sec)" \
        "$(cut -d' ' -f2 <<<"$covered")" "$(cut -d' ' -f4 <<<"$covered")" "$(stat peak_rss_mb)" \
        "$crashes"
    believed=$(stat messages_believed)
    [ -z "$believed" ] || echo "    messages with a right hash around them that were believed: $believed"
    total=$((total + ${executions:-0}))
    if [ "$crashes" = 1 ]; then
        failed=1
        grep -E 'panicked|ERROR|SUMMARY|Test unit' -A1 "$log" | sed 's/^/    /' >&2
    elif [ "$merge" = yes ]; then
        mkdir "$work/merged"
        "$binary" "$work/merged" "corpus/$target" "$found" -set_cover_merge=1 -max_len=4096 \
            >/dev/null 2>&1
        rm -rf "corpus/$target"
        mv "$work/merged" "corpus/$target"
    fi
    rmdir --ignore-fail-on-non-empty "libfuzzer/artifacts/$target"
done
printf "$row" total "$total" "" "" "" "" "$failed"
exit $failed
