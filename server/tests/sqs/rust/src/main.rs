//! What a program that was written for SQS does with the AWS SDK for Rust, against a server whose URL is the
//! argument, and which knows the access key "test" with the secret "test".
//!
//! Values are those that AWS gives. This SDK compares no digests, so they are compared here.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{Config, Credentials, Region};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let endpoint = std::env::args().nth(1).ok_or("expected the endpoint's URL")?;
    let config = Config::builder()
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "arguments"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    let sqs = Client::from_conf(config.clone());
    a_message_comes_back_as_it_was_sent(&sqs).await?;
    batches_tell_what_became_of_each_entry(&sqs).await?;
    visibility_is_the_receivers_to_change(&sqs).await?;
    a_long_poll_ends_when_a_message_comes(&sqs).await?;
    groups_are_in_order_and_copies_are_stored_once(&sqs).await?;
    dead_letters_move_and_come_back(&sqs).await?;
    tags_and_pages(&sqs).await?;
    attributes_read_back_as_they_were_set(&sqs).await?;
    errors_have_their_class_and_their_old_name(&sqs).await?;
    who_is_not_known_is_refused(config).await
}

async fn queue(
    sqs: &Client,
    name: &str,
    attributes: &[(QueueAttributeName, &str)],
) -> Result<String> {
    let mut create = sqs.create_queue().queue_name(name);
    for (attribute, value) in attributes {
        create = create.attributes(attribute.clone(), *value);
    }
    Ok(create.send().await?.queue_url.ok_or("no URL")?)
}

async fn receive(sqs: &Client, url: &str, visibility: i32) -> Result<Vec<Message>> {
    let received = sqs
        .receive_message()
        .queue_url(url)
        .max_number_of_messages(10)
        .visibility_timeout(visibility)
        .message_attribute_names("All")
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .send()
        .await?;
    Ok(received.messages.unwrap_or_default())
}

fn done(name: &str) {
    println!("ok {name}");
}

async fn a_message_comes_back_as_it_was_sent(sqs: &Client) -> Result<()> {
    let url = queue(sqs, "rust", &[]).await?;
    let bytes = MessageAttributeValue::builder()
        .data_type("Binary")
        .binary_value(Blob::new([0, 1, 255]))
        .build();
    let body = "hello \u{e9}\u{4e2d}\u{1f600} <&>\r\n";
    const MD5_OF_BODY: &str = "8a11dc876c376e740ef291d7bf768b09";
    let sent = sqs
        .send_message()
        .queue_url(&url)
        .message_body(body)
        .message_attributes("text", text_value("String", "v")?)
        .message_attributes("number", text_value("Number.int", "5")?)
        .message_attributes("bytes", bytes?)
        .send()
        .await?;
    assert_eq!(sent.md5_of_message_body(), Some(MD5_OF_BODY));
    assert_eq!(sent.sequence_number, None);
    let message = receive(sqs, &url, 60).await?.pop().ok_or("it did not come")?;
    assert_eq!(message.body.as_deref(), Some(body));
    assert_eq!(message.message_id, sent.message_id);
    assert_eq!(message.md5_of_body, sent.md5_of_message_body);
    assert_eq!(message.md5_of_message_attributes, sent.md5_of_message_attributes);
    let attributes = message.message_attributes.unwrap_or_default();
    assert_eq!(attributes["bytes"].binary_value.as_ref().map(Blob::as_ref), Some(&[0, 1, 255][..]));
    assert_eq!(attributes["number"].data_type, "Number.int");
    let told = message.attributes.unwrap_or_default();
    assert_eq!(told[&MessageSystemAttributeName::ApproximateReceiveCount], "1");
    let handle = message.receipt_handle.ok_or("no handle")?;
    sqs.change_message_visibility()
        .queue_url(&url)
        .receipt_handle(&handle)
        .visibility_timeout(0)
        .send()
        .await?;
    assert_eq!(receive(sqs, &url, 60).await?.len(), 1);
    sqs.delete_message().queue_url(&url).receipt_handle(handle).send().await?;
    // As AWS has recorded them: of all three, and of two of them.
    let sent = sqs
        .send_message()
        .queue_url(&url)
        .message_body("x")
        .message_attributes("Help.Me", text_value("String", "Me")?)
        .message_attributes("Hello", text_value("String", "There")?)
        .message_attributes("General", text_value("String", "Kenobi")?)
        .send()
        .await?;
    assert_eq!(sent.md5_of_message_attributes(), Some("4c360f3fdafd970e05fae2f149d997f5"));
    let asked = sqs.receive_message().queue_url(&url).message_attribute_names("Hel*");
    let asked = asked.message_attribute_names("Hello").message_attribute_names("Help.*");
    let received = asked.send().await?.messages.unwrap_or_default();
    let digest = received[0].md5_of_message_attributes();
    assert_eq!(digest, Some("83fee93c1bcd8b9a5a923ffacdc636c7"));
    assert_eq!(received[0].attributes, None);
    done("a message comes back as it was sent");
    Ok(())
}

