//! `forebay peek`: shows messages without receiving them.

use super::connect::Connect;
use super::failure::Failure;
use super::message_json;
use super::output::Output;
use super::say::say;

/// Show messages without receiving them
///
/// Bodies go to stdout, one a line, in the order in which they were sent: waiting, delayed and in
/// flight alike. With --json one object a line tells them apart.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay peek orders --max 3 --json")]
pub(super) struct Peek {
    /// The queue's name
    queue: String,
    /// At most this many messages; 0: all
    #[arg(long, value_name = "N", default_value_t = 10)]
    max: u64,
    /// Begin at this message's number
    #[arg(long, value_name = "SEQ", default_value_t = 1)]
    from: u64,
    /// One JSON object a line, with id, state, times, counts, group, attributes, and a dead letter's
    /// source
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// Messages asked for at once.
const PAGE_MESSAGES: u64 = 256;

impl Peek {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.connect.open().await?;
        let mut output = Output::new();
        let mut left = if self.max == 0 { u64::MAX } else { self.max };
        let mut from_seq = self.from;
        let mut damaged = 0;
        while left > 0 {
            let max = u32::try_from(left.min(PAGE_MESSAGES)).expect("a page fits a u32");
            let page = client.peek(&self.queue, from_seq, max, 0).await?;
            let json = |message| message_json::peeked(client.store_id(), message);
            if self.json {
                let lines: Vec<_> = page.messages.iter().map(json).collect();
                output.write_lines(lines.iter().map(Vec::as_slice))?;
            } else {
                let bodies = page.messages.iter().map(|message| message.block.body().as_ref());
                output.write_lines(bodies)?;
            }
            for message in &page.damaged {
                say(format_args!("forebay: {}", message.to_error(&self.queue)));
            }
            damaged += page.damaged.len();
            left -= page.messages.len() as u64;
            if page.next_seq == 0 {
                break;
            }
            from_seq = page.next_seq;
        }
        if damaged == 0 { Ok(()) } else { Err(Failure::Reported) }
    }
}
