//! A standard queue whose messages have groups: one tenant with a great backlog beside quiet ones.
//!
//! Two queues are consumed in turns by the same number of consumers, who work on each message for a
//! while: one has the noisy tenant's backlog, the other has not. Quiet tenants send to both at the
//! same slow pace.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use forebay_protocol::{
    Ack, CreateQueue, DescribeQueue, OutgoingMessage, QueueAttributes, Receive, Reply, Send,
};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::BenchError;
use crate::deep::filling::{BODY_BYTES_MAX, Requests, Senders, check_encoded, send_all};
use crate::deep::marked::{MARK_BYTES, Marked};
use crate::deep::report::{self, Wanted, judged, median, row};
use crate::deep::setup::Setup;
use crate::deep::store::Store;
use crate::frames::encode;
use crate::measure::Measure;
use crate::wire::{Wire, ask_once, reply_of};

const WITH_NOISE: &str = "with-noise";
const WITHOUT: &str = "without";
const NOISY: u64 = 0;
/// Nothing comes twice.
const VISIBILITY_MS: u64 = 3_600_000;
const WAIT_MS: u64 = 500;
const BATCH: u64 = 100;
const SENDERS: Senders = Senders { connections: 4, window: 4 };
/// Of each turn, what is not counted.
const WARM_UP: Duration = Duration::from_secs(1);
const RECEIVE: u32 = 1;
const ACK: u32 = 2;

/// The settings of this workload.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay bench fair --noise 50000 --turns 1 --seconds 2")]
pub(crate) struct Fair {
    #[command(flatten)]
    setup: Setup,
    /// Messages of the noisy tenant, at most 10000000
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    noise: u64,
    /// Quiet tenants
    #[arg(long, value_name = "N", default_value_t = 99)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    tenants: u64,
    /// Messages of each quiet tenant that wait in the beginning
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    messages: u64,
    /// Consumers, each with a connection and one message at a time
    #[arg(long, value_name = "N", default_value_t = 16)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    consumers: u32,
    /// How long a consumer works on a message
    #[arg(long, value_name = "MS", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=60_000))]
    work_ms: u64,
    /// Messages in a second that the quiet tenants send, all together
    #[arg(long, value_name = "N", default_value_t = 200)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1000))]
    pace: u64,
    /// Turns of each queue
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
    /// Seconds of a turn that are counted
    #[arg(long, value_name = "S", default_value_t = 8)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Bytes of a body
    #[arg(long, value_name = "N", default_value_t = 100)]
    #[arg(value_parser = clap::value_parser!(u32).range(MARK_BYTES as i64..=BODY_BYTES_MAX))]
    bytes: u32,
}

/// Consumers and a sender at one queue.
#[derive(Debug)]
struct Turn {
    queue: &'static str,
    marked: Marked,
    work: Duration,
    /// Times in bodies count from here.
    began: Instant,
    /// What was sent before is not counted.
    counted_from: Instant,
    is_over: AtomicBool,
    /// Quiet tenants' messages still to come, where the turn ends with them.
    awaited: AtomicU64,
    noisy: AtomicU64,
    waits: Mutex<Measure>,
}

