//! Reading stored messages by their locations: from the tail cache when they are recent, else from
//! their segments' files. What is returned was verified: seal, identity, and the producer's checksum.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};

use super::read_ahead::ReadAhead;
use super::tail_cache::{Kept, KeptEntry, TailCache};
use crate::broken::{Mistake, makes};
use crate::checksum::Salt;
use crate::disk::DiskError;
use crate::error::{Damage, ReadError};
use crate::ids::{Position, QueueId, Seq};
use crate::location::Location;
use crate::record::{Moved, Record, RecordError, RecordFrame, Sent};
use crate::time::LogTime;

/// Messages are read together up to so many bytes, ...
const SPAN_BYTES_MAX: u64 = 1 << 20;

/// ... with so many unwanted ones between two of them.
const SPAN_GAP_BYTES_MAX: u64 = 4 << 10;

/// A message as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// The producer's checksum; it was checked against the rest.
    pub checksum: u32,
    /// How many bytes of the payload are attributes.
    pub attributes_bytes: u32,
    /// When it became or becomes visible first, if it was sent with a delay.
    pub visible_from: Option<LogTime>,
    /// What it was in the queue that it came from, if it is a dead letter.
    pub dead_letter: Option<DeadLetter>,
    /// Attributes, then the body.
    pub payload: Bytes,
}

/// What is told of a dead letter beside what its queue knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The name of the queue that it came from.
    pub source: String,
    /// The queue that it was sent to, ...
    pub origin_queue: QueueId,
    /// ... and its number there: its public id is made of both.
    pub origin_seq: Seq,
    /// When it was sent, as its queue counts it.
    pub sent: LogTime,
    /// When it was first received, in whatever queue.
    pub first_received: LogTime,
    /// How often it was received in all queues before this one.
    pub receive_count: u32,
    /// Why it was last given back before it came here; empty if nobody said.
    pub reason: String,
}

/// Reads messages. Clones share the cache; any thread may read.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    cache: Arc<Mutex<TailCache>>,
    ahead: Arc<ReadAhead>,
}

impl Reader {
    pub(crate) fn new(cache_bytes_max: usize) -> Self {
        let cache = TailCache::new(cache_bytes_max);
        Self { cache: Arc::new(Mutex::new(cache)), ahead: Arc::default() }
    }

    /// Keeps an entry that was just written, see [`KeptEntry::new`].
    pub(super) fn keep(
        &self,
        segment: Position,
        offset: u64,
        memory: BytesMut,
        start: usize,
    ) -> Kept {
        // What is copied is so before readers have to wait.
        let entry = KeptEntry::new(segment, offset, memory, start);
        self.lock_cache().keep(entry)
    }

    /// Each message, if it is in memory.
    pub(crate) fn read_hot<'l>(
        &self,
        locations: impl Iterator<Item = &'l Location> + Clone,
    ) -> Vec<Option<Result<StoredMessage, ReadError>>> {
        let cache = self.lock_cache();
        let records: Vec<_> = locations.clone().map(|location| cache.find(location)).collect();
        drop(cache);
        let is_cold = |(location, record): (_, &Option<_>)| record.is_none().then_some(location);
        let cold: Vec<_> = locations.clone().zip(&records).filter_map(is_cold).collect();
        let mut ahead = self.check_ahead(&cold, self.ahead.find(&cold)).into_iter();
        let found = locations.zip(records).map(|(location, record)| match record {
            Some(record) => Some(check(location, record)),
            None => ahead.next().flatten().map(Ok),
        });
        found.collect()
    }

    /// The message, from memory or from its file. May wait for the disk.
    pub(crate) fn read(&self, location: &Location) -> Result<StoredMessage, ReadError> {
        let record = self.lock_cache().find(location);
        if let Some(record) = record {
            return check(location, record);
        }
        let mut record = BytesMut::zeroed(location.bytes as usize);
        let segment = &location.segment;
        let read = segment.file.read_at(u64::from(location.offset), &mut record);
        // The file may have been opened under the name that it had while it was prepared.
        let read = read.map_err(|error| DiskError { path: segment.path.clone(), ..error })?;
        record.truncate(read);
        check(location, record.freeze())
    }

    /// Whether there is something for [`Reader::read_on`]: who is told so is the one to call it.
    pub(crate) fn reads_on(&self) -> bool {
        self.ahead.goes_on()
    }

    /// Reads what will be wanted next. Waits for the disk.
    pub(crate) fn read_on(&self) {
        self.ahead.go_on();
    }

    /// The messages, each as [`Reader::read`] gives it; neighbours in a file are read together.
    pub(crate) fn read_all(&self, locations: &[Location]) -> Vec<Result<StoredMessage, ReadError>> {
        let mut messages = Vec::with_capacity(locations.len());
        let mut rest = locations;
        while let Some(first) = rest.first() {
            let count = neighbours(rest);
            let (together, behind) = rest.split_at(count);
            match self.read_span(first, together) {
                Some(read) => messages.extend(read),
                None => messages.extend(together.iter().map(|location| self.read(location))),
            }
            rest = behind;
        }
        messages
    }

    /// Neighbours with one read, or none; `None` if that is not worth it or does not succeed.
    fn read_span(
        &self,
        first: &Location,
        together: &[Location],
    ) -> Option<Vec<Result<StoredMessage, ReadError>>> {
        // What is in memory is taken from there.
        if together.len() < 2 || self.lock_cache().find(first).is_some() {
            return None;
        }
        let range = u64::from(first.offset)..together.last()?.range().end;
        if let Some(stretches) = self.ahead.read(&first.segment, range.clone()) {
            let locations: Vec<_> = together.iter().collect();
            let ahead = self.check_ahead(&locations, self.ahead.copy(&stretches, &locations));
            let read = together.iter().zip(ahead);
            let read = read.map(|(location, ahead)| ahead.map_or_else(|| self.read(location), Ok));
            return Some(read.collect());
        }
        let mut span = BytesMut::zeroed((range.end - range.start) as usize);
        let read = first.segment.file.read_at(range.start, &mut span).ok()?;
        if read < span.len() {
            return None;
        }
        let span = span.freeze();
        let part = |location: &Location| {
            let start = (location.offset - first.offset) as usize;
            check(location, span.slice(start..start + location.bytes as usize))
        };
        Some(together.iter().map(part).collect())
    }

    /// Each message, if it was read ahead and is whole. Whatever is wrong with it, the file may have it right.
    fn check_ahead(
        &self,
        locations: &[&Location],
        records: Vec<Option<Bytes>>,
    ) -> Vec<Option<StoredMessage>> {
        let read = |(location, record): (&&Location, Option<Bytes>)| {
            let message = check(location, record?).ok();
            if message.is_none() {
                self.ahead.forget(location);
            }
            message
        };
        locations.iter().zip(records).map(read).collect()
    }

    fn lock_cache(&self) -> std::sync::MutexGuard<'_, TailCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many of the locations, from the first on, are worth reading together.
