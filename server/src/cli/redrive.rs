//! `forebay redrive`: moves the messages of a dead-letter queue back.

use clap::{Args, Subcommand};
use forebay_protocol::client::ClientError;
use forebay_protocol::{ErrorCode, REDRIVE_RATE_MAX, RedriveId, RedriveInfo, RedriveState};
use serde::Serialize;

use super::connect::Connect;
use super::failure::Failure;
use super::output::{Output, json_line};

/// Move the messages of a dead-letter queue back to where they came from
#[derive(Debug, Args)]
#[command(after_help = "Example: forebay redrive start dead\n         \
                        forebay redrive list dead")]
pub(super) struct Redrive {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start to move what is in a dead-letter queue now, the oldest first
    ///
    /// The server goes on by itself, also after a restart. Each message goes back to the queue that it
    /// came from; it is a new message there, received 0 times. Messages that somebody has received,
    /// or whose delay has not passed, are left unless they become visible meanwhile. Without --to,
    /// those that were sent to the dead-letter queue itself are left too; list says how many. The queue
    /// must be the --dead-letter-queue of at least one that exists; from any other, forebay forward moves
    /// messages.
    #[command(after_help = "Example: forebay redrive start dead\n\
                            Example: forebay redrive start dead --to orders --rate 100")]
    Start {
        /// The dead-letter queue's name
        queue: String,
        /// Move all messages to this queue
        #[arg(long, value_name = "QUEUE", default_value = "", hide_default_value = true)]
        to: String,
        /// At most so many messages a second; default: no limit
        #[arg(long, value_name = "N", value_parser = rate)]
        rate: Option<u32>,
        #[command(flatten)]
        connect: Connect,
    },
    /// List the redrives of a queue, the newest first: the one that runs, and the last ten that ended
    #[command(after_help = "Example: forebay redrive list dead --json")]
    List {
        /// The dead-letter queue's name
        queue: String,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connect: Connect,
    },
    /// End a redrive; what it has moved stays moved
    #[command(after_help = "Example: forebay redrive cancel 2-1")]
    Cancel {
        /// The redrive, as start and list show it
        #[arg(value_name = "REDRIVE")]
        redrive: RedriveId,
        #[command(flatten)]
        connect: Connect,
    },
}

/// A redrive as `--json` shows it.
#[derive(Serialize)]
struct RedriveJson<'a> {
    redrive: String,
    state: &'static str,
    source: &'a str,
    /// Absent: each message goes to the queue that it came from.
    #[serde(skip_serializing_if = "str::is_empty")]
    destination: &'a str,
    /// Messages a second; absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u32>,
    moved: u64,
    to_move: u64,
    started_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_ms: Option<u64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
}

impl Redrive {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut output = Output::new();
        match self.action {
            Action::Start { queue, to, rate, connect } => {
                let client = connect.open().await?;
                let started = client.start_redrive(&queue, &to, rate.unwrap_or(0)).await;
                let started = started.map_err(|error| refused(error, &queue, &to))?;
                let (redrive, to_move) = (RedriveId(started.redrive), started.to_move);
                output.write_line(format!("redrive {redrive} started, messages: {to_move}"))
            }
            Action::List { queue, json, connect } => {
                let redrives = connect.open().await?.list_redrives(&queue).await?;
                let line = |redrive| if json { shown_json(redrive) } else { shown(redrive) };
                redrives.iter().map(line).try_for_each(|line| output.write_line(line))
            }
            Action::Cancel { redrive, connect } => {
                let moved = connect.open().await?.cancel_redrive(redrive).await?;
                output.write_line(format!("redrive {redrive} cancelled, moved: {moved}"))
            }
        }
    }
}

/// Why there is no redrive, and what can be done instead.
fn refused(error: ClientError, queue: &str, to: &str) -> Failure {
    match &error {
        ClientError::Refused(refusal) if refusal.code == ErrorCode::NotDeadLetterQueue => {
            let to = if to.is_empty() { "QUEUE" } else { to };
            Failure::because(format!(
                "{error}; to move its messages to another queue: forebay forward {queue} {to}"
            ))
        }
        _ => error.into(),
    }
}

fn rate(text: &str) -> Result<u32, String> {
    let rate = text.parse().ok().filter(|rate| (1..=REDRIVE_RATE_MAX).contains(rate));
    rate.ok_or_else(|| {
        format!(
            "expected messages a second, 1 to {REDRIVE_RATE_MAX}; without --rate there is no limit"
        )
    })
}

fn word(state: RedriveState) -> &'static str {
    match state {
        RedriveState::Running => "running",
        RedriveState::Completed => "completed",
        RedriveState::Cancelled => "cancelled",
        RedriveState::Failed => "failed",
    }
}

fn shown(redrive: &RedriveInfo) -> String {
    let (id, state) = (RedriveId(redrive.redrive), word(redrive.state));
    let RedriveInfo { moved, to_move, .. } = redrive;
    let to = match &*redrive.destination {
        "" => "where they came from",
        destination => destination,
    };
    let mut line = format!("{id}\t{state}\t{moved} of {to_move} moved\tto {to}");
    if redrive.rate > 0 {
        line.push_str(&format!("\tat most {} a second", redrive.rate));
    }
    if !redrive.reason.is_empty() {
        line.push_str(&format!("\t{}", redrive.reason));
    }
    line
}

fn shown_json(redrive: &RedriveInfo) -> String {
    let json = RedriveJson {
        redrive: RedriveId(redrive.redrive).to_string(),
        state: word(redrive.state),
        source: &redrive.source,
        destination: &redrive.destination,
        rate: Some(redrive.rate).filter(|rate| *rate > 0),
        moved: redrive.moved,
        to_move: redrive.to_move,
        started_ms: redrive.started_ms,
        ended_ms: Some(redrive.ended_ms).filter(|ms| *ms > 0),
        reason: &redrive.reason,
    };
    json_line(&json)
}
