#!/bin/sh
# Runs each fuzz target for a short time: fuzz/short.sh [SECONDS, default 20].
# Ends with status 1 if a target found something; installs nothing. README.md says what each target
# promises, and how to run what was found again.
set -u
cd "$(dirname "$0")/.." || exit 1
seconds=${1:-20}

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "fuzz/short.sh: cargo-fuzz is missing; install it with: cargo install cargo-fuzz" >&2
    exit 1
fi

failed=0
for target in frame record segment sqs_json sqs_query; do
    mkdir -p "fuzz/corpus/$target"
    cargo fuzz build --fuzz-dir fuzz --sanitizer none "$target" || exit 1
    # The address space is limited for the target alone: an allocation of a length that nobody
    # checked then fails at once, also if it is never touched.
    if (
        ulimit -v 1048576
        cargo fuzz run --fuzz-dir fuzz --sanitizer none "$target" -- \
            -max_total_time="$seconds" -rss_limit_mb=64 -timeout=10 -verbosity=0 -print_final_stats=1
    ); then
        echo "fuzz target $target: nothing found in $seconds s"
    else
        echo "fuzz target $target: FOUND something, see fuzz/artifacts/$target" >&2
        failed=1
    fi
done
exit $failed
