//! `forebay explain`: says in words why a receive gets nothing, or where a message is.

use std::time::{Duration, UNIX_EPOCH};

use forebay_engine::unit::count_of;
use forebay_protocol::client::{Client, PeekOptions};
use forebay_protocol::{Explained, Fact, MessageId, PeekedMessage};

use super::connect::Connect;
use super::failure::Failure;
use super::output::Output;
use super::told::missing_dead_letter_queue;

/// Say why a receive gets nothing, or where a message is
///
/// About a queue: what waits, is delayed, in flight or set aside, what holds it up, and whether its
/// dead-letter queue is missing. About a
/// message, by the id that send and receive show: where it is, or how it ended.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay explain orders\n         \
                        forebay explain orders 0f1e2d00-0000-801c-8000-00000000002a")]
pub(super) struct Explain {
    /// The queue's name
    queue: String,
    /// A message's id
    #[arg(value_name = "MESSAGE-ID")]
    message: Option<MessageId>,
    #[command(flatten)]
    connect: Connect,
}

impl Explain {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.connect.open().await?;
        let lines = match self.message {
            Some(id) => vec![self.about_message(&client, id).await?],
            None => {
                let explained = client.explain(&self.queue, None).await?;
                let say = |fact| sentence(fact, explained.now_ms);
                let mut lines: Vec<String> = explained.facts.iter().map(say).collect();
                let queue = client.describe_queue(&self.queue).await?;
                if let Some(name) = missing_dead_letter_queue(&client, &queue.attributes).await {
                    lines.push(format!(
                        "its dead-letter queue {name:?} does not exist: until it does, messages stay in this \
                         queue, however often they are received"
                    ));
                }
                lines
            }
        };
        let mut output = Output::new();
        output.write_lines(lines.iter().map(String::as_bytes))
    }

    async fn about_message(&self, client: &Client, id: MessageId) -> Result<String, Failure> {
        if !id.is_of(client.store_id()) {
            return Ok("it is a message of another store than this server's".to_owned());
        }
        // A seq of 0 asks about the queue; no message has it.
        if id.seq() == 0 {
            return Ok("no message has this id".to_owned());
        }
        let mut explained = client.explain(&self.queue, Some(id.seq())).await?;
        let mut seq = id.seq();
        if explained.queue_id != id.queue_id() {
            let Some(found) = self.find_dead_letter(client, id).await? else {
                return Ok(format!(
                    "it was sent to queue number {}, and {} has number {}, where it is not: it is \
                     another queue's, or of one of this name that was deleted",
                    id.queue_id(),
                    self.queue,
                    explained.queue_id
                ));
            };
            seq = found;
            explained = client.explain(&self.queue, Some(seq)).await?;
        }
        let Explained { now_ms, facts, .. } = explained;
        let fact = facts.first().ok_or_else(|| Failure::because("the server tells nothing"))?;
        match fact {
            Fact::MessageDelayed {} => self.about_delayed(client, seq, now_ms).await,
            fact => Ok(sentence(fact, now_ms)),
        }
    }

    /// The number in this queue of a dead letter with that id, which says where it was sent. Only its
    /// record knows, so all messages are looked through.
    async fn find_dead_letter(
        &self,
        client: &Client,
        id: MessageId,
    ) -> Result<Option<u64>, Failure> {
        let (queue_id, seq) = (id.queue_id(), id.seq());
        let mut options = PeekOptions { from_seq: 1, max: 1000, ..PeekOptions::default() };
        loop {
            let page = client.peek(&self.queue, options.clone()).await?;
            let is_it = |m: &&PeekedMessage| (m.origin_queue_id, m.origin_seq) == (queue_id, seq);
            if let Some(found) = page.messages.iter().find(is_it) {
                return Ok(Some(found.seq));
            }
            if page.next_seq == 0 {
                return Ok(None);
            }
            options.from_seq = page.next_seq;
        }
    }

    /// Until when a message is delayed is stored with it.
    async fn about_delayed(
        &self,
        client: &Client,
        seq: u64,
        now_ms: u64,
    ) -> Result<String, Failure> {
        let options = PeekOptions { from_seq: seq, max: 1, ..PeekOptions::default() };
        let page = client.peek(&self.queue, options).await?;
        let until_ms = page.messages.first().filter(|message| message.seq == seq);
        Ok(match until_ms.map(|message| message.until_ms).filter(|ms| *ms > now_ms) {
            Some(until_ms) => format!("it is delayed until {}", time(until_ms, now_ms)),
            None => "it was delayed until just now".to_owned(),
        })
    }
}

