//! A queue's attributes as options, and the words for those that are no quantities.

use clap::Args;
use forebay_engine::attributes::RETENTION_MS_MAX;
use forebay_protocol::QueueAttributes;

use crate::byte_size::ByteSize;
use crate::cli::quantity::{count, duration_ms};

/// Attributes as options.
#[derive(Debug, Args)]
pub(super) struct Attributes {
    /// How long a received message is invisible to others, 0s to 12h
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    visibility_timeout: Option<u64>,
    /// How long a sent message waits before its first delivery, 0s to 36500d
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    delay: Option<u64>,
    /// How long a receive waits when nothing is there, 0s to 20s
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    receive_wait: Option<u64>,
    /// The largest message, 1KiB to 16MiB
    #[arg(long, value_name = "SIZE")]
    message_bytes_max: Option<ByteSize>,
    /// How long a message is kept: 1m to 36500d, or forever
    #[arg(long, value_name = "DURATION", value_parser = retention)]
    retention: Option<u64>,
    /// The most messages in flight at once, 1 to 100000000
    #[arg(long, value_name = "COUNT", value_parser = count)]
    in_flight_max: Option<u64>,
    /// When a send is answered: when it is synced to the disk, or when the system has it
    #[arg(long, value_parser = DURABILITIES)]
    durability: Option<String>,
    /// The queue that gets the dead letters, with --receive-count-max; an empty name removes it
    #[arg(long, value_name = "QUEUE")]
    dead_letter_queue: Option<String>,
    /// How often a message is received before it is a dead letter, 1 to 1000
    #[arg(long, value_name = "COUNT", value_parser = count)]
    receive_count_max: Option<u64>,
    /// Whose dead-letter queue this may be: of every queue, of none, or of each --redrive-source
    #[arg(long, value_parser = PERMISSIONS)]
    redrive_permission: Option<String>,
    /// A queue that by-queue permits; may be given up to 10 times, and replaces those before
    #[arg(long = "redrive-source", value_name = "QUEUE")]
    redrive_sources: Vec<String>,
    /// FIFO: a message sent without a deduplication id has its body's digest for one
    #[arg(long, value_name = "BOOL", value_parser = SWITCHES)]
    #[arg(num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    content_based_deduplication: Option<String>,
    /// FIFO: where a deduplication id counts
    #[arg(long, value_parser = EXTENTS)]
    deduplication_scope: Option<String>,
    /// FIFO: kept for SQS, limits nothing; group only with --deduplication-scope group
    #[arg(long, value_parser = EXTENTS)]
    fifo_throughput_limit: Option<String>,
    /// FIFO: how long a deduplication id is remembered, 5m to 7d
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    deduplication_window: Option<u64>,
    /// A tag; may be given up to 50 times, and replaces those before; '' removes all. To add one:
    /// queue tag
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = pair_or_none)]
    tags: Vec<Option<(String, String)>>,
    /// What a front door such as the SQS endpoint keeps; replaces all that was noted before; ''
    /// removes it
    #[arg(long = "note", value_name = "KEY=VALUE", value_parser = pair_or_none)]
    notes: Vec<Option<(String, String)>>,
}

/// Words, in the order of the numbers that stand for them.
pub(super) const SWITCHES: [&str; 2] = ["false", "true"];
const EXTENTS: [&str; 2] = ["queue", "group"];
const DURABILITIES: [&str; 2] = ["sync", "written"];
const PERMISSIONS: [&str; 3] = ["all", "none", "by-queue"];

/// What is said of a retention without end.
pub(super) const FOREVER: &str = "forever";

/// The words for an attribute's numbers; `None` if it is a quantity.
pub(super) fn words(attribute: &str) -> Option<&'static [&'static str]> {
    match attribute {
        "fifo" | "content_based_deduplication" => Some(&SWITCHES),
        "deduplication_scope" | "fifo_throughput_limit" => Some(&EXTENTS),
        "durability" => Some(&DURABILITIES),
        "redrive_permission" => Some(&PERMISSIONS),
        _ => None,
    }
}

/// The number that a word stands for.
fn number(words: &[&str], word: &str) -> u64 {
    let at = words.iter().position(|known| *known == word);
    at.expect("clap lets no other word through") as u64
}

impl Attributes {
    /// Those that were given, and what goes without saying beside them.
    pub(super) fn given(&self) -> QueueAttributes {
        let word = |given: &Option<String>, words| given.as_deref().map(|word| number(words, word));
        // No dead-letter queue is no count either.
        let removed = self.dead_letter_queue.as_deref().filter(|name| name.is_empty());
        let redrive_permission = word(&self.redrive_permission, &PERMISSIONS);
        let by_queue = number(&PERMISSIONS, "by-queue");
        let sources_end = redrive_permission.is_some_and(|permission| permission != by_queue);
        let sources_given = sources_end || !self.redrive_sources.is_empty();
        let map = |pairs: &[Option<(String, String)>]| {
            (!pairs.is_empty()).then(|| pairs.iter().flatten().cloned().collect())
        };
        QueueAttributes {
            visibility_timeout_ms: self.visibility_timeout,
            delay_ms: self.delay,
            receive_wait_ms: self.receive_wait,
            message_bytes_max: self.message_bytes_max.map(|size| size.0),
            retention_ms: self.retention,
            in_flight_max: self.in_flight_max,
            receive_count_max: self.receive_count_max.or(removed.map(|_| 0)),
            fifo: None,
            content_based_deduplication: word(&self.content_based_deduplication, &SWITCHES),
            deduplication_scope: word(&self.deduplication_scope, &EXTENTS),
            fifo_throughput_limit: word(&self.fifo_throughput_limit, &EXTENTS),
            deduplication_window_ms: self.deduplication_window,
            durability: word(&self.durability, &DURABILITIES),
            redrive_permission,
            dead_letter_queue: self.dead_letter_queue.clone(),
            redrive_sources: sources_given.then(|| self.redrive_sources.clone()),
            tags: map(&self.tags),
            notes: map(&self.notes),
        }
    }
}

fn retention(text: &str) -> Result<u64, String> {
    match text {
        FOREVER => Ok(RETENTION_MS_MAX),
        _ => duration_ms(text).map_err(|error| format!("{error}, or {FOREVER}")),
    }
}

/// A key and a value.
pub(super) fn pair(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err("expected a key, = and a value: team=water"),
    }
}

/// The same, or nothing: who gives nothing else has none left.
fn pair_or_none(text: &str) -> Result<Option<(String, String)>, String> {
    match text {
        "" => Ok(None),
        _ => match pair(text) {
            Ok(pair) => Ok(Some(pair)),
            Err(expected) => Err(format!("{expected}, or '' for none")),
        },
    }
}
