//! Delayed messages: what sending them costs beside sending others, in time and in memory, and when
//! they come.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use forebay_protocol::{
    Ack, CreateQueue, OutgoingMessage, QueueAttributes, Receive, Received, Reply, Send,
};
use tokio::task::JoinSet;

use crate::BenchError;
use crate::deep::consumers::Dice;
use crate::deep::filling::{BODY_BYTES_MAX, Requests, Senders, send_all};
use crate::deep::marked::{MARK_BYTES, Marked};
use crate::deep::report::{self, Wanted, judged, median, mib, per_second, row, spread};
use crate::deep::setup::Setup;
use crate::deep::store::Store;
use crate::frames::{encode, frames_to};
use crate::measure::Measure;
use crate::size::Size;
use crate::wire::{Wire, ask_once, reply_of};
use crate::workload::QUEUE;

const DELAYED: &str = "delayed";
const SENDERS: Senders = Senders { connections: 16, window: 8 };
const BATCH: u64 = 128;
/// Frames that are sent over and over: their messages have other delays each.
const FRAMES: u64 = 512;
const SETTLE: Duration = Duration::from_secs(2);
/// Nothing comes twice.
const VISIBILITY_MS: u64 = 3_600_000;
const CONSUMERS: usize = 16;
const RECEIVE_BATCH: u32 = 64;
const WAIT_MS: u64 = 500;
/// Who sends what is to come: their requests are answered before the next ones, so that it is known
/// well when each was sent.
const DUE_SENDERS: u64 = 8;
/// Beside the deliveries another queue is sent to.
const OTHER_BATCH: u32 = 10;
const OTHER_INTERVAL: Duration = Duration::from_millis(5);
/// Whatever is to come has come so long after the last one is due.
const PATIENCE: Duration = Duration::from_secs(60);
const RECEIVE: u32 = 1;
const ACK: u32 = 2;

/// The settings of this workload.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: forebay bench delayed --messages 200000 --due-messages 50000 --due-span 8"
)]
pub(crate) struct Delayed {
    #[command(flatten)]
    setup: Setup,
    /// Delayed messages that are sent, and as many others
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(2_000..))]
    messages: u64,
    /// Their delays are less than so many seconds
    #[arg(long, value_name = "S", default_value_t = 3600)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=365 * 86_400))]
    span: u64,
    /// Delayed messages that are received when they are due
    #[arg(long, value_name = "N", default_value_t = 2_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(BATCH..))]
    due_messages: u64,
    /// They are due within so many seconds, which begin when they are sent
    #[arg(long, value_name = "S", default_value_t = 120)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    due_span: u64,
    /// Turns of either kind of sends
    #[arg(long, value_name = "N", default_value_t = 10)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    turns: u64,
    /// Bytes of a body
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(MARK_BYTES as i64..=BODY_BYTES_MAX))]
    bytes: u32,
}

impl Delayed {
    pub(super) async fn run(&self) -> Result<(), BenchError> {
        let Self { setup, messages, span, due_messages, due_span, bytes, .. } = self;
        let turns = self.turns;
        if messages / turns < BATCH {
            return Err(BenchError::usage(format!(
                "--messages {messages} in --turns {turns} are less than one request of {BATCH} each"
            )));
        }
        report::head(format_args!(
            "delayed: messages={messages} span={span} due-messages={due_messages} \
             due-span={due_span} bytes={bytes} segment-bytes={} durability=sync",
            setup.segment_bytes
        ));
        self.send(&mut fresh(setup).await?).await?;
        self.deliver(&mut fresh(setup).await?).await
    }

    /// Delayed and other messages in turns, the same batches.
    async fn send(&self, store: &mut Store) -> Result<(), BenchError> {
        tokio::time::sleep(SETTLE).await;
        let empty = store.resident()?;
        report::memory("empty", empty);
        let count = self.messages / self.turns / BATCH;
        let mut dice = Dice(1);
        let mut rates = [Vec::new(), Vec::new()];
        for turn in 0..self.turns {
            for (rates, queue) in rates.iter_mut().zip([DELAYED, QUEUE]) {
                let frames = match queue == DELAYED {
                    true => self.delayed_frames(&mut dice)?,
                    false => frames_to(QUEUE, FRAMES as usize, BATCH as u32, self.bytes as usize)?,
                };
                let requests = Requests { frames, count, worth: BATCH, window: u64::MAX };
                let began = Instant::now();
                send_all(store, SENDERS, requests).await?;
                rates.push((count * BATCH) as f64 / began.elapsed().as_secs_f64());
            }
            report::progress(format_args!("turn {} of {}", turn + 1, self.turns));
        }
        let [delayed, others] = &rates;
        for (what, rates) in [("delayed", delayed), ("others", others)] {
            let title = format!("sends, {what}, median of {}", rates.len());
            row(title, per_second("messages", median(rates)));
            row("    slowest to fastest", spread(rates));
        }
        let ratio = median(delayed) / median(others);
        judged("sends, delayed / others", ratio, "", Wanted::AtLeast(0.7));
        row("RssAnon, most while sending", Size(store.anonymous_peak));
        tokio::time::sleep(SETTLE).await;
        let full = store.resident()?;
        report::memory("with all of them", full);
        let grown = full.anonymous.saturating_sub(empty.anonymous);
        row("RssAnon above that of the empty", format!("{:.1} MiB", mib(grown)));
        let each = grown as f64 / (count * BATCH * self.turns) as f64;
        row("    for each delayed message", format!("{each:.2} bytes"));
        Ok(())
    }

