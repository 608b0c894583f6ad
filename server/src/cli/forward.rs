//! `forebay forward`: moves messages from one queue to another, each batch in one transaction.
//!
//! Invariant: a message is acked in the entry of the log that has its copy. So however this ends,
//! each message is in one of the two queues, once. A FIFO queue that gets it must not take it for a copy
//! of another message, or of what it once was itself: it stores no copies, and the ack would stand. So a
//! message goes there with its own id as its deduplication id, as dead letters do in SQS.

use forebay_engine::unit::count_of;
use forebay_protocol::client::{Client, ClientError, ReceiveOptions};
use forebay_protocol::{
    Block, ErrorCode, MessageId, OutgoingMessage, ProtocolError, Receipt, ReceivedMessage,
};

use super::connect::Connect;
use super::failure::{Failure, is_full, of_the_only_message};
use super::interrupted::Interrupted;
use super::quantity::{count, duration_ms};
use super::say::say;
use super::told::say_in_flight_limit;

/// Move messages from one queue to another
///
/// Messages are received and, with all that they came with, sent on in one transaction with their
/// acks: whatever is killed in between, none is lost and none is doubled. They get new numbers and
/// times, and in a FIFO queue a new deduplication id, the message's id. Without --max and --follow it ends when no message is waiting.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay forward orders-dead orders --max 100")]
pub(super) struct Forward {
    /// The queue that messages are taken from
    #[arg(value_name = "FROM")]
    from: String,
    /// The queue that they go to
    #[arg(value_name = "TO")]
    to: String,
    /// At most this many messages; 0: until the queue has none to give
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = count)]
    max: u64,
    /// Go on for ever, until Ctrl-C
    #[arg(long, conflicts_with = "max")]
    follow: bool,
    /// How long a batch may take, 1s to 12h: after that, or when this is killed, others get its messages
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = visibility)]
    visibility: u64,
    #[command(flatten)]
    connect: Connect,
}

/// Messages moved in one transaction, ...
const BATCH_MESSAGES: u64 = 1000;
/// ... and their bytes, unless one is larger.
const BATCH_BYTES: u32 = 1 << 20;
/// The wait of each receive with --follow.
const FOLLOW_WAIT_MS: u64 = 20_000;
/// The least that a batch may take: with less its messages would be others' before they are moved.
const VISIBILITY_MS_MIN: u64 = 1_000;

fn visibility(text: &str) -> Result<u64, String> {
    match duration_ms(text)? {
        ms if ms >= VISIBILITY_MS_MIN => Ok(ms),
        _ => Err("expected at least 1s".to_owned()),
    }
}

/// What became of messages.
#[derive(Default)]
struct Moved {
    /// The queue that they come from, if they go to a FIFO queue.
    source: Option<u32>,
    messages: u64,
    /// Moved by a request whose answer was lost, or done by others.
    gone: u64,
    /// Not to be read.
    damaged: u64,
}

impl Forward {
    pub(super) async fn run(self) -> Result<(), Failure> {
        if self.from == self.to {
            let queue = &self.from;
            return Err(Failure::because(format!("{queue:?} is both where from and where to")));
        }
        let client = self.connect.open_patiently().await?;
        // Both are asked for now: what comes may be a long time coming.
        let from = client.describe_queue(&self.from).await?;
        let to = client.describe_queue(&self.to).await?;
        let source = (to.attributes.fifo == Some(1)).then_some(from.queue_id);
        let mut moved = Moved { source, ..Moved::default() };
        let result = self.move_all(&client, &mut moved).await;
        say(format_args!("{} forwarded", count_of(moved.messages, "message")));
        match moved.gone {
            0 => {}
            1 => {
                say("forebay: 1 message more was forwarded by a request whose answer was lost, or \
                 received by others")
            }
            gone => say(format_args!(
                "forebay: {gone} messages more were forwarded by a request whose answer was lost, or \
                 received by others"
            )),
        }
        result?;
        if moved.damaged == 0 { Ok(()) } else { Err(Failure::Reported) }
    }

