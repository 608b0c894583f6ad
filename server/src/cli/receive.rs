//! `forebay receive`: messages to stdout, and their deletion once they are there.
//!
//! Invariant: with `--ack` a message is acked after its line was written and flushed, never before.

use std::time::Duration;

use forebay_protocol::client::{
    Client, ClientError, Delivery, ReceiveOptions, SubscribeOptions, Subscription,
};
use forebay_protocol::{ATTEMPT_BYTES_MAX, ErrorCode, Fact, Receipt};
use tokio::task::JoinSet;

use super::connect::Connect;
use super::failure::{Failure, is_full};
use super::interrupted::Interrupted;
use super::message_json;
use super::output::Output;
use super::quantity::{count, duration_ms};
use super::receipt_text::receipt_text;
use super::say::say;
use super::told::{say_in_flight_limit, say_reasons};

/// Receive messages
///
/// Bodies go to stdout, one a line. A received message is invisible to others for its visibility
/// timeout; ack it, or it comes back. With --ack it is acked as soon as its line has been written.
///
/// --max 0 receives until the queue has no message to give. Messages that are in flight may come back
/// later; if others have to wait for such ones, stderr says how many. In a FIFO queue that are those behind
/// a received message in its group: without --ack no more than 1000 of a group come.
///
/// Exit status 0 also if fewer came, or the queue's limit of messages in flight ended it behind some;
/// 1 if that kept it from receiving any, also after a wait; a FIFO queue answers with none then, as in
/// SQS. With --follow it says so on stderr, once, and goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay receive orders --max 0 --ack > orders.txt\n         \
                        forebay receive accounts.fifo --max 10 --json --attempt job-7")]
pub(super) struct Receive {
    /// The queue's name
    queue: String,
    /// At most this many messages; 0: until the queue has none to give
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count)]
    max: u64,
    /// Wait this long for a message, up to 20s, each time when more are wanted; default: the queue's
    /// own wait, with --max 0 not at all
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    wait: Option<u64>,
    /// How long the messages are invisible to others, up to 12h; default: the queue's own timeout
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    visibility: Option<u64>,
    /// From a FIFO queue: the same attempt again, within five minutes, gets the same messages with the
    /// same receipts, if the answer to the first was lost and the server was not restarted; refused once
    /// one of them was acked, given back or changed. 1 to 1000 messages; an ID of up to 128 bytes
    #[arg(long, value_name = "ID", conflicts_with = "follow", value_parser = attempt)]
    attempt: Option<String>,
    /// Ack each message once it is written
    #[arg(long)]
    ack: bool,
    /// Go on for ever, until Ctrl-C
    #[arg(long, conflicts_with_all = ["max", "wait"])]
    follow: bool,
    /// One JSON object a line, with id, receipt, times, counts, reason, group, attributes, and a
    /// dead letter's source
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// Messages received at once.
const BATCH_MESSAGES: u64 = 1000;
/// Acks under way at once.
const ACKS_MAX: usize = 8;
/// After so long without a message it is found out whether the in-flight limit keeps them back, ...
const SILENCE: Duration = Duration::from_secs(2);
/// ... and then again after twice as long, up to this.
const SILENCE_MAX: Duration = Duration::from_secs(60);

impl Receive {
    pub(super) async fn run(self) -> Result<(), Failure> {
        self.check_attempt()?;
        let client = match self.follow || self.max == 0 {
            true => self.connect.open_patiently().await?,
            false => self.connect.open().await?,
        };
        let mut output = Output::new();
        let mut acks = Acks::new(client.clone(), self.queue.clone());
        let mut interrupted = Interrupted::listen();
        let received = match self.follow {
            true => self.follow(&client, &mut output, &mut acks, &mut interrupted).await,
            false => self.receive_all(&client, &mut output, &mut acks, &mut interrupted).await,
        };
        // Whatever ended it: what was written is acked.
        let acked = acks.finish().await;
        received.and(acked)
    }

    /// What a server would let pass: it would give messages, and not know them again.
    fn check_attempt(&self) -> Result<(), Failure> {
        if self.attempt.is_none() {
            return Ok(());
        }
        let Self { queue, max, .. } = self;
        if !queue.ends_with(".fifo") {
            return Err(Failure::Usage(format!(
                "--attempt is for FIFO queues, whose names end in .fifo; this one is {queue:?}"
            )));
        }
        if !(1..=BATCH_MESSAGES).contains(max) {
            return Err(Failure::Usage(format!(
                "--max is {max}, expected 1 to {BATCH_MESSAGES} with --attempt"
            )));
        }
        Ok(())
    }