fn text_value(data_type: &str, value: &str) -> Result<MessageAttributeValue> {
    Ok(MessageAttributeValue::builder().data_type(data_type).string_value(value).build()?)
}

async fn batches_tell_what_became_of_each_entry(sqs: &Client) -> Result<()> {
    let url = queue(sqs, "rust-batch", &[(QueueAttributeName::MaximumMessageSize, "1024")]).await?;
    let entry = |id: &str, body: &str| {
        SendMessageBatchRequestEntry::builder().id(id).message_body(body).build()
    };
    let long = "x".repeat(1025);
    let sent = sqs
        .send_message_batch()
        .queue_url(&url)
        .entries(entry("a", "1")?)
        .entries(entry("b", &long)?)
        .entries(entry("c", "3")?)
        .send()
        .await?;
    let ids: Vec<_> = sent.successful().iter().map(|entry| entry.id.as_str()).collect();
    assert_eq!(ids, ["a", "c"]);
    let failed = &sent.failed()[0];
    assert_eq!((failed.id.as_str(), failed.code.as_str()), ("b", "InvalidParameterValue"));
    assert!(failed.sender_fault);
    let received = receive(sqs, &url, 60).await?;
    assert_eq!(received.len(), 2);
    let mut delete = sqs.delete_message_batch().queue_url(&url);
    for (index, message) in received.iter().enumerate() {
        let entry = DeleteMessageBatchRequestEntry::builder()
            .id(index.to_string())
            .receipt_handle(message.receipt_handle().unwrap_or_default());
        delete = delete.entries(entry.build()?);
    }
    assert_eq!(delete.send().await?.successful().len(), 2);
    done("batches tell what became of each entry");
    Ok(())
}

async fn visibility_is_the_receivers_to_change(sqs: &Client) -> Result<()> {
    let url = queue(sqs, "rust-visibility", &[]).await?;
    for body in ["1", "2"] {
        sqs.send_message().queue_url(&url).message_body(body).send().await?;
    }
    let mut received = receive(sqs, &url, 60).await?;
    while received.len() < 2 {
        received.extend(receive(sqs, &url, 60).await?);
    }
    assert!(receive(sqs, &url, 60).await?.is_empty());
    let mut change = sqs.change_message_visibility_batch().queue_url(&url);
    for (id, message) in ["a", "b"].iter().zip(&received) {
        let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
            .id(*id)
            .receipt_handle(message.receipt_handle().unwrap_or_default())
            .visibility_timeout(0);
        change = change.entries(entry.build()?);
    }
    let changed = change.send().await?;
    assert_eq!((changed.successful().len(), changed.failed().len()), (2, 0));
    let again = receive(sqs, &url, 60).await?;
    let handle = again[0].receipt_handle().unwrap_or_default();
    assert_ne!(Some(handle), received[0].receipt_handle());
    let error = sqs
        .change_message_visibility()
        .queue_url(&url)
        .receipt_handle(handle)
        .visibility_timeout(43201)
        .send()
        .await
        .expect_err("it is too long");
    assert_eq!(error.code(), Some("InvalidParameterValue"));
    done("visibility is the receiver's to change");
    Ok(())
}

