#!/usr/bin/env bash
# The AWS CLI, as one types it. Arguments: the aws command, the endpoint's URL.
set -euo pipefail
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1 AWS_PAGER="" AWS_EC2_METADATA_DISABLED=true
sqs() { "$AWS" sqs --endpoint-url "$ENDPOINT" "$@"; }
AWS=$1 ENDPOINT=$2

expect() {
    [[ "$2" == "$3" ]] || { echo "$1: expected $3, found $2" >&2; exit 1; }
    echo "ok $1"
}

url=$(sqs create-queue --queue-name cli --attributes VisibilityTimeout=60 --query QueueUrl --output text)
expect "a queue has a URL" "$url" "$ENDPOINT/000000000000/cli"
sqs send-message --queue-url "$url" --message-body "hello" \
    --message-attributes '{"colour":{"DataType":"String","StringValue":"red"}}' >/dev/null
received=$(sqs receive-message --queue-url "$url" --message-attribute-names All --wait-time-seconds 5 \
    --query 'Messages[0].[Body, MessageAttributes.colour.StringValue, ReceiptHandle]' --output text)
read -r body colour handle <<<"$received"
expect "a message arrives" "$body $colour" "hello red"
sqs delete-message --queue-url "$url" --receipt-handle "$handle"
expect "a deleted message is gone" "$(sqs receive-message --queue-url "$url")" ""
expect "an attribute reads back" "$(sqs get-queue-attributes --queue-url "$url" \
    --attribute-names VisibilityTimeout --query Attributes.VisibilityTimeout --output text)" 60
refused=$(sqs get-queue-url --queue-name none 2>&1 || true)
expect "an error has its code" "$(grep -o 'AWS.SimpleQueueService.NonExistentQueue' <<<"$refused")" \
    "AWS.SimpleQueueService.NonExistentQueue"
