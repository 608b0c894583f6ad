//! What a damaged file may cost: it is made anew, or its end was torn, or the damage is reported with
//! its file; and every message that is not concerned is there, byte by byte, and comes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use forebay_engine::attributes::AttributeChanges;
use forebay_engine::command::{Command, MessageState, Reply};
use forebay_engine::disk::{Disk, DiskError, Random, SimDisk};
use forebay_engine::ids::Seq;
use forebay_engine::log::{Manifest, SEGMENT_HEADER_BYTES};
use forebay_engine::verify::{Outcome, VerifyReport, verify};
use forebay_engine::{OpenError, ReadError, SimClock, Store};

use super::answers::{Answers, Slot, ask};
use super::check::{Check, Tally};
use super::files::{DATA, open_with};
use super::model::Model;
use super::op::is_fifo;
use super::profile::Profile;
use super::shown::{ShownQueue, peek};

/// So many copies of one store are damaged.
const COPIES: usize = 6;

/// A block of the disk's damages.
const BLOCK_BYTES: u64 = 4096;

/// Damages copies of a closed store, each in one place, and judges what becomes of them.
pub(super) fn damage_copies(
    (disk, clock): (&SimDisk, &SimClock),
    profile: Profile,
    model: &Model,
    (seed, is_closed): (u64, bool),
    tally: &mut Tally,
) {
    let mut random = Random::new(seed);
    for _ in 0..COPIES {
        let copy = disk.fork();
        let Some(damage) = Damaged::draw(&copy, is_closed, &mut random) else { continue };
        let judge = Judge { damage: &damage, disk: &copy, clock: clock.fork(), profile, tally };
        judge.judge(model);
    }
}

/// One place that is not what was written.
struct Damaged {
    path: PathBuf,
    what: String,
    /// Whether it is in an entry: no byte of one may change unnoticed, whether anything needs it or not.
    is_in_entry: bool,
}

impl Damaged {
    /// Damages a file somewhere; `None` if the one that was drawn is empty. Of a store that was not closed
    /// only a bit: a whole block may take the watermark with what it vouches for, and that is how a torn end
    /// looks.
    fn draw(disk: &SimDisk, is_closed: bool, random: &mut Random) -> Option<Self> {
        let files = disk.files();
        let path = files[random.below(files.len())].clone();
        let bytes = disk.image(&path).ok()?;
        let size = bytes.len() as u64;
        if size == 0 {
            return None;
        }
        let blocks = size.div_ceil(BLOCK_BYTES) as usize;
        let dir = path.parent().expect("a file of the store lies in a directory");
        let mut is_in_entry = false;
        let done = match if is_closed { random.below(8) } else { 5 + random.below(3) } {
            0 => {
                let block = random.below(blocks) as u64;
                disk.zero_block(&path, block).map(|()| format!("block {block} zeroed"))
            }
            1 => {
                let (one, other) = (random.below(blocks) as u64, random.below(blocks) as u64);
                let swapped = disk.swap_blocks(&path, one, other);
                swapped.map(|()| format!("blocks {one} and {other} swapped"))
            }
            2 => {
                let kept = random.below(bytes.len());
                disk.put(&path, &bytes[..kept]).map(|()| format!("cut at byte {kept}"))
            }
            3 => disk.remove(&path).and_then(|()| disk.sync_dir(dir)).map(|()| "gone".to_owned()),
            4 => {
                // A write that went astray, or a file from a backup under another's name.
                let from = files[random.below(files.len())].clone();
                if random.coin() && from.extension() == path.extension() {
                    let copied = disk.image(&from).and_then(|bytes| disk.put(&path, &bytes));
                    copied.map(|()| format!("it is {}", from.display()))
                } else {
                    let block = random.below(blocks) as u64;
                    let copied = copy_block(disk, &from, &path, block);
                    copied.map(|()| format!("block {block} is that of {}", from.display()))
                }
            }
            // Half of the bits are flipped where something is written: much of a file is zeros.
            kind => {
                let written: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
                let byte = match kind < 7 && !written.is_empty() {
                    true => written[random.below(written.len())],
                    false => random.below(bytes.len()),
                } as u64;
                is_in_entry = bytes[byte as usize] != 0 && holds_entries(disk, &path, byte);
                let bit = random.below(8) as u8;
                let flipped = disk.flip_bit(&path, byte, bit);
                flipped.map(|()| format!("bit {bit} of byte {byte} flipped"))
            }
        };
        let what = format!("{}: {}", path.display(), done.expect("the place is in the file"));
        Some(Self { path, what, is_in_entry })
    }
}