impl Fair {
    pub(super) async fn run(&self) -> Result<(), BenchError> {
        let Self { setup, noise, tenants, messages, consumers, work_ms, pace, bytes, .. } = self;
        check_encoded(format_args!("--noise {noise}"), *noise, *bytes)?;
        let quiet = format_args!("--tenants {tenants} with --messages {messages}");
        check_encoded(quiet, tenants * messages, *bytes)?;
        report::head(format_args!(
            "fair: noise={noise} tenants={tenants} messages={messages} consumers={consumers} \
             work-ms={work_ms} pace={pace} segment-bytes={} durability=sync",
            setup.segment_bytes
        ));
        let marked = Marked::new(*bytes)?;
        let mut store = Store::fresh(setup).await?;
        for queue in [WITH_NOISE, WITHOUT] {
            let visibility_timeout_ms = Some(VISIBILITY_MS);
            let attributes = QueueAttributes { visibility_timeout_ms, ..Default::default() };
            let create = CreateQueue { name: queue.to_owned(), attributes };
            ask_once(&store.address(), create).await?;
        }
        let noisy = vec![NOISY; *noise as usize];
        fill(&mut store, &marked, WITH_NOISE, &noisy).await?;
        let quiet: Vec<u64> = (0..tenants * messages).map(|at| 1 + at % tenants).collect();
        for queue in [WITH_NOISE, WITHOUT] {
            fill(&mut store, &marked, queue, &quiet).await?;
        }

        let waiting = [WITH_NOISE, WITHOUT].map(|queue| self.turn(queue, &marked, true));
        for turn in &waiting {
            let turn = Arc::new(turn(Instant::now(), quiet.len() as u64));
            self.consume(&mut store, &turn, Duration::from_secs(120)).await?;
            let found = turn.waits.lock().unwrap_or_else(PoisonError::into_inner);
            let what = format!("{} that wait behind, {}", found.messages, turn.queue);
            row(format_args!("{what}: p50 / p99 / last"), latencies(&found));
            let noisy = turn.noisy.load(Ordering::Relaxed);
            row("    messages of the noisy tenant meanwhile", noisy);
        }

        let mut p99 = [Vec::new(), Vec::new()];
        let mut all = [Measure::new(), Measure::new()];
        let mut noisy = 0;
        for number in 0..self.turns {
            for (at, queue) in [WITH_NOISE, WITHOUT].into_iter().enumerate() {
                let turn = Arc::new(self.turn(queue, &marked, false)(Instant::now(), 0));
                let lasts = WARM_UP + Duration::from_secs(self.seconds);
                self.consume(&mut store, &turn, lasts).await?;
                let found = turn.waits.lock().unwrap_or_else(PoisonError::into_inner);
                p99[at].push(found.latency_us(0.99));
                all[at].add(&found);
                noisy += turn.noisy.load(Ordering::Relaxed);
            }
            report::progress(format_args!("turn {} of {}", number + 1, self.turns));
        }
        for (queue, (p99, all)) in [WITH_NOISE, WITHOUT].iter().zip(p99.iter().zip(&all)) {
            row(format_args!("{} sent, {queue}: p50 / p99 / last", all.messages), latencies(all));
            row("    p99 of the turns, median", format!("{:.2} ms", median(p99) / 1e3));
            let spread = p99.iter().map(|us| us / 1e3);
            let (least, most) = spread
                .fold((f64::INFINITY, 0.0f64), |(least, most), ms| (least.min(ms), most.max(ms)));
            row("    least and greatest", format!("{least:.2}..{most:.2} ms"));
        }
        let seconds = (self.seconds + WARM_UP.as_secs()) * u64::from(self.turns);
        row("messages of the noisy tenant, in each second", noisy / seconds.max(1));
        let describe = DescribeQueue { name: WITH_NOISE.to_owned() };
        let left = ask_once(&store.address(), describe).await?.queue.waiting;
        row("    left in the end", left);
        if left == 0 {
            return Err(BenchError::new(
                "the noisy tenant's backlog came to its end: more --noise",
            ));
        }
        let ratio = all[0].latency_us(0.99) / all[1].latency_us(0.99);
        judged("p99 of all, with noise / without", ratio, "", Wanted::AtMost(2.0));
        let ratio = median(&p99[0]) / median(&p99[1]);
        judged("median p99 of the turns, with noise / without", ratio, "", Wanted::AtMost(2.0));
        report::memory("at the end", store.resident()?);
        Ok(())
    }

    fn turn<'f>(
        &'f self,
        queue: &'static str,
        marked: &'f Marked,
        counts_all: bool,
    ) -> impl Fn(Instant, u64) -> Turn + 'f {
        move |began, awaited| Turn {
            queue,
            marked: marked.clone(),
            work: Duration::from_millis(self.work_ms),
            began,
            counted_from: if counts_all { began } else { began + WARM_UP },
            is_over: AtomicBool::new(false),
            awaited: AtomicU64::new(awaited),
            noisy: AtomicU64::new(0),
            waits: Mutex::new(Measure::new()),
        }
    }

    /// Consumes for so long, or until what is awaited has come; in the first case with a sender.
    async fn consume(
        &self,
        store: &mut Store,
        turn: &Arc<Turn>,
        lasts: Duration,
    ) -> Result<(), BenchError> {
        let (address, sends) = (store.address(), turn.awaited.load(Ordering::Relaxed) == 0);
        let work = async {
            let mut running = JoinSet::new();
            for _ in 0..self.consumers {
                running.spawn(consume(Wire::connect(&address).await?, Arc::clone(turn)));
            }
            if sends {
                let wire = Wire::connect(&address).await?;
                running.spawn(send(wire, Arc::clone(turn), self.tenants, self.pace, lasts));
            }
            while let Some(ended) = running.join_next().await {
                ended.map_err(|error| BenchError::new(error.to_string()))??;
            }
            Ok(())
        };
        store.under(&turn.noisy, work).await?;
        match turn.awaited.load(Ordering::Relaxed) {
            0 => Ok(()),
            left => Err(BenchError::new(format!("{left} messages did not come in {lasts:?}"))),
        }
    }
}

