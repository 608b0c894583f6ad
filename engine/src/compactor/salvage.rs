//! Making a segment's index anew, also of one that is damaged: a record proves itself, so those
//! around the damage are found again.

use crate::core::{sent_at, sent_slots, slot_ms};
use crate::disk::DiskError;
use crate::entry::{ENTRY_ALIGN, ENTRY_HEADER_BYTES, EntryHeader};
use crate::error::Damage;
use crate::index::{HeapIndex, Indexed, Slot};
use crate::log::proven::{Proven, Whose, proven};
use crate::log::scan::{Scan, Step};
use crate::record::{Record, Sent};
use crate::time::LogTime;
use crate::upkeep::SealedSegment;

/// As much of a damaged extent is searched for records; more than the largest entry.
const SEARCHED_BYTES_MAX: u64 = 32 << 20;

/// What was found in a segment.
#[derive(Debug, Default)]
pub(crate) struct Salvage {
    /// Every message whose record proves itself; of its payload nothing is known.
    pub(crate) index: HeapIndex,
    /// The extents in which no record does.
    pub(crate) damage: Vec<Damage>,
}

/// Where a scan stopped, and where it goes on.
struct Stopped {
    offset: u64,
    end: u64,
    /// The entry's header, if that is whole.
    header: Option<EntryHeader>,
    cause: String,
}

/// Reads a sealed segment from front to back. Fails only if the disk does.
pub(crate) fn salvage(sealed: &SealedSegment) -> Result<Salvage, DiskError> {
    let mut salvage = Salvage::default();
    let mut log_time = sealed.segment.created;
    let mut scan = Scan::of_sealed(&sealed.segment, sealed.bytes);
    while scan.offset() < sealed.bytes {
        let (stopped, expected) = match scan.step()? {
            Step::Entry { offset, header, body } => {
                log_time = header.log_time;
                salvage.add_entry(sealed, offset, &header, body);
                continue;
            }
            Step::Stop { offset, expected, header, cause } => {
                let end = header.map(|header| offset + header.bytes());
                (
                    Stopped { offset, end: end.unwrap_or(0), header, cause: cause.to_string() },
                    expected,
                )
            }
        };
        let (end, next) = match stopped.header {
            Some(header) => (stopped.end, header.position.next()),
            None => scan.look_behind()?.next.unwrap_or((sealed.bytes, expected)),
        };
        salvage.search(sealed, &Stopped { end, ..stopped }, log_time)?;
        scan.resume(end, next);
    }
    Ok(salvage)
}

impl Salvage {
    fn add_entry(
        &mut self,
        sealed: &SealedSegment,
        offset: u64,
        header: &EntryHeader,
        body: &[u8],
    ) {
        let mut control_bytes = body.len();
        let times = (header.log_time, sealed.segment.created);
        for message in sent_slots(offset, times, body) {
            control_bytes -= message.slot.bytes as usize;
            self.add(message);
        }
        self.index.add_control(control_bytes as u64);
    }

    /// By chance a seal may be right where no record was written, or a block stand where one of another entry
    /// was: numbers ascend, so what comes behind a greater one is left out.
    fn add(&mut self, message: Indexed) {
        if self.index.row(message.queue).is_none_or(|row| row.last < message.seq) {
            self.index.add(message);
        }
    }

    /// Looks for records that prove themselves where no valid entry is.
    fn search(
        &mut self,
        sealed: &SealedSegment,
        stopped: &Stopped,
        log_time: LogTime,
    ) -> Result<(), DiskError> {
        let segment = &sealed.segment;
        let position = stopped.header.map(|header| header.position);
        let log_time = stopped.header.map_or(log_time, |header| header.log_time);
        let begin = match position {
            Some(_) => stopped.offset + ENTRY_HEADER_BYTES as u64,
            None => stopped.offset,
        };
        let count = (stopped.end - begin).min(SEARCHED_BYTES_MAX);
        let mut bytes = vec![0; count as usize];
        let read = segment.file.read_at(begin, &mut bytes)?;
        bytes.truncate(read);
        // Where the entry's position is not known, one that has a message says it itself.
        let whose = match position {
            Some(position) => Whose::Entry(position),
            None => Whose::Any,
        };
        let (mut at, mut behind) = (0, 0);
        let mut messages = Vec::new();
        while at < bytes.len() {
            let found = proven(&bytes[at..], segment.salt, &whose);
            let Some(Proven { record, bytes: size, .. }) = found else {
                at += 1;
                continue;
            };
            self.add_hole(sealed, stopped, begin + behind as u64, begin + at as u64);
            if let Some(sent) = record.message() {
                let is_rotten = sent.check_payload().is_err();
                let slot = Slot {
                    offset: u32::try_from(begin + at as u64).expect("a segment is at most 4 GiB"),
                    bytes: u32::try_from(size).expect("a record is at most 4 GiB"),
                    sent_ms: slot_ms(sent_at(&record, log_time), segment.created),
                    // Rotten attributes say nothing.
                    group: if is_rotten { 0 } else { sent.group().0 },
                };
                let is_moved = matches!(record, Record::Moved(_));
                let Sent { queue, seq, .. } = *sent;
                messages.push((is_rotten, Indexed { queue, seq, slot, is_moved }));
            }
            at += size;
            behind = at;
        }
        // Blocks of an entry may stand where others were, or twice: of two the whole one counts.
        messages.sort_by_key(|(is_rotten, message)| (message.queue, message.seq, *is_rotten));
        messages.into_iter().for_each(|(_, message)| self.add(message));
        let is_padding = bytes.len() - behind < ENTRY_ALIGN
            && bytes[behind..].iter().all(|byte| *byte == 0)
            && begin + bytes.len() as u64 == stopped.end;
        if !is_padding {
            self.add_hole(sealed, stopped, begin + behind as u64, stopped.end);
        }
        Ok(())
    }

    fn add_hole(&mut self, sealed: &SealedSegment, stopped: &Stopped, from: u64, to: u64) {
        if from < to {
            self.damage.push(Damage {
                path: sealed.segment.path.clone(),
                offset: from,
                bytes: to - from,
                position: stopped.header.map(|header| header.position),
                detail: stopped.cause.clone(),
            });
        }
    }
}