    fn delayed_frames(&self, dice: &mut Dice) -> Result<Vec<BytesMut>, BenchError> {
        let mut frames = Vec::new();
        let mut bodies = Marked::new(self.bytes)?.bodies();
        for _ in 0..FRAMES {
            let mut message = || {
                let delay = Duration::from_millis(1 + dice.below(self.span * 1000));
                OutgoingMessage::new(bodies()).delayed(delay)
            };
            let messages = (0..BATCH).map(|_| message()).collect();
            frames.push(encode(&Send::new(DELAYED, messages).into(), 1)?);
        }
        Ok(frames)
    }

    /// Delayed messages come, while others are sent.
    async fn deliver(&self, store: &mut Store) -> Result<(), BenchError> {
        let coming = Arc::new(Coming {
            marked: Marked::new(self.bytes)?,
            began: Instant::now(),
            span: Duration::from_secs(self.due_span),
            batches: self.due_messages / BATCH,
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            others: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            lateness: Mutex::new(Measure::new()),
            of_sent_late: AtomicU64::new(0),
        });
        let (address, bytes) = (store.address(), self.bytes as usize);
        let work = async {
            let mut running = JoinSet::new();
            for _ in 0..CONSUMERS {
                running.spawn(receive(Wire::connect(&address).await?, Arc::clone(&coming)));
            }
            for number in 0..DUE_SENDERS {
                let wire = Wire::connect(&address).await?;
                running.spawn(send_due(wire, Arc::clone(&coming), number));
            }
            running.spawn(send_others(Wire::connect(&address).await?, Arc::clone(&coming), bytes));
            while let Some(ended) = running.join_next().await {
                ended.map_err(|error| BenchError::new(error.to_string()))??;
            }
            Ok(())
        };
        store.under(&coming.others, work).await?;
        let (sent, received) =
            (coming.sent.load(Ordering::Relaxed), coming.received.load(Ordering::Relaxed));
        if received != sent {
            return Err(BenchError::new(format!("{received} messages came of {sent}")));
        }
        let lateness = coming.lateness.lock().unwrap_or_else(PoisonError::into_inner);
        row("received and acked", received);
        let span = self.due_span as f64;
        row("    in each second of the span", format!("{:.0}", received as f64 / span));
        row(
            "    due before they were durable, not counted",
            coming.of_sent_late.load(Ordering::Relaxed),
        );
        row("others sent meanwhile", coming.others.load(Ordering::Relaxed));
        let ms = |quantile| lateness.latency_us(quantile) / 1e3;
        row("received after due, p50", format!("{:.2} ms", ms(0.5)));
        judged("received after due, p99", ms(0.99), " ms", Wanted::AtMost(50.0));
        row("received after due, p99.9", format!("{:.2} ms", ms(0.999)));
        row("received after due, most", format!("{:.2} ms", ms(1.0)));
        row("RssAnon, most", Size(store.anonymous_peak));
        Ok(())
    }
}

async fn fresh(setup: &Setup) -> Result<Store, BenchError> {
    let store = Store::fresh(setup).await?;
    for name in [DELAYED, QUEUE] {
        let visibility_timeout_ms = Some(VISIBILITY_MS);
        let attributes = QueueAttributes { visibility_timeout_ms, ..Default::default() };
        let create = CreateQueue { name: name.to_owned(), attributes };
        ask_once(&store.address(), create).await?;
    }
    Ok(store)
}

/// Messages that are sent and come when they are due.
#[derive(Debug)]
struct Coming {
    marked: Marked,
    /// Times in bodies count from here.
    began: Instant,
    span: Duration,
    batches: u64,
    sent: AtomicU64,
    received: AtomicU64,
    others: AtomicU64,
    is_over: AtomicBool,
    lateness: Mutex<Measure>,
    of_sent_late: AtomicU64,
}

