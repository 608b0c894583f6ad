"""What a program that was written for SQS does with boto3, against a server whose URL is the argument, and
which knows the access key "test" with the secret "test".

Values are those that AWS gives: its messages, codes, digests, and what is absent where there is nothing. The same
with a boto3 that is old enough to speak the Query protocol.
"""

import json
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = sys.argv[1]
ACCOUNT = "000000000000"

sqs = boto3.client(
    "sqs",
    endpoint_url=ENDPOINT,
    region_name="us-east-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
    config=Config(retries={"max_attempts": 1, "mode": "standard"}),
)
resource = boto3.resource(
    "sqs",
    endpoint_url=ENDPOINT,
    region_name="us-east-1",
    aws_access_key_id="test",
    aws_secret_access_key="test",
)
# An older boto3 speaks Query, in which some is called otherwise.
is_query = sqs.meta.service_model.protocol == "query"
made = 0


def name(suffix=""):
    global made
    made += 1
    return f"{'query' if is_query else 'boto3'}-{made}{suffix}"


def queue(suffix="", **attributes):
    if suffix:
        attributes["FifoQueue"] = "true"
    return sqs.create_queue(QueueName=name(suffix), Attributes=attributes)["QueueUrl"]


def arn(url):
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return asked["Attributes"]["QueueArn"]


def receive(url, **arguments):
    arguments.setdefault("MaxNumberOfMessages", 10)
    if is_query and "MessageSystemAttributeNames" in arguments:
        arguments["AttributeNames"] = arguments.pop("MessageSystemAttributeNames")
    return sqs.receive_message(QueueUrl=url, **arguments).get("Messages", [])


class Refused:
    """The error that the calls inside give: its class, code, status and message."""

    def __init__(self, code, message=None, error=None, status=400):
        self.expected = (code, message, error, status)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        code, message, cls, status = self.expected
        assert isinstance(error, cls or ClientError), f"expected {code}, found {error!r}"
        found = error.response["Error"]
        if is_query:
            found["Message"] = found["Message"].replace(" for this wsdl version", "")
        assert found["Code"] == code, found
        assert message is None or found["Message"] == message, found["Message"]
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status, error.response
        return True


def without_metadata(response):
    response.pop("ResponseMetadata")
    return response


def test_a_queue_is_made_found_listed_and_deleted():
    url = queue()
    own = url.rsplit("/", 1)[1]
    assert url == f"{ENDPOINT}/{ACCOUNT}/{own}"
    assert sqs.get_queue_url(QueueName=own)["QueueUrl"] == url
    assert without_metadata(sqs.list_queues(QueueNamePrefix=own)) == {"QueueUrls": [url]}
    assert without_metadata(sqs.list_queues(QueueNamePrefix="nothing-")) == {}
    assert sqs.create_queue(QueueName=own)["QueueUrl"] == url
    with Refused(
        "QueueAlreadyExists",
        "A queue already exists with the same name and a different value for attribute DelaySeconds",
        sqs.exceptions.QueueNameExists,
    ):
        sqs.create_queue(QueueName=own, Attributes={"DelaySeconds": "5"})
    sqs.delete_queue(QueueUrl=url)
    with Refused(
        "AWS.SimpleQueueService.NonExistentQueue",
        "The specified queue does not exist.",
        sqs.exceptions.QueueDoesNotExist,
    ):
        sqs.get_queue_url(QueueName=own)
    with Refused(
        "AWS.SimpleQueueService.QueueDeletedRecently",
        "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
        sqs.exceptions.QueueDeletedRecently,
    ):
        sqs.create_queue(QueueName=own)


def test_pages_of_queues():
    prefix = name("-page-")
    urls = [sqs.create_queue(QueueName=f"{prefix}{i}")["QueueUrl"] for i in range(5)]
    pages = sqs.get_paginator("list_queues").paginate(
        QueueNamePrefix=prefix, PaginationConfig={"PageSize": 2}
    )
    assert [page["QueueUrls"] for page in pages] == [urls[0:2], urls[2:4], urls[4:5]]
    first = sqs.list_queues(QueueNamePrefix=prefix, MaxResults=5)
    assert "NextToken" not in first


