//! `forebay peek`: shows messages without receiving them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use forebay_protocol::MessageState;
use forebay_protocol::client::PeekOptions;

use super::connect::Connect;
use super::failure::Failure;
use super::message_json;
use super::output::Output;
use super::quantity::{count, duration_ms};
use super::say::say;
use super::told::say_reasons;

/// Show messages without receiving them
///
/// Bodies go to stdout, one a line, in the order in which they were sent: waiting, delayed and in
/// flight alike. With --json one object a line tells them apart. To look at dead letters, peek at the
/// queue that gets them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay peek orders --state in-flight --since 10m --max 3 --json")]
pub(super) struct Peek {
    /// The queue's name
    queue: String,
    /// At most this many messages; 0: all
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = count)]
    max: u64,
    /// Begin at this message's number
    #[arg(long, value_name = "SEQ", default_value_t = 1, value_parser = count)]
    from: u64,
    /// Only messages that were sent so long ago or later
    #[arg(long, value_name = "DURATION", conflicts_with = "from", value_parser = duration_ms)]
    since: Option<u64>,
    /// Only messages in this state; may be given more than once
    #[arg(long = "state", value_name = "STATE")]
    states: Vec<State>,
    /// Only messages of this group
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    group: String,
    /// One JSON object a line, with id, state, times, counts, reason, group, attributes, and a dead
    /// letter's source
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// Where a message is in its life.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum State {
    Waiting,
    InFlight,
    Delayed,
}

/// Messages asked for at once.
const PAGE_MESSAGES: u64 = 256;

impl Peek {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.connect.open().await?;
        let mut output = Output::new();
        let mut left = if self.max == 0 { u64::MAX } else { self.max };
        let mut options = self.options();
        let mut damaged = 0;
        while left > 0 {
            options.max = u32::try_from(left.min(PAGE_MESSAGES)).expect("a page fits a u32");
            let page = client.peek(&self.queue, options.clone()).await?;
            let json = |message| message_json::peeked(client.store_id(), message);
            if self.json {
                let lines: Vec<_> = page.messages.iter().map(json).collect();
                output.write_lines(lines.iter().map(String::as_bytes))?;
            } else {
                let bodies = page.messages.iter().map(|message| message.block.body().as_ref());
                output.write_lines(bodies)?;
            }
            if !self.json && output.is_terminal() {
                // A person will want to know; a program asks for --json.
                say_reasons(page.messages.iter().map(|message| (message.seq, &*message.reason)));
            }
            for message in &page.damaged {
                say(format_args!("forebay: {}", message.to_error(&self.queue)));
            }
            damaged += page.damaged.len();
            left -= page.messages.len() as u64;
            if page.next_seq == 0 {
                break;
            }
            options.from_seq = page.next_seq;
        }
        if damaged == 0 { Ok(()) } else { Err(Failure::Reported) }
    }

    fn options(&self) -> PeekOptions {
        let states = self.states.iter().map(|state| match state {
            State::Waiting => MessageState::Waiting,
            State::InFlight => MessageState::InFlight,
            State::Delayed => MessageState::Delayed,
        });
        PeekOptions {
            from_seq: self.from,
            states: states.collect(),
            since_ms: self.since.map_or(0, ms_before_now),
            group: self.group.clone(),
            ..PeekOptions::default()
        }
    }
}

/// The time so long ago, in milliseconds since 1970; at least 1, for 0 stands for all times.
fn ms_before_now(ago_ms: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.saturating_sub(Duration::from_millis(ago_ms)).as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}