/// p50, p99 and the longest.
fn latencies(found: &Measure) -> String {
    let [p50, p99, last] = [0.5, 0.99, 1.0].map(|quantile| found.latency_us(quantile) / 1e3);
    format!("{p50:.2} / {p99:.2} / {last:.2} ms")
}

/// Sends a message of each of these tenants, in their order.
async fn fill(
    store: &mut Store,
    marked: &Marked,
    queue: &str,
    tenants: &[u64],
) -> Result<(), BenchError> {
    let frame = |tenants: &[u64]| {
        let messages = tenants.iter().map(|tenant| message(marked, 0, *tenant)).collect();
        encode(&Send::new(queue, messages).into(), 1)
    };
    let frames: Result<Vec<BytesMut>, BenchError> =
        tenants.chunks(BATCH as usize).map(frame).collect();
    let frames = frames?;
    let count = frames.len() as u64;
    let requests = Requests { frames, count, worth: BATCH, window: u64::MAX };
    send_all(store, SENDERS, requests).await.map(|_| ())
}

/// A message that is sent so many ns after its turn began.
fn message(marked: &Marked, sent_ns: u64, tenant: u64) -> OutgoingMessage {
    OutgoingMessage::new(marked.body(sent_ns, tenant)).group(format!("tenant-{tenant}"))
}

/// The quiet tenants, one after the other.
async fn send(
    mut wire: Wire,
    turn: Arc<Turn>,
    tenants: u64,
    pace: u64,
    lasts: Duration,
) -> Result<(), BenchError> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / pace as u32);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut sent, mut answered) = (0, 0);
    while turn.began.elapsed() < lasts || answered < sent {
        tokio::select! {
            frame = wire.read() => {
                reply_of(&frame?)?;
                answered += 1;
            }
            _ = ticks.tick(), if turn.began.elapsed() < lasts => {
                turn.awaited.fetch_add(1, Ordering::Relaxed);
                let message = message(
                    &turn.marked,
                    turn.began.elapsed().as_nanos() as u64,
                    1 + sent % tenants,
                );
                let send = Send::new(turn.queue, vec![message]);
                wire.write(&encode(&send.into(), 1)?).await?;
                sent += 1;
            }
        }
    }
    // The last ones are on their way.
    let asked = Instant::now();
    while turn.awaited.load(Ordering::Relaxed) > 0 && asked.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    turn.is_over.store(true, Ordering::Relaxed);
    Ok(())
}

async fn consume(mut wire: Wire, turn: Arc<Turn>) -> Result<(), BenchError> {
    let receive = Receive {
        queue: turn.queue.to_owned(),
        max: 1,
        wait_ms: Some(WAIT_MS),
        visibility_ms: None,
        bytes_max: 0,
        attempt: String::new(),
    };
    let receive = encode(&receive.into(), RECEIVE)?;
    let mut out = Vec::new();
    let (mut asking, mut acking) = (0, 0);
    loop {
        if asking == 0 && !turn.is_over.load(Ordering::Relaxed) {
            out.extend_from_slice(&receive);
            asking += 1;
        }
        if asking + acking == 0 {
            return Ok(());
        }
        wire.write(&out).await?;
        out.clear();
        match reply_of(&wire.read().await?)? {
            Reply::Received(these) => {
                asking -= 1;
                let Some(message) = these.messages.into_iter().next() else { continue };
                turn.note(message.block.body())?;
                // A runtime's timers are a millisecond wide, and would wake all consumers together.
                let work = turn.work;
                let worked = tokio::task::spawn_blocking(move || std::thread::sleep(work)).await;
                worked.map_err(|error| BenchError::new(error.to_string()))?;
                let ack = Ack { queue: turn.queue.to_owned(), receipts: vec![message.receipt] };
                out.extend_from_slice(&encode(&ack.into(), ACK)?);
                acking += 1;
            }
            // The next message is not waited with until the ack is durable.
            Reply::Acked(acked) if acked.failures.is_empty() => acking -= 1,
            other => return Err(BenchError::new(format!("unexpected answer: {other:?}"))),
        }
    }
}

impl Turn {
    /// A message has come.
    fn note(&self, body: &[u8]) -> Result<(), BenchError> {
        let now = self.began.elapsed();
        let Some((sent_ns, tenant)) = self.marked.read(body) else {
            return Err(BenchError::new("a body came that was never sent"));
        };
        if tenant == NOISY {
            self.noisy.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let sent = Duration::from_nanos(sent_ns);
        if self.began + sent >= self.counted_from {
            let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
            waits.note(1, now.saturating_sub(sent));
        }
        let before = self.awaited.fetch_sub(1, Ordering::Relaxed);
        // Without a sender the turn ends with what waited.
        if before == 1 && sent_ns == 0 {
            self.is_over.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}
