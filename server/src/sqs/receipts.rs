//! Actions on received messages: delete, change of visibility, each for one or a batch.

use data_encoding::BASE64;
use forebay_engine::attributes::{FIFO_SUFFIX, VISIBILITY_MS_MAX};
use forebay_engine::command::{Command, Reply};
use forebay_engine::error::RequestError;
use forebay_engine::receipt::SealedReceipt;

use super::batch;
use super::endpoint::{Asked, Endpoint, unexpected};
use super::error::{Code, Result, SqsError};
use super::inputs::{self, ReceiptEntry, VisibilityEntry, required};
use super::outputs::{ChangedBatch, ChangedEntry, Nothing};
use super::queues::queue;
use super::receive::VISIBILITY_SECONDS_MAX;

pub(super) async fn delete(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::DeleteMessage,
) -> Result<Nothing> {
    let name = queue(input.queue_url.as_ref())?;
    // So AWS calls one that is absent here, and only here.
    let handle = handle(required(input.receipt_handle, "MessageHandle")?)?;
    let deleted = delete_all(endpoint, &name, vec![("", handle)]).await?;
    deleted
        .into_iter()
        .try_for_each(|(_, handle, result)| result.map_err(|error| refused(error, &handle)))?;
    Ok(Nothing)
}

/// Of a request for one message, an empty handle counts as none.
fn handle(given: String) -> Result<String> {
    required(Some(given).filter(|handle| !handle.is_empty()), "ReceiptHandle")
}

pub(super) async fn delete_batch(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::DeleteMessageBatch,
) -> Result<ChangedBatch> {
    const ENTRY: &str = "DeleteMessageBatchRequestEntry";
    let name = queue(input.queue_url.as_ref())?;
    let entries = batch::entries(input.entries, ENTRY, |entry: &mut ReceiptEntry| entry.id.take())?;
    let mut handles = Vec::with_capacity(entries.len());
    for (index, (id, entry)) in entries.into_iter().enumerate() {
        let member = format!("{ENTRY}.{}.ReceiptHandle", index + 1);
        handles.push((id, required(entry.receipt_handle, &member)?));
    }
    let deleted = delete_all(endpoint, &name, handles).await?.into_iter();
    let deleted = deleted
        .map(|(id, handle, result)| (id, result.map_err(|error| refused_in_batch(error, &handle))));
    Ok(told(deleted.collect()))
}

pub(super) async fn change_visibility(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::ChangeMessageVisibility,
) -> Result<Nothing> {
    let name = queue(input.queue_url.as_ref())?;
    let handle = handle(required(input.receipt_handle, "ReceiptHandle")?)?;
    let seconds = required(input.visibility_timeout, "VisibilityTimeout")?;
    let changed = change_all(endpoint, &name, vec![("", handle, Ok(seconds))]).await?;
    changed.into_iter().try_for_each(|(_, result)| result)?;
    Ok(Nothing)
}

pub(super) async fn change_visibility_batch(
    endpoint: &Endpoint,
    _: &Asked,
    input: inputs::ChangeMessageVisibilityBatch,
) -> Result<ChangedBatch> {
    const ENTRY: &str = "ChangeMessageVisibilityBatchRequestEntry";
    let name = queue(input.queue_url.as_ref())?;
    let entries =
        batch::entries(input.entries, ENTRY, |entry: &mut VisibilityEntry| entry.id.take())?;
    let mut changes = Vec::with_capacity(entries.len());
    for (index, (id, entry)) in entries.into_iter().enumerate() {
        let member = |name: &str| format!("{ENTRY}.{}.{name}", index + 1);
        let handle = required(entry.receipt_handle, &member("ReceiptHandle"))?;
        // Of an entry it is optional in the service's model: one without it fails alone.
        let seconds = required(entry.visibility_timeout, &member("VisibilityTimeout"));
        changes.push((id, handle, seconds));
    }
    Ok(told(change_all(endpoint, &name, changes).await?))
}

fn told(results: Vec<(String, Result<()>)>) -> ChangedBatch {
    let mut batch = ChangedBatch::default();
    for (id, result) in results {
        match result {
            Ok(()) => batch.successful.push(ChangedEntry { id }),
            Err(error) => batch.failed.push(batch::failed(id, error)),
        }
    }
    batch
}

/// Deletes messages, and says what became of each.
async fn delete_all<I>(
    endpoint: &Endpoint,
    queue: &str,
    handles: Vec<(I, String)>,
) -> Result<Vec<(I, String, std::result::Result<(), RequestError>)>> {
    let receipts: Vec<_> = handles.iter().map(|(_, handle)| open(handle)).collect();
    let good = receipts.iter().flatten().copied().collect();
    let results = ask(endpoint, queue, good, |queue, receipts| Command::Ack { queue, receipts });
    let mut results = results.await?.into_iter();
    let results = handles.into_iter().zip(receipts).map(|((id, handle), receipt)| {
        let result = match receipt.map(|_| results.next().flatten()) {
            Ok(None) => Ok(()),
            // It succeeds and deletes nothing: somebody else has the message now.
            Ok(Some(RequestError::ReceiptStale { .. })) if !queue.ends_with(FIFO_SUFFIX) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(error),
        };
        (id, handle, result)
    });
    Ok(results.collect())
}