    async fn receive_all(
        &self,
        client: &Client,
        output: &mut Output,
        acks: &mut Acks,
        interrupted: &mut Interrupted,
    ) -> Result<(), Failure> {
        let mut left = if self.max == 0 { u64::MAX } else { self.max };
        let (mut damaged, mut received) = (0, 0);
        let mut wait_ms = self.wait_ms();
        while left > 0 && !interrupted.has_come() {
            let attempt = self.attempt.as_deref().unwrap_or_default();
            let receiving =
                client.receive_attempt(&self.queue, self.options(left, wait_ms), attempt);
            let Some(delivery) = interrupted.or_received(receiving).await else { break };
            let delivery = match delivery {
                Ok(delivery) => delivery,
                // What was received is in flight until its ack has arrived.
                Err(error) if is_full(&error) && acks.settle_all().await? => continue,
                Err(error) if is_full(&error) && received > 0 => {
                    say(format_args!("forebay: {received} received, no more now: {error}"));
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            let count = delivery.messages.len() as u64;
            if count == 0 && delivery.damaged.is_empty() {
                // A receive that waits also waits at the in-flight limit, and then brings nothing: only one
                // that does not wait is refused.
                if wait_ms.replace(0) != Some(0) {
                    continue;
                }
                if self.max == 0 {
                    self.say_what_waits(client).await;
                }
                break;
            }
            damaged += delivery.damaged.len();
            self.deal_with(client, delivery, output, acks).await?;
            // An attempt that is made again gets what it got, however many are asked for now.
            left = left.saturating_sub(count);
            received += count;
            wait_ms = self.wait_ms();
            // The same attempt again would get the same messages.
            if self.attempt.is_some() {
                break;
            }
        }
        if damaged == 0 { Ok(()) } else { Err(Failure::Reported) }
    }

    /// Not everything may have come. That it cannot be asked is no reason to fail: what came is told.
    async fn say_what_waits(&self, client: &Client) {
        let Ok(explained) = client.explain(&self.queue, None).await else { return };
        if let Some(Fact::Waiting { messages, next_seq: 0 }) = explained.facts.first() {
            let Self { queue, .. } = self;
            say(format_args!(
                "forebay: messages that wait and cannot be received now: {messages}; forebay explain \
                 {queue} says why"
            ));
        }
    }

    /// Writes messages as they come, until Ctrl-C. What came and was not written goes back.
    async fn follow(
        &self,
        client: &Client,
        output: &mut Output,
        acks: &mut Acks,
        interrupted: &mut Interrupted,
    ) -> Result<(), Failure> {
        let options = SubscribeOptions {
            visibility_ms: self.visibility,
            // What was written and is to be acked by others stays leased when this process ends.
            release_on_close: self.ack,
            ..SubscribeOptions::default()
        };
        let mut subscription = client.subscribe(&self.queue, options).await?;
        let followed =
            self.write_pushed(&mut subscription, client, output, acks, interrupted).await;
        subscription.unsubscribe();
        let mut released = Ok(());
        while let Some(Ok(unwritten)) = subscription.next().await {
            let receipts = unwritten.messages.into_iter().map(|message| message.receipt);
            let receipts: Vec<_> = receipts.collect();
            if !receipts.is_empty() && released.is_ok() {
                released = client.end_leases(&self.queue, &receipts).await.map(|_| ());
            }
        }
        followed.and(released.map_err(Failure::from))
    }

    async fn write_pushed(
        &self,
        subscription: &mut Subscription,
        client: &Client,
        output: &mut Output,
        acks: &mut Acks,
        interrupted: &mut Interrupted,
    ) -> Result<(), Failure> {
        let mut damaged = 0;
        let (mut silence, mut is_limit_said) = (SILENCE, false);
        loop {
            let delivery = tokio::select! {
                // In a flood there is always a message.
                biased;
                () = interrupted.wait() => break,
                delivery = subscription.next() => match delivery {
                    Some(delivery) => delivery?,
                    None => break,
                },
                () = tokio::time::sleep(silence), if !is_limit_said => {
                    silence = (2 * silence).min(SILENCE_MAX);
                    let saying = say_in_flight_limit(client, &self.queue);
                    // The server may be away.
                    let Some(is_said) = interrupted.or_received(saying).await else { break };
                    is_limit_said = is_said;
                    continue;
                }
            };
            silence = SILENCE;
            damaged += delivery.damaged.len();
            self.deal_with(client, delivery, output, acks).await?;
        }
        if damaged == 0 { Ok(()) } else { Err(Failure::Reported) }
    }

    /// Writes messages, and then acks them if it is to.
    async fn deal_with(
        &self,
        client: &Client,
        delivery: Delivery,
        output: &mut Output,
        acks: &mut Acks,
    ) -> Result<(), Failure> {
        for message in &delivery.damaged {
            say(format_args!("forebay: {}", message.to_error(&self.queue)));
        }
        self.write(client, &delivery, output)?;
        if self.ack && !delivery.messages.is_empty() {
            acks.begin(delivery.messages.into_iter().map(|message| message.receipt)).await?;
        }
        Ok(())
    }

    fn wait_ms(&self) -> Option<u64> {
        match self.wait {
            Some(wait) => Some(wait),
            // All that there is, and no more.
            None if self.max == 0 => Some(0),
            None => None,
        }
    }

    fn options(&self, left: u64, wait_ms: Option<u64>) -> ReceiveOptions {
        ReceiveOptions {
            max: u32::try_from(left.min(BATCH_MESSAGES)).expect("a batch fits a u32"),
            wait_ms,
            visibility_ms: self.visibility,
            bytes_max: 0,
        }
    }

    fn write(
        &self,
        client: &Client,
        delivery: &Delivery,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let messages = &delivery.messages;
        if self.json {
            let json = |message| message_json::received(client.store_id(), message);
            let lines: Vec<_> = messages.iter().map(json).collect();
            return output.write_lines(lines.iter().map(String::as_bytes));
        }
        output.write_lines(messages.iter().map(|message| message.block.body().as_ref()))?;
        if output.is_terminal() {
            say_reasons(messages.iter().map(|message| (message.seq, &*message.reason)));
        }
        if !self.ack && output.is_terminal() {
            // A person will want to ack what they see; a program asks for --json.
            for message in messages {
                say(format_args!("receipt of {}: {}", message.seq, receipt_text(&message.receipt)));
            }
        }
        Ok(())
    }
}

fn attempt(text: &str) -> Result<String, String> {
    match text.len() {
        1..=ATTEMPT_BYTES_MAX => Ok(text.to_owned()),
        bytes => Err(format!("{bytes} bytes, expected 1 to {ATTEMPT_BYTES_MAX}")),
    }
}

/// Acks on their way, so that the next messages need not wait for them.
struct Acks {
    client: Client,
    queue: String,
    running: JoinSet<Result<Vec<forebay_protocol::Failure>, ClientError>>,
    /// Messages that will be delivered again although they were written.
    again: usize,
}

impl Acks {
    fn new(client: Client, queue: String) -> Self {
        Self { client, queue, running: JoinSet::new(), again: 0 }
    }

    /// Sends acks, after waiting for earlier ones if there are too many. They are on their way when this
    /// returns, before whatever is asked next: in a FIFO queue a receive that came before them would get
    /// nothing of their groups.
    async fn begin(&mut self, receipts: impl Iterator<Item = Receipt>) -> Result<(), Failure> {
        while self.running.len() >= ACKS_MAX {
            self.settle_one().await?;
        }
        let ack = self.client.begin_ack(&self.queue, receipts.collect()).await?;
        self.running.spawn(ack.failures());
        Ok(())
    }

    /// Waits for those that are on their way; whether there were any.
    async fn settle_all(&mut self) -> Result<bool, Failure> {
        let any = !self.running.is_empty();
        while !self.running.is_empty() {
            self.settle_one().await?;
        }
        Ok(any)
    }

    /// Waits for all of them.
    async fn finish(mut self) -> Result<(), Failure> {
        self.settle_all().await?;
        match self.again {
            0 => {}
            1 => say(
                "forebay: 1 message was received by others too, or will be: its lease ended before \
                 it was acked",
            ),
            again => say(format_args!(
                "forebay: {again} messages were received by others too, or will be: their leases ended \
                 before they were acked"
            )),
        }
        Ok(())
    }

    async fn settle_one(&mut self) -> Result<(), Failure> {
        let Some(settled) = self.running.join_next().await else { return Ok(()) };
        let failures = settled.map_err(|error| Failure::because(format!("ack: {error}")))??;
        for failure in failures {
            match failure.code {
                // At least once: the lease had ended, by its timeout or by a restart.
                ErrorCode::ReceiptStale | ErrorCode::MessageGone => self.again += 1,
                code => return Err(Failure::because(format!("ack: {code}: {}", failure.text))),
            }
        }
        Ok(())
    }
}