/// A fact in words.
fn sentence(fact: &Fact, now_ms: u64) -> String {
    let at = |ms: &u64| time(*ms, now_ms);
    match fact {
        Fact::Empty {} => {
            "there are no messages: every receive gets nothing until one is sent".into()
        }
        Fact::Waiting { messages, next_seq: 0 } => {
            format!("{} waiting, and none can be received now", are(*messages, "message"))
        }
        Fact::Waiting { messages, next_seq } => {
            format!("{} waiting; number {next_seq} is next", are(*messages, "message"))
        }
        Fact::Delayed { messages, first_due_ms } => format!(
            "{} delayed, the first until about {}",
            are(*messages, "message"),
            at(first_due_ms)
        ),
        Fact::InFlight { messages, first_ends_ms } => format!(
            "{} in flight: received and not acked, or given back with a delay; the first comes \
             back at {}",
            are(*messages, "message"),
            at(first_ends_ms)
        ),
        Fact::Damaged { messages } => format!(
            "{} set aside, with stored bytes that are damaged: nobody gets them",
            are(*messages, "message")
        ),
        Fact::InFlightLimit { max } => {
            format!("no more may be in flight: --in-flight-max is {max}")
        }
        Fact::GroupsLocked { groups, locked, blocker_seq } => format!(
            "{locked} of {groups} known groups wait for a message in flight or being moved, for \
             example number {blocker_seq}: what is behind it in its group waits until it is acked, \
             moved or comes back"
        ),
        Fact::Moving { messages } => {
            format!("{} being moved to another queue: nobody gets them", are(*messages, "message"))
        }
        Fact::Expired { before_seq: 0, at_ms } => {
            format!("retention removed messages last at {}", at(at_ms))
        }
        Fact::Expired { before_seq, at_ms } => format!(
            "retention removed messages last at {}; of those before number {before_seq} nothing is \
             left",
            at(at_ms)
        ),
        Fact::GroupsNoisy { groups } => {
            format!("{} noisy, whose messages come after those of others", are(*groups, "group"))
        }
        Fact::QueueDelay { ms } => format!(
            "the queue delays each message for {}",
            humantime::format_duration(Duration::from_millis(*ms))
        ),
        Fact::ReceivesWait { receives } => {
            format!("{} waiting in line, and first to be served", are(*receives, "receive"))
        }
        Fact::IndexDamaged { seq } => format!(
            "number {seq} is not found before the index of its segment is made anew, which is under \
             way"
        ),
        Fact::StorageFull { detail } => format!("the disk is full, sends are refused: {detail}"),
        Fact::MessageWaiting { before } => match before {
            0 => "it waits, and is next".into(),
            before => {
                format!("it waits, behind about {} that wait too", count_of(*before, "message"))
            }
        },
        Fact::MessageDelayed {} => "it is delayed".into(),
        Fact::MessageInFlight { since_ms, until_ms, receive_count } => format!(
            "it is in flight until {}: received at {}, {} so far counted",
            at(until_ms),
            at(since_ms),
            count_of(u64::from(*receive_count), "receive")
        ),
        Fact::MessageBehind { blocker_seq } => {
            format!("it waits for number {blocker_seq} of its group, which is in flight")
        }
        Fact::MessageMoving {} => "it is being moved to another queue".into(),
        Fact::MessageBehindMoving { moving_seq } => format!(
            "it waits for number {moving_seq} of its group, which is being moved to another queue"
        ),
        Fact::MessageDamaged { file, offset } => format!(
            "it is set aside, and nobody gets it: its stored bytes are damaged, in {file} at offset \
             {offset}"
        ),
        Fact::MessageNotDurable {} => "it is on its way to the disk".into(),
        Fact::MessageAcked {} => "it is gone: it was acked, or moved to another queue".into(),
        Fact::MessagePurged { at_ms } => {
            format!("it is gone: it was purged at {}, or acked before", at(at_ms))
        }
        Fact::MessageExpired { at_ms } => {
            format!("it is gone: it had expired by {}, or was acked or moved before", at(at_ms))
        }
        Fact::MessageUnknown { next_seq } => {
            format!("it was never sent: the next message gets number {next_seq}")
        }
        Fact::Other { kind } => format!("something that a newer forebay explains (kind {kind})"),
    }
}

fn are(number: u64, what: &str) -> String {
    format!("{} {}", count_of(number, what), if number == 1 { "is" } else { "are" })
}

/// A moment, and how far away it is.
fn time(ms: u64, now_ms: u64) -> String {
    let moment = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(ms));
    let seconds = |ms: u64| humantime::format_duration(Duration::from_secs(ms.div_ceil(1000)));
    match ms.checked_sub(now_ms) {
        Some(0) => format!("{moment} (now)"),
        Some(ahead) => format!("{moment} (in {})", seconds(ahead)),
        None => format!("{moment} ({} ago)", seconds(now_ms - ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_reads_as_people_speak() {
        let now_ms = 1_800_000_000_000;
        let in_flight = Fact::InFlight { messages: 2, first_ends_ms: now_ms + 299_001 };
        assert_eq!(
            sentence(&in_flight, now_ms),
            "2 messages are in flight: received and not acked, or given back with a delay; the first \
             comes back at 2027-01-15T08:04:59Z (in 5m)"
        );
        let purged = Fact::MessagePurged { at_ms: now_ms - 60_000 };
        assert_eq!(
            sentence(&purged, now_ms),
            "it is gone: it was purged at 2027-01-15T07:59:00Z (1m ago), or acked before"
        );
        let behind = Fact::MessageWaiting { before: 3 };
        assert_eq!(sentence(&behind, now_ms), "it waits, behind about 3 messages that wait too");
    }
}