/// Changes visibility timeouts, and says what became of each.
async fn change_all<I>(
    endpoint: &Endpoint,
    queue: &str,
    changes: Vec<(I, String, Result<i64>)>,
) -> Result<Vec<(I, Result<()>)>> {
    let checked = changes.iter().map(|(_, handle, seconds)| {
        let seconds = seconds.clone()?;
        if !(0..=VISIBILITY_SECONDS_MAX).contains(&seconds) {
            let reason = format!("Must be between 0 and {VISIBILITY_SECONDS_MAX}.");
            return Err(SqsError::invalid_value(seconds, "VisibilityTimeout", reason));
        }
        let receipt = open(handle).map_err(|error| refused(error, handle))?;
        Ok((receipt, seconds.unsigned_abs() * 1000))
    });
    let checked: Vec<_> = checked.collect();
    let good = checked.iter().flatten().copied().collect();
    let results = ask(endpoint, queue, good, |queue, changes| Command::ChangeVisibilityOfMessage {
        queue,
        changes,
    });
    let mut results = results.await?.into_iter();
    let results = changes.into_iter().zip(checked).map(|((id, handle, seconds), checked)| {
        let result = match checked.and(seconds) {
            Err(error) => Err(error),
            Ok(seconds) => match results.next().flatten() {
                None => Ok(()),
                // Of a FIFO queue, whose message is visible: there is nothing to do.
                Some(RequestError::ReceiptExpired { .. }) if seconds == 0 => Ok(()),
                Some(RequestError::OutOfRange { .. }) => {
                    let limit = VISIBILITY_MS_MAX / 1000;
                    let reason = format!(
                        "Total VisibilityTimeout for the message is beyond the limit [{limit} seconds]"
                    );
                    Err(SqsError::invalid_value(seconds, "VisibilityTimeout", reason))
                }
                Some(RequestError::MessageGone { .. }) => {
                    let reason =
                        "Message does not exist or is not available for visibility timeout change.";
                    Err(SqsError::invalid_value(handle, "ReceiptHandle", reason))
                }
                Some(error) => Err(refused(error, &handle)),
            },
        };
        (id, result)
    });
    Ok(results.collect())
}

/// Asks for something of several messages: why it was refused, for each of them.
async fn ask<T>(
    endpoint: &Endpoint,
    queue: &str,
    items: Vec<T>,
    command: impl FnOnce(String, Vec<T>) -> Command,
) -> Result<Vec<Option<RequestError>>> {
    if items.is_empty() {
        endpoint.describe(queue).await?;
        return Ok(Vec::new());
    }
    let mut results: Vec<_> = items.iter().map(|_| None).collect();
    let Reply::Changed { failures } = endpoint.ask(command(queue.to_owned(), items)).await? else {
        return Err(unexpected());
    };
    for (index, error) in failures {
        *results.get_mut(index as usize).ok_or_else(unexpected)? = Some(error);
    }
    Ok(results)
}

/// A handle as a receipt.
fn open(handle: &str) -> std::result::Result<SealedReceipt, RequestError> {
    // What is no base64 has no bytes.
    SealedReceipt::from_bytes(&BASE64.decode(handle.as_bytes()).unwrap_or_default())
}

fn refused(error: RequestError, handle: &str) -> SqsError {
    match error {
        // Of this store, but of another queue or of one of this name that was deleted.
        RequestError::ReceiptOfOtherQueue { .. } => {
            let text = format!("The receipt handle \"{handle}\" is not valid for this queue.");
            SqsError::new(Code::ReceiptHandleIsInvalid, text)
        }
        RequestError::ReceiptInvalid { .. } => {
            let text =
                format!("The input receipt handle \"{handle}\" is not a valid receipt handle.");
            SqsError::new(Code::ReceiptHandleIsInvalid, text)
        }
        // Of a FIFO queue: the message was received again, or may be.
        RequestError::ReceiptExpired { .. } | RequestError::ReceiptStale { .. } => {
            let reason = "The receipt handle has expired.";
            SqsError::invalid_value(handle, "ReceiptHandle", reason)
        }
        error => error.into(),
    }
}

/// The same of an entry of DeleteMessageBatch, of which AWS says one thing in another way.
fn refused_in_batch(error: RequestError, handle: &str) -> SqsError {
    match error {
        RequestError::ReceiptExpired { .. } | RequestError::ReceiptStale { .. } => {
            SqsError::new(Code::ReceiptHandleIsInvalid, "The receipt handle has expired")
        }
        error => refused(error, handle),
    }
}
