//! Reading one stored message by its location: from the tail cache when it is recent, else from
//! its segment's file. What is returned was verified: seal, identity, and the producer's checksum.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::{Bytes, BytesMut};

use super::names;
use super::segment::Segment;
use crate::checksum::Salt;
use crate::error::{Damage, ReadError};
use crate::ids::Position;
use crate::location::Location;
use crate::record::{Record, RecordError, RecordFrame, Sent};

/// A message as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// The producer's checksum; it was checked against the rest.
    pub checksum: u32,
    /// How many bytes of the payload are attributes.
    pub attributes_bytes: u32,
    /// Attributes, then the body.
    pub payload: Bytes,
}

/// Reads messages. Clones share the open files and the cache; any thread may read.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    data: PathBuf,
    segments: RwLock<BTreeMap<Position, Arc<Segment>>>,
    cache: Mutex<TailCache>,
}

impl Reader {
    pub(crate) fn new(data: &Path, cache_bytes_max: usize) -> Self {
        let cache = TailCache { bytes_max: cache_bytes_max, bytes: 0, entries: VecDeque::new() };
        let (data, segments) = (data.to_path_buf(), RwLock::default());
        Self { shared: Arc::new(Shared { data, segments, cache: Mutex::new(cache) }) }
    }

    /// Makes a segment readable.
    pub(crate) fn add_segment(&self, first: Position, segment: Segment) {
        let mut segments = self.shared.segments.write().unwrap_or_else(PoisonError::into_inner);
        segments.insert(first, Arc::new(segment));
    }

    /// Keeps an entry that was just written.
    pub(crate) fn keep(&self, segment: Position, offset: u64, entry: Bytes) {
        self.lock_cache().keep(segment, offset, entry);
    }

    /// The message, if it is in memory.
    pub(crate) fn read_hot(&self, location: &Location) -> Option<Result<StoredMessage, ReadError>> {
        let record = self.lock_cache().find(location)?;
        let segment = self.segment(location)?;
        Some(self.check(location, segment.salt, record))
    }

    /// The message, from memory or from its file. May wait for the disk.
    pub(crate) fn read(&self, location: &Location) -> Result<StoredMessage, ReadError> {
        if let Some(message) = self.read_hot(location) {
            return message;
        }
        let Some(segment) = self.segment(location) else {
            return Err(self.damage(location, "its segment is not open".to_owned()).into());
        };
        let mut record = BytesMut::zeroed(location.bytes as usize);
        let read = segment.file.read_at(u64::from(location.offset), &mut record)?;
        record.truncate(read);
        self.check(location, segment.salt, record.freeze())
    }

    fn segment(&self, location: &Location) -> Option<Arc<Segment>> {
        let segments = self.shared.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.get(&location.segment).cloned()
    }

    fn lock_cache(&self) -> std::sync::MutexGuard<'_, TailCache> {
        self.shared.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(
        &self,
        location: &Location,
        salt: Salt,
        record: Bytes,
    ) -> Result<StoredMessage, ReadError> {
        match parse(location, salt, &record) {
            Ok(sent) => Ok(StoredMessage {
                checksum: sent.checksum,
                attributes_bytes: sent.attributes_bytes,
                payload: record.slice_ref(sent.payload),
            }),
            Err(detail) => Err(self.damage(location, detail).into()),
        }
    }

    fn damage(&self, location: &Location, detail: String) -> Damage {
        Damage {
            path: names::segment(&self.shared.data, location.segment),
            offset: u64::from(location.offset),
            bytes: u64::from(location.bytes),
            position: None,
            detail: format!("message {} of queue {}: {detail}", location.seq, location.queue),
        }
    }
}

/// The record at a location, if it is whole, in its place, and the message meant.
fn parse<'a>(location: &Location, salt: Salt, bytes: &'a [u8]) -> Result<Sent<'a>, String> {
    let check = || -> Result<Result<Sent<'a>, String>, RecordError> {
        let (frame, _) = RecordFrame::split(bytes)?;
        let Record::Sent(sent) = frame.decode()? else {
            return Ok(Err("another record stands there".to_owned()));
        };
        frame.check_seal(salt, sent.position)?;
        if (sent.queue, sent.seq) != (location.queue, location.seq) {
            let found = format!("message {} of queue {} stands there", sent.seq, sent.queue);
            return Ok(Err(found));
        }
        sent.check_payload()?;
        Ok(Ok(sent))
    };
    check().unwrap_or_else(|error| Err(error.to_string()))
}

/// The newest entries, in memory until as many bytes of newer ones came.
#[derive(Debug)]
struct TailCache {
    bytes_max: usize,
    bytes: usize,
    /// (segment, offset, entry) in the order of writing.
    entries: VecDeque<(Position, u64, Bytes)>,
}

impl TailCache {
    fn keep(&mut self, segment: Position, offset: u64, entry: Bytes) {
        self.bytes += entry.len();
        self.entries.push_back((segment, offset, entry));
        while self.bytes > self.bytes_max {
            let Some((_, _, oldest)) = self.entries.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }

    /// A location's bytes, shared with the cached entry.
    fn find(&self, location: &Location) -> Option<Bytes> {
        let offset = u64::from(location.offset);
        let place = (location.segment, offset);
        let after = self.entries.partition_point(|(segment, at, _)| (*segment, *at) <= place);
        let (segment, at, entry) = self.entries.get(after.checked_sub(1)?)?;
        let start = usize::try_from(offset - at).ok()?;
        let end = start.checked_add(location.bytes as usize)?;
        (*segment == location.segment && end <= entry.len()).then(|| entry.slice(start..end))
    }
}
