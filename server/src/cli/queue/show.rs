//! A queue as it is shown.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use forebay_engine::attributes::RETENTION_MS_MAX;
use forebay_protocol::{AttributeRow, QueueAttributes, QueueInfo, TextMap};
use serde::Serialize;
use serde_json::Value;

use super::attributes::{FOREVER, SWITCHES, words};
use crate::byte_size::ByteSize;
use crate::cli::output::json_line;

/// The first moment after the year 9999, in ms since 1970.
const YEAR_10000_MS: u64 = 253_402_300_800_000;

/// A queue as `--json` shows it.
#[derive(Serialize)]
struct QueueJson<'a> {
    name: &'a str,
    queue_id: u32,
    created_ms: u64,
    modified_ms: u64,
    waiting: u64,
    in_flight: u64,
    delayed: u64,
    damaged: u64,
    next_seq: u64,
    attributes: BTreeMap<&'static str, Value>,
}

pub(super) fn json(queue: &QueueInfo) -> String {
    let json = QueueJson {
        name: &queue.name,
        queue_id: queue.queue_id,
        created_ms: queue.created_ms,
        modified_ms: queue.modified_ms,
        waiting: queue.waiting,
        in_flight: queue.in_flight,
        delayed: queue.delayed,
        damaged: queue.damaged,
        next_seq: queue.next_seq,
        attributes: json_attributes(&queue.attributes),
    };
    json_line(&json)
}

/// Quantities as numbers, words as words.
fn json_attributes(attributes: &QueueAttributes) -> BTreeMap<&'static str, Value> {
    let numbers = attributes.values().map(|(row, value)| {
        let word = value.and_then(|value| word(row, value));
        let value = match word {
            Some(word) if SWITCHES.contains(&word) => Value::from(word == "true"),
            Some(word) => word.into(),
            None => value.into(),
        };
        (row.name, value)
    });
    let QueueAttributes { dead_letter_queue, redrive_sources, tags, notes, .. } = attributes;
    let map = |map: &Option<TextMap>| serde_json::json!(map);
    let texts = [
        ("dead_letter_queue", dead_letter_queue.as_deref().into()),
        ("redrive_sources", redrive_sources.clone().into()),
        ("tags", map(tags)),
        ("notes", map(notes)),
    ];
    numbers.chain(texts).collect()
}

fn word(row: &AttributeRow, value: u64) -> Option<&'static str> {
    words(row.name)?.get(usize::try_from(value).ok()?).copied()
}

pub(super) fn text(queue: &QueueInfo) -> String {
    let date = |ms: u64| {
        // A date has four digits for the year.
        let time = UNIX_EPOCH + Duration::from_millis(ms.min(YEAR_10000_MS - 1));
        humantime::format_rfc3339_seconds(time).to_string()
    };
    let mut lines = vec![
        ("name".to_owned(), queue.name.clone()),
        ("waiting".to_owned(), queue.waiting.to_string()),
        ("in flight".to_owned(), queue.in_flight.to_string()),
        ("delayed".to_owned(), queue.delayed.to_string()),
        ("damaged".to_owned(), queue.damaged.to_string()),
    ];
    for (row, value) in queue.attributes.values() {
        let name = row.name.strip_suffix("_ms").unwrap_or(row.name).replace('_', " ");
        lines.push((name, value.map_or("?".to_owned(), |value| number(row, value))));
    }
    let QueueAttributes { dead_letter_queue, redrive_sources, tags, notes, .. } = &queue.attributes;
    let texts = [
        ("dead letter queue", dead_letter_queue.clone()),
        ("redrive sources", redrive_sources.as_ref().map(|names| names.join(", "))),
        ("tags", tags.as_ref().map(pairs)),
        ("notes", notes.as_ref().map(pairs)),
    ];
    for (name, value) in texts {
        let value = match value.as_deref() {
            None => "?",
            Some("") => "none",
            Some(value) => value,
        };
        lines.push((name.to_owned(), value.to_owned()));
    }
    lines.extend([
        ("next seq".to_owned(), queue.next_seq.to_string()),
        ("created".to_owned(), date(queue.created_ms)),
        ("modified".to_owned(), date(queue.modified_ms)),
    ]);
    let lines: Vec<_> =
        lines.into_iter().map(|(name, value)| format!("{name:<29}{value}")).collect();
    lines.join("\n")
}

/// A number as people read it.
fn number(row: &AttributeRow, value: u64) -> String {
    match row.name {
        "retention_ms" if value == RETENTION_MS_MAX => FOREVER.to_owned(),
        "message_bytes_max" => ByteSize(value).to_string(),
        "receive_count_max" if value == 0 => "none".to_owned(),
        name if name.ends_with("_ms") => {
            humantime::format_duration(Duration::from_millis(value)).to_string()
        }
        _ => word(row, value).map_or_else(|| value.to_string(), str::to_owned),
    }
}

fn pairs(map: &TextMap) -> String {
    map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}