fn neighbours(locations: &[Location]) -> usize {
    let Some(first) = locations.first() else { return 0 };
    let follows = |pair: &&[Location]| {
        let (end, next) = (pair[0].range().end, pair[1].range());
        pair[1].segment == first.segment
            && (end..=end + SPAN_GAP_BYTES_MAX).contains(&next.start)
            && next.end - u64::from(first.offset) <= SPAN_BYTES_MAX
    };
    1 + locations.windows(2).take_while(follows).count()
}

fn check(location: &Location, record: Bytes) -> Result<StoredMessage, ReadError> {
    match parse(location, location.segment.salt, &record) {
        Ok((sent, dead_letter)) => Ok(StoredMessage {
            checksum: sent.checksum,
            attributes_bytes: sent.attributes_bytes,
            visible_from: sent.visible_from,
            dead_letter,
            payload: record.slice_ref(sent.payload),
        }),
        Err(detail) => Err(Damage {
            path: location.segment.path.clone(),
            offset: u64::from(location.offset),
            bytes: u64::from(location.bytes),
            position: None,
            detail: format!("message {} of queue {}: {detail}", location.seq, location.queue),
        }
        .into()),
    }
}

/// The record at a location, if it is whole, in its place, and the message meant.
fn parse<'a>(
    location: &Location,
    salt: Salt,
    bytes: &'a [u8],
) -> Result<(Sent<'a>, Option<DeadLetter>), String> {
    let check = || -> Result<Result<_, String>, RecordError> {
        let (frame, _) = RecordFrame::split(bytes)?;
        let record = frame.decode()?;
        let Some(sent) = record.message().copied() else {
            return Ok(Err("another record stands there".to_owned()));
        };
        if makes(Mistake::MessageUnchecked) {
            return Ok(Ok((sent, None)));
        }
        frame.check_seal(salt, sent.position)?;
        if (sent.queue, sent.seq) != (location.queue, location.seq) {
            let found = format!("message {} of queue {} stands there", sent.seq, sent.queue);
            return Ok(Err(found));
        }
        sent.check_payload()?;
        let dead_letter = match record {
            Record::Moved(moved) if moved.redrive.is_none() => Some(moved.into()),
            _ => None,
        };
        Ok(Ok((sent, dead_letter)))
    };
    check().unwrap_or_else(|error| Err(error.to_string()))
}

impl From<Moved<'_>> for DeadLetter {
    fn from(moved: Moved<'_>) -> Self {
        let Moved { origin_queue, origin_seq, sent, first_received, receive_count, .. } = moved;
        let (source, reason) = (moved.source.to_owned(), moved.reason.to_owned());
        Self { source, origin_queue, origin_seq, sent, first_received, receive_count, reason }
    }
}