async fn a_long_poll_ends_when_a_message_comes(sqs: &Client) -> Result<()> {
    let url = queue(sqs, "rust-poll", &[]).await?;
    let empty = sqs.receive_message().queue_url(&url).send().await?;
    assert_eq!(empty.messages, None);
    let began = Instant::now();
    let poll = sqs.receive_message().queue_url(&url).wait_time_seconds(20).send();
    let send = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        sqs.send_message().queue_url(&url).message_body("at last").send().await
    };
    let (polled, sent) = tokio::join!(poll, send);
    sent?;
    assert_eq!(polled?.messages().len(), 1);
    assert!(began.elapsed() < Duration::from_secs(10), "it did not wait to its end");
    done("a long poll ends when a message comes");
    Ok(())
}

async fn groups_are_in_order_and_copies_are_stored_once(sqs: &Client) -> Result<()> {
    let fifo = [(QueueAttributeName::FifoQueue, "true")];
    let url = queue(sqs, "rust.fifo", &fifo).await?;
    let mut ids = HashMap::new();
    for body in ["1", "2", "2", "3"] {
        let sent = sqs
            .send_message()
            .queue_url(&url)
            .message_body(body)
            .message_group_id("g")
            .message_deduplication_id(body)
            .send()
            .await?;
        assert_eq!(sent.sequence_number().map(str::len), Some(20));
        let id = sent.message_id.ok_or("no id")?;
        assert_eq!(ids.entry(body).or_insert_with(|| id.clone()), &id, "a copy has its id");
    }
    let received = receive(sqs, &url, 60).await?;
    let bodies: Vec<_> = received.iter().filter_map(Message::body).collect();
    assert_eq!(bodies, ["1", "2", "3"]);
    done("groups are in order, and copies are stored once");
    Ok(())
}