/// Whether a byte that is not zero is one of an entry.
fn holds_entries(disk: &SimDisk, path: &Path, byte: u64) -> bool {
    let manifest = disk.image(Path::new(DATA).join("MANIFEST")).expect("a store has one");
    let manifest = Manifest::decode(&manifest).expect("nothing is damaged yet");
    manifest.segments.iter().any(|listed| {
        let is_it = path.ends_with(listed.name().to_string());
        let is_before_end = listed.sealed.is_none_or(|sealed| byte < sealed.bytes);
        is_it && is_before_end && byte >= SEGMENT_HEADER_BYTES
    })
}

/// The block of one file in the place of the other's, as far as both have it.
fn copy_block(disk: &SimDisk, from: &Path, to: &Path, block: u64) -> Result<(), DiskError> {
    let (from, mut bytes) = (disk.image(from)?, disk.image(to)?);
    let start = (block * BLOCK_BYTES) as usize;
    let end = (start + BLOCK_BYTES as usize).min(bytes.len()).min(from.len());
    if start < end {
        bytes[start..end].copy_from_slice(&from[start..end]);
    }
    disk.put(to, &bytes)
}

/// A message as the damaged store gives it: its state and body, or none where the damage is.
type Given = Option<(MessageState, u32, Bytes)>;

struct Judge<'r> {
    damage: &'r Damaged,
    disk: &'r SimDisk,
    clock: SimClock,
    profile: Profile,
    tally: &'r mut Tally,
}

