//! What every batch must be.

use super::error::{Code, Result, SqsError};
use super::member::BATCH_ENTRIES_MAX;
use super::outputs::FailedEntry;

/// The longest id of an entry.
const ID_BYTES_MAX: usize = 80;

/// The most bytes of all messages of a batch.
const BYTES_MAX: usize = 1 << 20;

/// Entries with their ids, if the batch is one. `entry` is what an entry is called.
pub(super) fn entries<T>(
    given: Option<Vec<T>>,
    entry: &str,
    mut id: impl FnMut(&mut T) -> Option<String>,
) -> Result<Vec<(String, T)>> {
    let given = given.unwrap_or_default();
    if given.is_empty() {
        let text = format!("There should be at least one {entry} in the request.");
        return Err(SqsError::new(Code::EmptyBatchRequest, text));
    }
    if given.len() > BATCH_ENTRIES_MAX {
        let count = given.len();
        let text = format!(
            "Maximum number of entries per request are {BATCH_ENTRIES_MAX}. You have sent {count}."
        );
        return Err(SqsError::new(Code::TooManyEntriesInBatchRequest, text));
    }
    let mut entries = Vec::with_capacity(given.len());
    for (index, mut one) in given.into_iter().enumerate() {
        let id =
            id(&mut one).ok_or_else(|| SqsError::missing(&format!("{entry}.{}.Id", index + 1)))?;
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(is_allowed) {
            return Err(SqsError::new(
                Code::InvalidBatchEntryId,
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. \
                 It can be at most 80 letters long.",
            ));
        }
        entries.push((id, one));
    }
    // There are few enough to compare each with each.
    let is_repeated = |place: usize| entries[..place].iter().any(|(id, _)| *id == entries[place].0);
    if let Some(place) = (1..entries.len()).find(|place| is_repeated(*place)) {
        let id = &entries[place].0;
        let text = format!("Id {id} repeated.");
        return Err(SqsError::new(Code::BatchEntryIdsNotDistinct, text));
    }
    Ok(entries)
}

/// Checks the bytes of all messages of a batch together.
pub(super) fn check_bytes(bytes: usize) -> Result<()> {
    if bytes <= BYTES_MAX {
        return Ok(());
    }
    let text = format!(
        "Batch requests cannot be longer than {BYTES_MAX} bytes. You have sent {bytes} bytes."
    );
    Err(SqsError::new(Code::BatchRequestTooLong, text))
}

/// An entry that could not be done.
pub(super) fn failed(id: String, error: SqsError) -> FailedEntry {
    FailedEntry {
        id,
        sender_fault: error.code.is_senders(),
        code: error.code.query_name().to_owned(),
        message: Some(error.message),
    }
}