    async fn move_all(&self, client: &Client, moved: &mut Moved) -> Result<(), Failure> {
        let mut left = if self.max == 0 { u64::MAX } else { self.max };
        let mut interrupted = Interrupted::listen();
        let mut is_limit_said = false;
        while left > 0 && !interrupted.has_come() {
            let receiving = client.receive(&self.from, self.options(left));
            let Some(delivery) = interrupted.or_received(receiving).await else { break };
            let delivery = match delivery {
                Ok(delivery) => delivery,
                Err(error) if is_full(&error) && moved.messages > 0 => {
                    say(format_args!("forebay: no more now: {error}"));
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            for message in &delivery.damaged {
                say(format_args!("forebay: {}", message.to_error(&self.from)));
            }
            moved.damaged += delivery.damaged.len() as u64;
            let count = delivery.messages.len() as u64;
            if count == 0 && delivery.damaged.is_empty() {
                if !self.follow {
                    break;
                }
                if !is_limit_said {
                    let saying = say_in_flight_limit(client, &self.from);
                    is_limit_said = interrupted.or_received(saying).await.unwrap_or(false);
                }
            }
            left -= count;
            if count > 0 {
                self.move_batch(client, delivery.messages, moved).await?;
            }
        }
        Ok(())
    }

    fn options(&self, left: u64) -> ReceiveOptions {
        ReceiveOptions {
            max: u32::try_from(left.min(BATCH_MESSAGES)).expect("a batch fits a u32"),
            wait_ms: Some(if self.follow { FOLLOW_WAIT_MS } else { 0 }),
            visibility_ms: Some(self.visibility),
            bytes_max: BATCH_BYTES,
        }
    }

    /// Moves messages together, or where that is refused because of one of them, one by one.
    async fn move_batch(
        &self,
        client: &Client,
        messages: Vec<ReceivedMessage>,
        moved: &mut Moved,
    ) -> Result<(), Failure> {
        let receipts: Vec<Receipt> =
            messages.iter().map(|message| message.receipt.clone()).collect();
        let count = messages.len();
        let result = match self.commit(client, messages.clone(), moved).await {
            Err(ClientError::Refused(error)) if count > 1 && is_of_one(error.code) => {
                self.move_each(client, messages, moved).await
            }
            Err(error) if count == 1 => Err(self.refused(messages[0].seq, error)),
            other => other.map_err(Failure::from),
        };
        if result.is_err() {
            // Nobody has to wait for those that stay. That it may fail too is no news.
            let _ = client.end_leases(&self.from, &receipts).await;
        }
        result
    }

    async fn move_each(
        &self,
        client: &Client,
        messages: Vec<ReceivedMessage>,
        moved: &mut Moved,
    ) -> Result<(), Failure> {
        for message in messages {
            let seq = message.seq;
            if let Err(error) = self.commit(client, vec![message], moved).await {
                return Err(self.refused(seq, error));
            }
        }
        Ok(())
    }

    /// Why a message stays, without where it is in the request.
    fn refused(&self, seq: u64, error: ClientError) -> Failure {
        let ClientError::Refused(error) = error else { return error.into() };
        let mut reason = of_the_only_message(&error.text, "it");
        for place in ["sends[0].messages[0]: ", "sends[0]: "] {
            if let Some(rest) = reason.strip_prefix(place) {
                reason = rest.to_owned();
            }
        }
        let Self { from, to, .. } = self;
        Failure::because(format!("message {seq} of {from:?} cannot go to {to:?}: {reason}"))
    }

    /// One transaction. A single message that is gone, or somebody else's by now, is done with.
    async fn commit(
        &self,
        client: &Client,
        messages: Vec<ReceivedMessage>,
        moved: &mut Moved,
    ) -> Result<(), ClientError> {
        let count = messages.len() as u64;
        let receipts: Vec<_> = messages.iter().map(|message| message.receipt.clone()).collect();
        let copies = messages.into_iter().map(|message| {
            let id = |queue| MessageId::new(client.store_id(), queue, message.seq).to_string();
            copy(message.block, moved.source.map(id))
        });
        let copies: Vec<_> = copies.collect::<Result<_, _>>().map_err(ClientError::Refused)?;
        let transaction = client.transaction().ack(&self.from, receipts);
        match transaction.send(&self.to, copies).commit().await {
            Ok(_) => moved.messages += count,
            Err(ClientError::Refused(error)) if count == 1 && is_done(error.code) => {
                moved.gone += 1
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// What a message is sent on as: with another deduplication id, if there is one.
fn copy(block: Block, deduplication: Option<String>) -> Result<OutgoingMessage, ProtocolError> {
    let Some(deduplication) = deduplication else {
        return Ok(OutgoingMessage { delay_ms: None, block });
    };
    let mut attributes = block.message_attributes()?;
    attributes.deduplication = Some(deduplication);
    let block = Block::with_attributes(&attributes, block.into_body());
    Ok(OutgoingMessage { delay_ms: None, block })
}

/// Whether nothing is left to do for a message.
fn is_done(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::MessageGone | ErrorCode::ReceiptStale | ErrorCode::ReceiptExpired)
}

/// Whether one message may be at fault, or their number, and others could be moved without it.
fn is_of_one(code: ErrorCode) -> bool {
    let is_its_fault = matches!(
        code,
        ErrorCode::MessageInvalid | ErrorCode::MessageTooLarge | ErrorCode::BadMessageAttribute
    );
    is_done(code) || is_its_fault || code == ErrorCode::BatchTooLarge
}