def test_a_message_comes_back_as_it_was_sent():
    url = queue()
    sent = sqs.send_message(
        QueueUrl=url,
        MessageBody="foobar \u00e9\u4e2d\U0001f600\r\n",
        MessageAttributes={
            "Help.Me": {"DataType": "String", "StringValue": "Me"},
            "Hello": {"DataType": "String", "StringValue": "There"},
            "General": {"DataType": "String", "StringValue": "Kenobi"},
        },
        MessageSystemAttributes={
            "AWSTraceHeader": {
                "DataType": "String",
                "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
            }
        },
    )
    assert sent["MD5OfMessageAttributes"] == "4c360f3fdafd970e05fae2f149d997f5"
    assert sent["MD5OfMessageSystemAttributes"] == "5ae4d5d7636402d80f4eb6d213245a88"
    assert "SequenceNumber" not in sent
    (message,) = receive(
        url,
        MessageAttributeNames=["Hello", "Help.*"],
        MessageSystemAttributeNames=["All"],
        VisibilityTimeout=0,
    )
    assert message["Body"] == "foobar \u00e9\u4e2d\U0001f600\r\n"
    assert message["MessageId"] == sent["MessageId"]
    assert message["MD5OfBody"] == sent["MD5OfMessageBody"]
    assert message["MD5OfMessageAttributes"] == "83fee93c1bcd8b9a5a923ffacdc636c7"
    assert sorted(message["MessageAttributes"]) == ["Hello", "Help.Me"]
    attributes = message["Attributes"]
    assert attributes["ApproximateReceiveCount"] == "1" and attributes["SenderId"] == ACCOUNT
    assert attributes["AWSTraceHeader"].startswith("Root=1-5759e988")
    assert attributes["SentTimestamp"] <= attributes["ApproximateFirstReceiveTimestamp"]
    assert sorted(attributes) == [
        "AWSTraceHeader",
        "ApproximateFirstReceiveTimestamp",
        "ApproximateReceiveCount",
        "SenderId",
        "SentTimestamp",
    ]
    (message,) = receive(url)
    assert "Attributes" not in message and "MessageAttributes" not in message
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert without_metadata(sqs.receive_message(QueueUrl=url)) == {}


def test_batches_tell_of_each_entry():
    url = queue()
    batch = sqs.send_message_batch(
        QueueUrl=url,
        Entries=[
            {"Id": "a", "MessageBody": "1"},
            {"Id": "b", "MessageBody": "2", "DelaySeconds": 901},
            {"Id": "c", "MessageBody": "3"},
        ],
    )
    assert [entry["Id"] for entry in batch["Successful"]] == ["a", "c"]
    (failed,) = batch["Failed"]
    assert (failed["Id"], failed["Code"], failed["SenderFault"]) == ("b", "InvalidParameterValue", True)
    messages = receive(url)
    assert sorted(message["Body"] for message in messages) == ["1", "3"]
    entries = [
        {"Id": str(i), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
        for i, message in enumerate(messages)
    ]
    changed = without_metadata(sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries))
    assert changed == {"Successful": [{"Id": "0"}, {"Id": "1"}]}
    entries = [
        {"Id": str(i), "ReceiptHandle": message["ReceiptHandle"]}
        for i, message in enumerate(receive(url))
    ]
    entries.append({"Id": "bad", "ReceiptHandle": "garbage"})
    deleted = sqs.delete_message_batch(QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in deleted["Successful"]] == ["0", "1"]
    (failed,) = deleted["Failed"]
    assert failed["Code"] == "ReceiptHandleIsInvalid", failed
    with Refused(
        "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        "Maximum number of entries per request are 10. You have sent 11.",
        sqs.exceptions.TooManyEntriesInBatchRequest,
    ):
        entries = [{"Id": str(i), "MessageBody": "x"} for i in range(11)]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)
    with Refused(
        "AWS.SimpleQueueService.EmptyBatchRequest",
        "There should be at least one SendMessageBatchRequestEntry in the request.",
        sqs.exceptions.EmptyBatchRequest,
    ):
        sqs.send_message_batch(QueueUrl=url, Entries=[])
    with Refused(
        "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        "Id a repeated.",
        sqs.exceptions.BatchEntryIdsNotDistinct,
    ):
        entries = [{"Id": "a", "MessageBody": "x"}, {"Id": "a", "MessageBody": "y"}]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)


def test_a_long_poll_ends_with_the_message_that_comes():
    url = queue()
    sqs.send_message(QueueUrl=url, MessageBody="late", DelaySeconds=1)
    began = time.monotonic()
    (message,) = receive(url, WaitTimeSeconds=20)
    assert message["Body"] == "late" and 0.5 < time.monotonic() - began < 15


