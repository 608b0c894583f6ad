//! `forebay queue`: creates, lists, shows, changes, purges and deletes queues.

use std::time::{Duration, UNIX_EPOCH};

use clap::{Args, Subcommand};
use forebay_protocol::{QueueAttributes, QueueInfo};
use serde::Serialize;

use super::connect::Connect;
use super::failure::Failure;
use super::output::Output;
use crate::byte_size::ByteSize;

/// Create, list, show, change, purge or delete queues
#[derive(Debug, Args)]
#[command(after_help = "Example: forebay queue create orders --visibility-timeout 1m")]
pub(super) struct Queue {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a queue; one that is there with the same attributes is fine
    #[command(
        after_help = "Not given, they are: --visibility-timeout 30s --delay 0s --receive-wait 0s \
                            --message-bytes-max 1MiB\n\n\
                            Example: forebay queue create orders --visibility-timeout 1m"
    )]
    Create {
        /// 1 to 80 characters of A-Z a-z 0-9 _ -
        name: String,
        #[command(flatten)]
        attributes: Attributes,
        #[command(flatten)]
        connect: Connect,
    },
    /// List queues, one a line: name, messages waiting, in flight, delayed
    #[command(after_help = "Example: forebay queue list --prefix orders")]
    List {
        /// Only names that begin so
        #[arg(long, default_value = "")]
        prefix: String,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show a queue's attributes and counts
    #[command(after_help = "Example: forebay queue show orders --json")]
    Show {
        /// The queue's name
        name: String,
        /// A JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connect: Connect,
    },
    /// Change attributes of a queue; those not given stay as they are
    #[command(after_help = "Example: forebay queue set orders --delay 5s")]
    #[command(group = clap::ArgGroup::new("changes")
        .args(["visibility_timeout", "delay", "receive_wait", "message_bytes_max"])
        .multiple(true)
        .required(true))]
    Set {
        /// The queue's name
        name: String,
        #[command(flatten)]
        attributes: Attributes,
        #[command(flatten)]
        connect: Connect,
    },
    /// Delete all messages of a queue
    #[command(after_help = "Example: forebay queue purge orders")]
    Purge {
        /// The queue's name
        name: String,
        #[command(flatten)]
        connect: Connect,
    },
    /// Delete a queue and its messages
    #[command(after_help = "Example: forebay queue delete orders")]
    Delete {
        /// The queue's name
        name: String,
        #[command(flatten)]
        connect: Connect,
    },
}

/// Attributes as options.
#[derive(Debug, Args)]
struct Attributes {
    /// How long a received message is invisible to others, 0s to 12h
    #[arg(long, value_name = "DURATION")]
    visibility_timeout: Option<humantime::Duration>,
    /// How long a sent message waits before its first delivery, 0s to 100 years
    #[arg(long, value_name = "DURATION")]
    delay: Option<humantime::Duration>,
    /// How long a receive waits when nothing is there, 0s to 20s
    #[arg(long, value_name = "DURATION")]
    receive_wait: Option<humantime::Duration>,
    /// The largest message, 1KiB to 16MiB
    #[arg(long, value_name = "SIZE")]
    message_bytes_max: Option<ByteSize>,
}

/// The first moment after the year 9999, in ms since 1970.
const YEAR_10000_MS: u64 = 253_402_300_800_000;

/// Queues listed at once.
const PAGE_QUEUES: u32 = 1000;

impl Queue {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut output = Output::new();
        match self.action {
            Action::Create { name, attributes, connect } => {
                let created = connect.open().await?.create_queue(&name, attributes.given()).await?;
                let what = if created.created { "created" } else { "exists" };
                output.write_line(format!("queue {name} {what}"))
            }
            Action::List { prefix, json, connect } => {
                list(&connect, &prefix, json, &mut output).await
            }
            Action::Show { name, json, connect } => {
                let queue = connect.open().await?.describe_queue(&name).await?;
                output.write_line(if json { to_json(&queue) } else { to_text(&queue) })
            }
            Action::Set { name, attributes, connect } => {
                connect.open().await?.alter_queue(&name, attributes.given()).await?;
                output.write_line(format!("queue {name} changed"))
            }
            Action::Purge { name, connect } => {
                let purged = connect.open().await?.purge_queue(&name).await?;
                output.write_line(format!("queue {name} purged of {purged} messages"))
            }
            Action::Delete { name, connect } => {
                connect.open().await?.delete_queue(&name).await?;
                output.write_line(format!("queue {name} deleted"))
            }
        }
    }
}

async fn list(
    connect: &Connect,
    prefix: &str,
    json: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let client = connect.open().await?;
    let mut after = String::new();
    loop {
        let page = client.list_queues(prefix, &after, PAGE_QUEUES).await?;
        for queue in &page.queues {
            let QueueInfo { name, waiting, in_flight, delayed, .. } = queue;
            output.write_line(if json {
                to_json(queue)
            } else {
                format!("{name}\t{waiting} waiting\t{in_flight} in flight\t{delayed} delayed")
            })?;
        }
        match page.queues.into_iter().next_back() {
            Some(last) if page.more => after = last.name,
            _ => return Ok(()),
        }
    }
}

impl Attributes {
    fn given(&self) -> QueueAttributes {
        let ms = |duration: humantime::Duration| {
            // Beyond any range, so that the server names the range.
            u64::try_from(duration.as_millis()).unwrap_or(u64::MAX - 1)
        };
        QueueAttributes {
            visibility_timeout_ms: self.visibility_timeout.map(ms),
            delay_ms: self.delay.map(ms),
            receive_wait_ms: self.receive_wait.map(ms),
            message_bytes_max: self.message_bytes_max.map(|size| size.0),
        }
    }
}

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
    attributes: std::collections::BTreeMap<&'static str, Option<u64>>,
}

fn to_json(queue: &QueueInfo) -> String {
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
        attributes: queue.attributes.values().map(|(row, value)| (row.name, value)).collect(),
    };
    serde_json::to_string(&json).expect("numbers and texts always have a JSON form")
}

fn to_text(queue: &QueueInfo) -> String {
    let duration = |ms: Option<u64>| match ms {
        Some(ms) => humantime::format_duration(Duration::from_millis(ms)).to_string(),
        None => "?".to_owned(),
    };
    let date = |ms: u64| {
        // A date has four digits for the year.
        let time = UNIX_EPOCH + Duration::from_millis(ms.min(YEAR_10000_MS - 1));
        humantime::format_rfc3339_seconds(time).to_string()
    };
    let attributes = &queue.attributes;
    let size = attributes.message_bytes_max.map(|bytes| ByteSize(bytes).to_string());
    [
        ("name", queue.name.clone()),
        ("waiting", queue.waiting.to_string()),
        ("in flight", queue.in_flight.to_string()),
        ("delayed", queue.delayed.to_string()),
        ("damaged", queue.damaged.to_string()),
        ("visibility timeout", duration(attributes.visibility_timeout_ms)),
        ("delay", duration(attributes.delay_ms)),
        ("receive wait", duration(attributes.receive_wait_ms)),
        ("largest message", size.unwrap_or_else(|| "?".to_owned())),
        ("next seq", queue.next_seq.to_string()),
        ("created", date(queue.created_ms)),
        ("modified", date(queue.modified_ms)),
    ]
    .map(|(name, value)| format!("{name:<20}{value}"))
    .join("\n")
}