/// Sends its share. A message is due so long after its request was written; the server, which reads
/// that later, may give it later.
async fn send_due(mut wire: Wire, coming: Arc<Coming>, number: u64) -> Result<(), BenchError> {
    let mut dice = Dice(number + 1);
    for _ in (number..coming.batches).step_by(DUE_SENDERS as usize) {
        let now = coming.began.elapsed();
        let span_ms = coming.span.as_millis() as u64;
        let left_ms = span_ms.saturating_sub(now.as_millis() as u64).max(1);
        let message = |delay_ms: u64| {
            let due = now + Duration::from_millis(delay_ms);
            let body = coming.marked.body(due.as_nanos() as u64, delay_ms);
            OutgoingMessage::new(body).delayed(Duration::from_millis(delay_ms))
        };
        let messages = (0..BATCH).map(|_| message(1 + dice.below(left_ms))).collect();
        wire.write(&encode(&Send::new(DELAYED, messages).into(), 1)?).await?;
        reply_of(&wire.read().await?)?;
        coming.sent.fetch_add(BATCH, Ordering::Relaxed);
    }
    let all_due = coming.began + coming.span + PATIENCE;
    // The slowest sender ends it.
    while coming.sent.load(Ordering::Relaxed) < coming.batches * BATCH
        || coming.received.load(Ordering::Relaxed) < coming.sent.load(Ordering::Relaxed)
    {
        if Instant::now() > all_due {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    coming.is_over.store(true, Ordering::Relaxed);
    Ok(())
}

/// Sends to another queue, at a pace.
async fn send_others(mut wire: Wire, coming: Arc<Coming>, bytes: usize) -> Result<(), BenchError> {
    let frames = frames_to(QUEUE, 1, OTHER_BATCH, bytes)?;
    let mut ticks = tokio::time::interval(OTHER_INTERVAL);
    while !coming.is_over.load(Ordering::Relaxed) {
        ticks.tick().await;
        wire.write(&frames[0]).await?;
        reply_of(&wire.read().await?)?;
        coming.others.fetch_add(u64::from(OTHER_BATCH), Ordering::Relaxed);
    }
    Ok(())
}

async fn receive(mut wire: Wire, coming: Arc<Coming>) -> Result<(), BenchError> {
    let receive = Receive {
        queue: DELAYED.to_owned(),
        max: RECEIVE_BATCH,
        wait_ms: Some(WAIT_MS),
        visibility_ms: None,
        bytes_max: 0,
        attempt: String::new(),
    };
    let receive = encode(&receive.into(), RECEIVE)?;
    let (mut out, mut acking) = (Vec::new(), 0);
    loop {
        let asks = !coming.is_over.load(Ordering::Relaxed);
        if asks {
            out.extend_from_slice(&receive);
        }
        wire.write(&out).await?;
        out.clear();
        let mut received = None;
        for _ in 0..usize::from(asks) + usize::from(acking > 0) {
            match reply_of(&wire.read().await?)? {
                Reply::Received(these) => {
                    coming.note(&these)?;
                    received = Some(these);
                }
                Reply::Acked(acked) if acked.failures.is_empty() => {
                    coming.received.fetch_add(std::mem::take(&mut acking), Ordering::Relaxed);
                }
                other => return Err(BenchError::new(format!("unexpected answer: {other:?}"))),
            }
        }
        let Some(received) = received else { return Ok(()) };
        if !received.messages.is_empty() {
            acking = received.messages.len() as u64;
            let receipts = received.messages.into_iter().map(|message| message.receipt).collect();
            let ack = Ack { queue: DELAYED.to_owned(), receipts };
            out.extend_from_slice(&encode(&ack.into(), ACK)?);
        }
    }
}

impl Coming {
    /// Messages have come: none too early, and how late?
    fn note(&self, received: &Received) -> Result<(), BenchError> {
        let now = self.began.elapsed();
        let mut lateness = self.lateness.lock().unwrap_or_else(PoisonError::into_inner);
        for message in &received.messages {
            let Some((due_ns, delay_ms)) = self.marked.read(message.block.body()) else {
                return Err(BenchError::new(format!("message {} is phantom", message.seq)));
            };
            let due = Duration::from_nanos(due_ns);
            // The server counts in whole milliseconds, from one that had begun before.
            if now + Duration::from_millis(1) < due {
                let early = due - now;
                return Err(BenchError::new(format!("message {}: {early:?} early", message.seq)));
            }
            // One that is due before its send is durable cannot come before that.
            if delay_ms < 100 {
                self.of_sent_late.fetch_add(1, Ordering::Relaxed);
            } else {
                lateness.note(1, now.saturating_sub(due));
            }
        }
        Ok(())
    }
}