def test_visibility_is_the_receivers_to_change():
    url = queue()
    sqs.send_message(QueueUrl=url, MessageBody="x")
    (first,) = receive(url, VisibilityTimeout=60)
    assert receive(url) == []
    change = {"QueueUrl": url, "ReceiptHandle": first["ReceiptHandle"]}
    sqs.change_message_visibility(**change, VisibilityTimeout=0)
    (second,) = receive(url, VisibilityTimeout=60)
    assert second["ReceiptHandle"] != first["ReceiptHandle"]
    sqs.change_message_visibility(**change, VisibilityTimeout=0)
    (third,) = receive(url, VisibilityTimeout=60)
    handle = third["ReceiptHandle"]
    with Refused("InvalidParameterValue"):
        sqs.change_message_visibility(
            QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=43201
        )
    sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
    with Refused(
        "InvalidParameterValue",
        f"Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is "
        "not available for visibility timeout change.",
    ):
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=1)
    with Refused(
        "ReceiptHandleIsInvalid",
        'The input receipt handle "garbage" is not a valid receipt handle.',
        sqs.exceptions.ReceiptHandleIsInvalid,
        404,
    ):
        sqs.delete_message(QueueUrl=url, ReceiptHandle="garbage")


def test_fifo_queues_order_groups_and_store_copies_once():
    url = queue(".fifo", ContentBasedDeduplication="true")
    send = {"QueueUrl": url, "MessageGroupId": "g"}
    first = sqs.send_message(**send, MessageBody="1")
    again = sqs.send_message(**send, MessageBody="1")
    assert (again["MessageId"], again["SequenceNumber"]) == (first["MessageId"], first["SequenceNumber"])
    second = sqs.send_message(**send, MessageBody="2")
    assert len(second["SequenceNumber"]) == 20 and second["SequenceNumber"] > first["SequenceNumber"]
    attempt = {"ReceiveRequestAttemptId": "attempt-1", "MessageSystemAttributeNames": ["All"]}
    (message,) = receive(url, MaxNumberOfMessages=1, **attempt)
    assert message["Attributes"]["MessageGroupId"] == "g"
    assert message["Attributes"]["SequenceNumber"] == first["SequenceNumber"]
    assert len(message["Attributes"]["MessageDeduplicationId"]) == 64
    assert receive(url) == []
    (same,) = receive(url, MaxNumberOfMessages=1, **attempt)
    assert same["ReceiptHandle"] == message["ReceiptHandle"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert [message["Body"] for message in receive(url)] == ["2"]
    with Refused("MissingParameter", "The request must contain the parameter MessageGroupId."):
        sqs.send_message(QueueUrl=url, MessageBody="x")
    explicit = queue(".fifo")
    with Refused(
        "InvalidParameterValue",
        "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId "
        "provided explicitly",
    ):
        sqs.send_message(QueueUrl=explicit, MessageBody="x", MessageGroupId="g")


def test_dead_letters_are_moved_and_redriven():
    dead, url = queue(), queue()
    policy = {"deadLetterTargetArn": arn(dead), "maxReceiveCount": 1}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(policy)})
    read = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
    assert json.loads(read["Attributes"]["RedrivePolicy"]) == policy
    listed = without_metadata(sqs.list_dead_letter_source_queues(QueueUrl=dead))
    assert listed == {"queueUrls": [url]}
    sent = sqs.send_message(QueueUrl=url, MessageBody="poison")
    assert len(receive(url, VisibilityTimeout=0)) == 1
    assert receive(url) == []
    (letter,) = receive(
        dead, WaitTimeSeconds=10, VisibilityTimeout=0, MessageSystemAttributeNames=["All"]
    )
    assert letter["MessageId"] == sent["MessageId"]
    assert letter["Attributes"]["ApproximateReceiveCount"] == "2"
    assert letter["Attributes"]["DeadLetterQueueSourceArn"] == arn(url)
    with Refused("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue."):
        sqs.start_message_move_task(SourceArn=arn(url))
    with Refused(
        "ResourceNotFoundException",
        "The resource that you specified for the SourceArn parameter doesn't exist.",
        sqs.exceptions.ResourceNotFoundException,
        404,
    ):
        sqs.start_message_move_task(SourceArn=arn(url) + "-not")
    assert sqs.start_message_move_task(SourceArn=arn(dead))["TaskHandle"]
    (back,) = receive(url, WaitTimeSeconds=20, MessageSystemAttributeNames=["All"])
    assert back["Body"] == "poison" and back["MessageId"] != sent["MessageId"]
    assert back["Attributes"]["ApproximateReceiveCount"] == "1"
    deadline = time.monotonic() + 20
    while True:
        (task,) = sqs.list_message_move_tasks(SourceArn=arn(dead))["Results"]
        if task["Status"] != "RUNNING" or time.monotonic() > deadline:
            break
    assert task["Status"] == "COMPLETED" and "TaskHandle" not in task, task
    assert task["ApproximateNumberOfMessagesMoved"] == 1 and task["StartedTimestamp"] > 10**12
    with Refused("InvalidParameterValue", "Value for parameter TaskHandle is invalid."):
        sqs.cancel_message_move_task(TaskHandle="foobar")