impl Judge<'_> {
    #[track_caller]
    fn holds(&mut self, is_held: bool, otherwise: impl FnOnce() -> String) {
        let what = &self.damage.what;
        self.tally.holds(Check::DamageIsReported, is_held, || format!("{what}: {}", otherwise()));
    }

    fn judge(mut self, model: &Model) {
        let report = verify(self.disk, DATA.as_ref(), &mut |_| {});
        let opened = open_with(self.disk, &self.clock, self.profile.options());
        let outcome = match (opened, report) {
            (Ok(store), Ok(report)) => self.judge_opened(store, &report, model),
            (Err(error), report) => {
                self.judge_refused(&error, report);
                "refused, with the file"
            }
            (Ok(_), Err(error)) => {
                self.holds(false, || format!("it opened, but verify says {error}"));
                unreachable!("what does not hold ends the run")
            }
        };
        *self.tally.damages.entry(outcome).or_default() += 1;
    }

    /// A store that is not opened says which file is to blame, and `verify` agrees.
    fn judge_refused(&mut self, error: &OpenError, report: Result<VerifyReport, OpenError>) {
        let text = error.to_string();
        let names_it = match error {
            // What a damaged list of segments says of them is seen at the segments.
            OpenError::Damaged(damage) => damage.path.starts_with(DATA),
            _ => self
                .damage
                .path
                .file_name()
                .is_some_and(|name| text.contains(&*name.to_string_lossy())),
        };
        self.holds(names_it, || format!("it is refused with \"{text}\""));
        let agrees = match report {
            Ok(report) => matches!(report.outcome, Outcome::Damaged(_)),
            Err(_) => true,
        };
        self.holds(agrees, || format!("it is refused with \"{text}\", and verify finds nothing"));
    }

    fn judge_opened(
        &mut self,
        mut store: Store<Slot>,
        report: &VerifyReport,
        model: &Model,
    ) -> &'static str {
        let mut answers = Answers::default();
        let shown = model.show(store.now());
        let mut hidden = 0;
        for (name, expected) in &shown {
            let found = self.contents(&mut store, &mut answers, name);
            let unreadable = self.compare(name, expected, &found);
            if unreadable > 0 {
                let is_reported = matches!(&report.outcome, Outcome::Damaged(_));
                self.holds(is_reported, || {
                    format!("{unreadable} messages of {name} are damaged, and verify says {report}")
                });
            }
            hidden += unreadable;
        }
        let is_noticed = report.outcome != Outcome::Clean || !report.spoiled.is_empty();
        self.holds(is_noticed || !self.damage.is_in_entry, || {
            format!("it is in an entry, and verify says {report}")
        });
        for (name, expected) in &shown {
            self.drain(&mut store, &mut answers, name, expected);
        }
        match (&report.outcome, hidden) {
            (_, 1..) => "reported at the message, the others delivered",
            (Outcome::Damaged(_), _) => "found by verify, all that is there delivered",
            (Outcome::TornTail { .. }, _) => "a torn end, everything delivered",
            (Outcome::Clean, _) if !report.spoiled.is_empty() => "made anew, everything delivered",
            (Outcome::Clean, _) => "harmless, everything delivered",
        }
    }

    /// Each message of a queue, as far as the damage lets it be read.
    fn contents(
        &mut self,
        store: &mut Store<Slot>,
        answers: &mut Answers,
        name: &str,
    ) -> BTreeMap<u64, Given> {
        let mut messages = BTreeMap::new();
        let (mut from, mut stuck) = (Some(Seq(1)), 0);
        while let Some(seq) = from {
            let page = ask(store, answers, peek(name, seq, 50));
            let Ok(Reply::Peeked { messages: peeked, next, .. }) = page else {
                self.holds(false, || format!("a peek of {name} is answered with {page:?}"));
                return messages;
            };
            // A block of an index is looked at when it is needed; what a bad one hides is there when it
            // was made anew.
            if peeked.is_empty() && next == Some(seq) {
                stuck += 1;
                self.holds(stuck < 4, || format!("a peek of {name} does not get behind {seq}"));
                keep(store);
            }
            for message in peeked {
                let given = match store.read(&message.location) {
                    Ok(read) => Some((message.state, message.receive_count, read.payload)),
                    Err(ReadError::Damaged(damage)) => {
                        self.is_there(&damage.path, &damage.to_string());
                        None
                    }
                    Err(ReadError::Disk(error)) => panic!("no fault is planned: {error}"),
                };
                messages.insert(message.seq.0, given);
            }
            from = next;
        }
        messages
    }

    /// Damage is reported in the file that was damaged, and nowhere else.
    fn is_there(&mut self, path: &Path, text: &str) {
        let stem = |path: &Path| path.with_extension("");
        // What a broken index hides of a broken segment is reported at the segment.
        let is_there = stem(path) == stem(&self.damage.path);
        self.holds(is_there, || format!("damage is reported elsewhere: {text}"));
    }

    /// What is readable is what was there; how much is not.
    fn compare(
        &mut self,
        name: &str,
        expected: &ShownQueue,
        found: &BTreeMap<u64, Given>,
    ) -> usize {
        let missing: Vec<_> =
            expected.messages.keys().filter(|seq| !found.contains_key(seq)).collect();
        self.holds(missing.is_empty(), || format!("{name} lacks {missing:?}"));
        let mut unreadable = 0;
        for (seq, given) in found {
            let Some(shown) = expected.messages.get(seq) else {
                self.holds(false, || format!("{name} has message {seq}, which is gone"));
                continue;
            };
            match given {
                None => unreadable += 1,
                Some(given) => {
                    let expected = (shown.state, shown.receive_count, shown.body.clone());
                    self.holds(*given == expected, || {
                        format!("message {seq} of {name} is {given:?}, expected {expected:?}")
                    });
                }
            }
        }
        unreadable
    }

    /// What waits comes, whatever became of the others.
    fn drain(
        &mut self,
        store: &mut Store<Slot>,
        answers: &mut Answers,
        name: &str,
        expected: &ShownQueue,
    ) {
        let open = AttributeChanges {
            receive_count_max: Some(0),
            dead_letter_queue: Some(String::new()),
            in_flight_max: Some(120_000),
            ..AttributeChanges::default()
        };
        let alter = Command::AlterQueue { name: name.to_owned(), attributes: open.into() };
        let altered = ask(store, answers, alter);
        self.holds(altered == Ok(Reply::Altered), || format!("{name}: {altered:?}"));
        let mut came = BTreeSet::new();
        loop {
            let receive = Command::Receive {
                queue: name.to_owned(),
                max: 10,
                wait_ms: Some(0),
                visibility_ms: Some(3_600_000),
                bytes_max: u64::MAX,
                attempt: None,
            };
            let answer = ask(store, answers, receive);
            let Ok(Reply::Received { deliveries, .. }) = answer else {
                self.holds(false, || format!("a receive from {name}: {answer:?}"));
                return;
            };
            if deliveries.is_empty() {
                break;
            }
            for delivery in &deliveries {
                let seq = delivery.seq.0;
                let shown = expected.messages.get(&seq);
                let is_good = match store.read(&delivery.location) {
                    Ok(read) => shown.is_some_and(|shown| shown.body == read.payload),
                    Err(_) => shown.is_some(),
                };
                self.holds(is_good, || format!("message {seq} of {name} came, and is not it"));
                came.insert(seq);
            }
        }
        let is_waiting = |state: MessageState| matches!(state, MessageState::Waiting);
        let waiting = expected.messages.iter().filter(|(_, shown)| is_waiting(shown.state));
        let stuck: Vec<_> =
            waiting.map(|(seq, _)| *seq).filter(|seq| !came.contains(seq)).collect();
        // In a FIFO queue a message may wait for one of its group.
        self.holds(stuck.is_empty() || is_fifo(name), || format!("{stuck:?} of {name} stay"));
    }
}

/// Lets everything be done that is done beside the log.
fn keep(store: &mut Store<Slot>) {
    for _ in 0..1000 {
        store.commit().expect("no fault is planned");
        if !store.keep().expect("no fault is planned") {
            return;
        }
    }
    panic!("the keeper never comes to an end");
}