async fn dead_letters_move_and_come_back(sqs: &Client) -> Result<()> {
    let dead = queue(sqs, "rust-dead", &[]).await?;
    let asked = sqs
        .get_queue_attributes()
        .queue_url(&dead)
        .attribute_names(QueueAttributeName::QueueArn)
        .send()
        .await?;
    let arn = asked.attributes.unwrap_or_default()[&QueueAttributeName::QueueArn].clone();
    let policy = format!("{{\"deadLetterTargetArn\":\"{arn}\",\"maxReceiveCount\":1}}");
    let url = queue(sqs, "rust-jobs", &[(QueueAttributeName::RedrivePolicy, &policy)]).await?;
    sqs.send_message().queue_url(&url).message_body("poison").send().await?;
    assert_eq!(receive(sqs, &url, 0).await?.len(), 1);
    assert!(receive(sqs, &url, 0).await?.is_empty());
    let mut sources = sqs.list_dead_letter_source_queues().queue_url(&dead).into_paginator().send();
    let page = sources.next().await.ok_or("no page")??;
    assert_eq!(page.queue_urls(), [url.as_str()]);
    assert!(sources.next().await.is_none());
    let letter = receive(sqs, &dead, 0).await?.pop().ok_or("it did not move")?;
    let told = letter.attributes.unwrap_or_default();
    assert!(told[&MessageSystemAttributeName::DeadLetterQueueSourceArn].ends_with(":rust-jobs"));
    sqs.start_message_move_task().source_arn(&arn).send().await?;
    loop {
        let tasks = sqs.list_message_move_tasks().source_arn(&arn).send().await?;
        if tasks.results()[0].status() == Some("COMPLETED") {
            assert_eq!(tasks.results()[0].approximate_number_of_messages_moved, 1);
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(receive(sqs, &url, 60).await?.len(), 1);
    done("dead letters move, and come back");
    Ok(())
}

async fn tags_and_pages(sqs: &Client) -> Result<()> {
    let url = queue(sqs, "rust-tags", &[]).await?;
    assert_eq!(sqs.list_queue_tags().queue_url(&url).send().await?.tags, None);
    sqs.tag_queue().queue_url(&url).tags("k", "v").send().await?;
    let tags = sqs.list_queue_tags().queue_url(&url).send().await?.tags.unwrap_or_default();
    assert_eq!(tags["k"], "v");
    sqs.untag_queue().queue_url(&url).tag_keys("k").send().await?;
    for number in 0..5 {
        queue(sqs, &format!("rust-page-{number}"), &[]).await?;
    }
    let mut pages =
        sqs.list_queues().queue_name_prefix("rust-page-").max_results(2).into_paginator().send();
    let mut sizes = Vec::new();
    while let Some(page) = pages.next().await {
        sizes.push(page?.queue_urls().len());
    }
    assert_eq!(sizes, [2, 2, 1]);
    done("tags, and lists in pages");
    Ok(())
}

async fn attributes_read_back_as_they_were_set(sqs: &Client) -> Result<()> {
    let url = queue(sqs, "rust-attributes", &[(QueueAttributeName::DelaySeconds, "5")]).await?;
    sqs.set_queue_attributes()
        .queue_url(&url)
        .attributes(QueueAttributeName::VisibilityTimeout, "7")
        .send()
        .await?;
    let asked = sqs
        .get_queue_attributes()
        .queue_url(&url)
        .attribute_names(QueueAttributeName::All)
        .send()
        .await?;
    let attributes = asked.attributes.unwrap_or_default();
    assert_eq!(attributes[&QueueAttributeName::VisibilityTimeout], "7");
    assert_eq!(attributes[&QueueAttributeName::DelaySeconds], "5");
    assert_eq!(attributes[&QueueAttributeName::MaximumMessageSize], "1048576");
    assert!(!attributes.contains_key(&QueueAttributeName::FifoQueue));
    let none = sqs.get_queue_attributes().queue_url(&url).send().await?;
    assert_eq!(none.attributes, None);
    done("attributes read back as they were set");
    Ok(())
}

/// What an action that must fail is refused with: its class is `$is`, its old name, its status, and what is
/// said of it if that is given.
macro_rules! refused {
    ($action:expr, $is:ident, $code:literal, $status:literal $(, $message:literal)?) => {{
        let error = $action.send().await.expect_err($code);
        let SdkError::ServiceError(refused) = &error else { return Err(error.into()) };
        assert!(refused.err().$is(), "{refused:?}");
        assert_eq!(refused.raw().status().as_u16(), $status);
        assert_eq!(error.code(), Some($code));
        $( assert_eq!(error.message(), Some($message)); )?
    }};
}

async fn errors_have_their_class_and_their_old_name(sqs: &Client) -> Result<()> {
    let url = queue(sqs, "rust-errors", &[]).await?;
    refused!(
        sqs.get_queue_url().queue_name("rust-none"),
        is_queue_does_not_exist,
        "AWS.SimpleQueueService.NonExistentQueue",
        400,
        "The specified queue does not exist."
    );
    refused!(
        sqs.create_queue()
            .queue_name("rust-errors")
            .attributes(QueueAttributeName::DelaySeconds, "5"),
        is_queue_name_exists,
        "QueueAlreadyExists",
        400,
        "A queue already exists with the same name and a different value for attribute DelaySeconds"
    );
    refused!(
        sqs.delete_message().queue_url(&url).receipt_handle("garbage"),
        is_receipt_handle_is_invalid,
        "ReceiptHandleIsInvalid",
        404,
        "The input receipt handle \"garbage\" is not a valid receipt handle."
    );
    refused!(
        sqs.set_queue_attributes()
            .queue_url(&url)
            .attributes(QueueAttributeName::from("Foobar"), "1"),
        is_invalid_attribute_name,
        "InvalidAttributeName",
        400,
        "Unknown Attribute Foobar."
    );
    refused!(
        sqs.set_queue_attributes()
            .queue_url(&url)
            .attributes(QueueAttributeName::VisibilityTimeout, "43201"),
        is_invalid_attribute_value,
        "InvalidAttributeValue",
        400,
        "Invalid value for the parameter VisibilityTimeout."
    );
    refused!(
        sqs.send_message().queue_url(&url).message_body("\u{1}"),
        is_invalid_message_contents,
        "InvalidMessageContents",
        400
    );
    refused!(
        sqs.start_message_move_task().source_arn("arn:aws:sqs:us-east-1:000000000000:rust-none"),
        is_resource_not_found_exception,
        "ResourceNotFoundException",
        404,
        "The resource that you specified for the SourceArn parameter doesn't exist."
    );
    let mut eight = sqs.add_permission().queue_url(&url).label("l").aws_account_ids("123456789012");
    for _ in 0..8 {
        eight = eight.actions("SendMessage");
    }
    refused!(eight, is_over_limit, "OverLimit", 403, "8 Actions were found, maximum allowed is 7.");
    // What is no part of the service's model has no class, only its name.
    let ask = sqs.receive_message().queue_url(&url).max_number_of_messages(11);
    let error = ask.send().await.expect_err("they are too many");
    assert_eq!(error.code(), Some("InvalidParameterValue"));
    let message = "Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 \
                   and 10, if provided.";
    assert_eq!(error.message(), Some(message));
    of_batches(sqs, &url).await?;
    what_was_done_a_moment_ago(sqs, &url).await?;
    done("errors have their class and their old name");
    Ok(())
}

async fn of_batches(sqs: &Client, url: &str) -> Result<()> {
    let batch = |ids: &[&str], body: &str| -> Result<_> {
        let mut entries = Vec::new();
        for id in ids {
            let entry = SendMessageBatchRequestEntry::builder().id(*id).message_body(body);
            entries.push(entry.build()?);
        }
        Ok(sqs.send_message_batch().queue_url(url).set_entries(Some(entries)))
    };
    refused!(
        batch(&[], "x")?,
        is_empty_batch_request,
        "AWS.SimpleQueueService.EmptyBatchRequest",
        400,
        "There should be at least one SendMessageBatchRequestEntry in the request."
    );
    refused!(
        batch(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"], "x")?,
        is_too_many_entries_in_batch_request,
        "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        400,
        "Maximum number of entries per request are 10. You have sent 11."
    );
    refused!(
        batch(&["a", "a"], "x")?,
        is_batch_entry_ids_not_distinct,
        "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        400,
        "Id a repeated."
    );
    refused!(
        batch(&["a b"], "x")?,
        is_invalid_batch_entry_id,
        "AWS.SimpleQueueService.InvalidBatchEntryId",
        400
    );
    refused!(
        batch(&["a", "b"], &"x".repeat(600_000))?,
        is_batch_request_too_long,
        "AWS.SimpleQueueService.BatchRequestTooLong",
        400,
        "Batch requests cannot be longer than 1048576 bytes. You have sent 1200000 bytes."
    );
    Ok(())
}

async fn what_was_done_a_moment_ago(sqs: &Client, url: &str) -> Result<()> {
    sqs.purge_queue().queue_url(url).send().await?;
    refused!(
        sqs.purge_queue().queue_url(url),
        is_purge_queue_in_progress,
        "AWS.SimpleQueueService.PurgeQueueInProgress",
        403,
        "Only one PurgeQueue operation on rust-errors is allowed every 60 seconds."
    );
    sqs.delete_queue().queue_url(url).send().await?;
    refused!(
        sqs.create_queue().queue_name("rust-errors"),
        is_queue_deleted_recently,
        "AWS.SimpleQueueService.QueueDeletedRecently",
        400,
        "You must wait 60 seconds after deleting a queue before you can create another with the same name."
    );
    Ok(())
}

async fn who_is_not_known_is_refused(config: Config) -> Result<()> {
    for (key, secret, code) in
        [("test", "other", "SignatureDoesNotMatch"), ("other", "test", "InvalidClientTokenId")]
    {
        let credentials = Credentials::new(key, secret, None, None, "arguments");
        let config = config.to_builder().credentials_provider(credentials).build();
        let error = Client::from_conf(config).list_queues().send().await.expect_err(code);
        assert_eq!(error.code(), Some(code));
        assert_eq!(error.raw_response().map(|raw| raw.status().as_u16()), Some(403));
    }
    done("who is not known is refused");
    Ok(())
}