def test_attributes_read_back_as_they_were_set():
    set_to = {
        "DelaySeconds": "1",
        "MaximumMessageSize": "2048",
        "MessageRetentionPeriod": "3600",
        "ReceiveMessageWaitTimeSeconds": "2",
        "VisibilityTimeout": "3",
        "KmsMasterKeyId": "alias/aws/sqs",
        "KmsDataKeyReusePeriodSeconds": "600",
        "Policy": '{"Version":"2012-10-17","Statement":'
        '[{"Effect":"Deny","Principal":"*","Action":"sqs:AddPermission"}]}',
    }
    url = queue(**set_to)
    read = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert {key: read[key] for key in set_to} == set_to
    assert read["SqsManagedSseEnabled"] == "false"
    plain = sqs.get_queue_attributes(QueueUrl=queue(), AttributeNames=["All"])["Attributes"]
    for moment in ["CreatedTimestamp", "LastModifiedTimestamp", "QueueArn"]:
        plain.pop(moment)
    assert plain == {
        "ApproximateNumberOfMessages": "0",
        "ApproximateNumberOfMessagesDelayed": "0",
        "ApproximateNumberOfMessagesNotVisible": "0",
        "DelaySeconds": "0",
        "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600",
        "ReceiveMessageWaitTimeSeconds": "0",
        "SqsManagedSseEnabled": "true",
        "VisibilityTimeout": "30",
    }
    assert without_metadata(sqs.get_queue_attributes(QueueUrl=url)) == {}
    with Refused("InvalidAttributeName", "Unknown Attribute Foobar.", sqs.exceptions.InvalidAttributeName):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Foobar": "1"})
    with Refused(
        "InvalidAttributeValue",
        "Invalid value for the parameter VisibilityTimeout.",
        # Query has no class for it.
        getattr(sqs.exceptions, "InvalidAttributeValue", None),
    ):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "43201"})


def test_tags_come_and_go():
    url = sqs.create_queue(QueueName=name(), tags={"a": "1"})["QueueUrl"]
    sqs.tag_queue(QueueUrl=url, Tags={"a": "2", "b": ""})
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"a": "2", "b": ""}
    sqs.untag_queue(QueueUrl=url, TagKeys=["a", "b", "c"])
    assert without_metadata(sqs.list_queue_tags(QueueUrl=url)) == {}


def test_permissions_are_statements_of_the_policy():
    url = queue()
    permit = {"QueueUrl": url, "Label": "l"}
    sqs.add_permission(**permit, AWSAccountIds=["123456789012"], Actions=["SendMessage"])
    read = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
    assert json.loads(read["Attributes"]["Policy"]) == {
        "Version": "2008-10-17",
        "Id": f"{arn(url)}/SQSDefaultPolicy",
        "Statement": [
            {
                "Sid": "l",
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
                "Action": "SQS:SendMessage",
                "Resource": arn(url),
            }
        ],
    }
    with Refused("OverLimit", "8 Actions were found, maximum allowed is 7.", sqs.exceptions.OverLimit, 403):
        sqs.add_permission(**permit, AWSAccountIds=["1"], Actions=["SendMessage"] * 8)
    sqs.remove_permission(**permit)
    assert without_metadata(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])) == {}


def test_a_purge_empties_and_is_not_repeated_at_once():
    url = queue()
    sqs.send_message(QueueUrl=url, MessageBody="x")
    sqs.purge_queue(QueueUrl=url)
    assert receive(url) == []
    own = url.rsplit("/", 1)[1]
    with Refused(
        "AWS.SimpleQueueService.PurgeQueueInProgress",
        f"Only one PurgeQueue operation on {own} is allowed every 60 seconds.",
        sqs.exceptions.PurgeQueueInProgress,
        403,
    ):
        sqs.purge_queue(QueueUrl=url)


def test_the_resource_interface_works_too():
    one = resource.create_queue(QueueName=name())
    one.send_message(MessageBody="hello")
    (message,) = one.receive_messages(WaitTimeSeconds=1)
    assert message.body == "hello"
    message.delete()
    assert resource.get_queue_by_name(QueueName=one.url.rsplit("/", 1)[1]).url == one.url


def test_who_is_not_known_is_refused():
    for key, secret, code in [
        ("test", "other", "SignatureDoesNotMatch"),
        ("other", "test", "InvalidClientTokenId"),
    ]:
        stranger = boto3.client(
            "sqs",
            endpoint_url=ENDPOINT,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
        )
        with Refused(code, status=403):
            stranger.list_queues()


tests = [(name, test) for name, test in globals().copy().items() if name.startswith("test_")]
for test_name, test in tests:
    test()
    print("ok", test_name)
print(f"{len(tests)} passed, 0 failed")
