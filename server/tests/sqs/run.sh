#!/usr/bin/env bash
# Clients of SQS as people use them, against a server of their own: boto3, an older one that speaks Query, the AWS CLI,
# the AWS SDKs for Rust and for JavaScript, the latter with sqs-consumer, Celery. Installs them from their registries into a directory
# that is kept between runs, target/sqs-clients. Without an argument all are run; else those named: boto3
# query cli javascript celery rust.
set -euo pipefail
cd "$(dirname "$0")"

CLIENTS=("$@")
[[ $# -gt 0 ]] || CLIENTS=(boto3 query cli javascript celery rust)
TOOLS=${SQS_CLIENTS_DIR:-../../../target/sqs-clients}
mkdir -p "$TOOLS"
TOOLS=$(cd "$TOOLS" && pwd)
FOREBAY=${FOREBAY:-../../../target/debug/forebay}
[[ -x $FOREBAY ]] || (cd ../../.. && cargo build -p forebay)

python() {
    [[ -x $TOOLS/python/bin/python ]] || python3 -m venv "$TOOLS/python"
    "$TOOLS/python/bin/python" -c "import $1" 2>/dev/null ||
        "$TOOLS/python/bin/pip" install --quiet --disable-pip-version-check "${@:2}"
}

SCRATCH=$(mktemp -d)
SERVER=""
BUILDING=""
stop() {
    for process in $SERVER $BUILDING; do
        kill "$process" 2>/dev/null && wait "$process" || true
    done
}
trap 'stop; rm -rf "$SCRATCH"' EXIT

# The clients sign what they ask with this key. Port 0 takes a free one; the server says which.
printf '[[key]]\nid = "test"\nsecret = "test"\n' >"$SCRATCH/keys.toml"
"$FOREBAY" serve --data "$SCRATCH/data" --listen 127.0.0.1:0 --sqs-listen 127.0.0.1:0 --log-level warn \
    --sqs-credentials "$SCRATCH/keys.toml" >"$SCRATCH/out" &
SERVER=$!
for _ in $(seq 100); do
    ENDPOINT=$(grep -o 'http://[0-9.:]*' "$SCRATCH/out" || true)
    [[ -z $ENDPOINT ]] || break
    sleep 0.1
done
[[ -n $ENDPOINT ]] || { echo "the server did not start" >&2; exit 1; }

# The SDK for Rust is built while the others are installed and run.
if [[ " ${CLIENTS[*]} " == *" rust "* ]]; then
    cargo build --quiet --locked --manifest-path rust/Cargo.toml --target-dir "$TOOLS/rust" &
    BUILDING=$!
fi

for client in "${CLIENTS[@]}"; do
    echo "-- $client"
    case $client in
    boto3)
        python boto3 'boto3>=1.40'
        "$TOOLS/python/bin/python" boto3_client.py "$ENDPOINT"
        ;;
    query)
        [[ -x $TOOLS/query/bin/python ]] || python3 -m venv "$TOOLS/query"
        "$TOOLS/query/bin/python" -c 'import boto3' 2>/dev/null ||
            "$TOOLS/query/bin/pip" install --quiet --disable-pip-version-check boto3==1.28.70 botocore==1.31.70
        "$TOOLS/query/bin/python" boto3_client.py "$ENDPOINT"
        ;;
    cli)
        python awscli awscli
        ./commands.sh "$TOOLS/python/bin/aws" "$ENDPOINT"
        ;;
    rust)
        wait "$BUILDING"
        BUILDING=""
        "$TOOLS/rust/debug/forebay-sqs-rust-client" "$ENDPOINT"
        ;;
    javascript)
        [[ -d $TOOLS/node/node_modules/sqs-consumer ]] ||
            npm install --prefix "$TOOLS/node" --silent --no-audit --no-fund \
                @aws-sdk/client-sqs@3 sqs-consumer@12
        # Modules are looked for beside the file that wants them.
        cp consumer.mjs "$TOOLS/node/consumer.mjs"
        node "$TOOLS/node/consumer.mjs" "$ENDPOINT"
        ;;
    celery)
        [[ -x $TOOLS/celery/bin/python ]] || python3 -m venv "$TOOLS/celery"
        "$TOOLS/celery/bin/python" -c 'import celery, pycurl' 2>/dev/null ||
            "$TOOLS/celery/bin/pip" install --quiet --disable-pip-version-check 'celery[sqs]>=5.4'
        "$TOOLS/celery/bin/python" celery_tasks.py "$ENDPOINT"
        ;;
    *)
        echo "there is no client $client" >&2
        exit 2
        ;;
    esac
done
