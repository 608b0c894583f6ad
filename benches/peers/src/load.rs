//! The workloads, from one thread, in closed loops: a connection asks again when it is answered.
//! What a run counted is compared with what is left in the queue.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;

use crate::Error;
use crate::found::{Figures, Found};
use crate::peer::{Client, Server};

const WARM_UP: Duration = Duration::from_millis(500);
/// After so long what is not steady counts as it is.
const STEADY: Duration = Duration::from_secs(10);
/// A run counts until there were so many answers for each that may be unanswered, or the time is up
/// so often: some answer in bursts that are longer than the time.
const ANSWERS: u64 = 8;
const TIMES_MOST: usize = 6;
/// A consumer that got nothing asks again after this.
const IDLE: Duration = Duration::from_millis(1);
/// As `forebay bench` has it: who sends waits at so many messages for each that may be unanswered.
const ON_THEIR_WAY: u64 = 8;
/// Likewise: a consumer may hold so many batches.
const HELD_BATCHES: usize = 16;
/// A queue that is to be drained is filled no longer than this: some sync every message.
const FILL: Duration = Duration::from_secs(3);
/// What was sent has come by then.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is done, by how many.
#[derive(Debug, Clone)]
pub struct Workload {
    pub name: String,
    pub kind: Kind,
    pub connections: usize,
    pub batch: usize,
    pub payload: usize,
}

#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Send,
    Both,
    Drain { messages: u64 },
}

impl Workload {
    /// Messages that a consumer may hold.
    fn held(&self) -> usize {
        HELD_BATCHES * self.batch
    }

    pub fn all(payload: usize, messages: u64) -> Vec<Workload> {
        let of = |name: &str, kind, connections, batch| Workload {
            name: format!("{name}, {payload} bytes"),
            kind,
            connections,
            batch,
            payload,
        };
        vec![
            of("send 16 x 64 in flight", Kind::Send, 16, 64),
            of("send one by one on 64 connections", Kind::Send, 64, 1),
            of("lone sender", Kind::Send, 1, 1),
            of("both on 16 + 16 connections", Kind::Both, 16, 64),
            of("drain on 16 connections", Kind::Drain { messages }, 16, 64),
        ]
    }
}

/// Messages of all connections.
#[derive(Debug, Default)]
struct Flow {
    sent: AtomicU64,
    gone: AtomicU64,
    /// What is answered now counts.
    counts: AtomicBool,
    /// No more is sent.
    is_over: AtomicBool,
    /// When the last message had gone.
    ended: OnceLock<Instant>,
}

impl Flow {
    fn on_their_way(&self) -> u64 {
        // A consumer may be ahead of the answer to the send, but never of the send.
        self.sent.load(Ordering::Relaxed).saturating_sub(self.gone.load(Ordering::Relaxed))
    }

    fn has_ended(&self) -> bool {
        let has_ended = self.is_over.load(Ordering::Relaxed) && self.on_their_way() == 0;
        if has_ended {
            self.ended.get_or_init(Instant::now);
        }
        has_ended
    }

    /// Waits until senders are held up, or no more messages are on their way than before.
    async fn becomes_steady(&self, most: u64) {
        let until = Instant::now() + STEADY;
        let mut before = 0;
        while Instant::now() < until {
            let on_their_way = self.on_their_way();
            if (before > 0 && on_their_way <= before) || on_their_way >= most {
                return;
            }
            before = on_their_way;
            tokio::time::sleep(WARM_UP).await;
        }
    }
}

/// Runs a workload once on a server that was just started.
pub async fn run(
    server: &Server,
    workload: &Workload,
    counted: Duration,
) -> Result<Figures, Error> {
    let bodies: Arc<[Bytes]> = bodies(workload)?.into();
    let clients = connect(server, 0, workload.connections).await?;
    match workload.kind {
        Kind::Drain { messages } => drain(server, workload, clients, bodies, messages).await,
        Kind::Send => timed(server, workload, clients, Vec::new(), bodies, counted).await,
        Kind::Both => {
            let consumers = connect(server, workload.connections, workload.connections).await?;
            timed(server, workload, clients, consumers, bodies, counted).await
        }
    }
}

/// Sends for a time; if there are consumers, they consume.
async fn timed(
    server: &Server,
    workload: &Workload,
    senders: Vec<Client>,
    consumers: Vec<Client>,
    bodies: Arc<[Bytes]>,
    counted: Duration,
) -> Result<Figures, Error> {
    let flow = Arc::new(Flow::default());
    let is_bounded = !consumers.is_empty();
    let most = match is_bounded {
        true => ON_THEIR_WAY * (workload.connections * workload.batch) as u64,
        false => u64::MAX,
    };
    let mut sending = JoinSet::new();
    for client in senders {
        sending.spawn(send(client, Arc::clone(&bodies), Arc::clone(&flow), most));
    }
    let mut consuming = JoinSet::new();
    for client in consumers {
        consuming.spawn(consume(client, workload.held(), Arc::clone(&flow)));
    }
    tokio::time::sleep(WARM_UP).await;
    if is_bounded {
        flow.becomes_steady(most - (workload.connections * workload.batch) as u64).await;
    }
    let progress = match is_bounded {
        true => &flow.gone,
        false => &flow.sent,
    };
    let enough =
        progress.load(Ordering::Relaxed) + ANSWERS * (workload.connections * workload.batch) as u64;
    let (began, load) = (Instant::now(), load_time());
    flow.counts.store(true, Ordering::Relaxed);
    for _ in 0..TIMES_MOST {
        tokio::time::sleep(counted).await;
        if progress.load(Ordering::Relaxed) >= enough {
            break;
        }
    }
    flow.counts.store(false, Ordering::Relaxed);
    flow.is_over.store(true, Ordering::Relaxed);
    let (took, load) = (began.elapsed(), load_time() - load);
    let mut found = Found::new();
    while let Some(done) = sending.join_next().await {
        found.add(&done??);
    }
    let mut left = flow.sent.load(Ordering::Relaxed);
    if is_bounded {
        // A message counts when it is gone; the latencies are those of sends.
        found.messages = consumed(consuming, &flow).await?.messages;
        left = 0;
    }
    server.expect_left(left).await?;
    found.took = took;
    Ok(found.figures(load))
}

/// Fills the queue, and consumes what is in it. It took until the last message had gone.
async fn drain(
    server: &Server,
    workload: &Workload,
    clients: Vec<Client>,
    bodies: Arc<[Bytes]>,
    messages: u64,
) -> Result<Figures, Error> {
    let flow = Arc::new(Flow::default());
    let clients = fill(clients, &bodies, messages, &flow).await?;
    flow.is_over.store(true, Ordering::Relaxed);
    flow.counts.store(true, Ordering::Relaxed);
    let (began, load) = (Instant::now(), load_time());
    let mut consuming = JoinSet::new();
    for client in clients {
        consuming.spawn(consume(client, workload.held(), Arc::clone(&flow)));
    }
    let mut found = consumed(consuming, &flow).await?;
    let load = load_time() - load;
    found.took = flow.ended.get().map_or(Duration::ZERO, |ended| *ended - began);
    server.expect_left(0).await?;
    Ok(found.figures(load))
}

async fn connect(server: &Server, from: usize, count: usize) -> Result<Vec<Client>, Error> {
    let mut clients = Vec::new();
    for number in from..from + count {
        clients.push(server.connect(number).await?);
    }
    Ok(clients)
}

fn bodies(workload: &Workload) -> Result<Vec<Bytes>, Error> {
    let body = || {
        let mut body = vec![0; workload.payload];
        getrandom::fill(&mut body).map_err(|error| error.to_string())?;
        Ok(Bytes::from(body))
    };
    (0..workload.batch).map(|_| body()).collect()
}

/// Time that this process had a core for itself.
fn load_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

async fn send(
    mut client: Client,
    bodies: Arc<[Bytes]>,
    flow: Arc<Flow>,
    most: u64,
) -> Result<Found, Error> {
    let mut found = Found::new();
    let count = bodies.len() as u64;
    while !flow.is_over.load(Ordering::Relaxed) {
        if flow.on_their_way().saturating_add(count) > most {
            tokio::time::sleep(IDLE).await;
            continue;
        }
        flow.sent.fetch_add(count, Ordering::Relaxed);
        let began = Instant::now();
        client.send(&bodies).await?;
        if flow.counts.load(Ordering::Relaxed) {
            found.note(count, began.elapsed());
        }
    }
    Ok(found)
}

/// Consumes until the flow has ended.
async fn consume(mut client: Client, held: usize, flow: Arc<Flow>) -> Result<Found, Error> {
    let mut found = Found::new();
    while !flow.has_ended() {
        let count = client.consume(held).await? as u64;
        flow.gone.fetch_add(count, Ordering::Relaxed);
        if count == 0 {
            tokio::time::sleep(IDLE).await;
        } else if flow.counts.load(Ordering::Relaxed) {
            found.messages += count;
        }
    }
    Ok(found)
}

/// What all consumers found; an error if not all that was sent came, or more.
async fn consumed(
    mut consuming: JoinSet<Result<Found, Error>>,
    flow: &Flow,
) -> Result<Found, Error> {
    let all = tokio::time::timeout(PATIENCE, async {
        let mut all = Found::new();
        while let Some(done) = consuming.join_next().await {
            all.add(&done??);
        }
        Ok::<_, Error>(all)
    });
    let all = all.await.unwrap_or_else(|_| Err("it takes too long".into()));
    let [sent, gone] = [&flow.sent, &flow.gone].map(|count| count.load(Ordering::Relaxed));
    match all {
        Ok(all) if sent == gone => Ok(all),
        Ok(_) => Err(format!("{gone} of {sent} messages came").into()),
        Err(error) => Err(format!("{gone} of {sent} messages came: {error}").into()),
    }
}

/// Fills the queue with so many messages, or as many as time allows.
async fn fill(
    clients: Vec<Client>,
    bodies: &Arc<[Bytes]>,
    messages: u64,
    flow: &Arc<Flow>,
) -> Result<Vec<Client>, Error> {
    let until = Instant::now() + FILL;
    let mut filling = JoinSet::new();
    for mut client in clients {
        let (bodies, flow) = (Arc::clone(bodies), Arc::clone(flow));
        filling.spawn(async move {
            while Instant::now() < until {
                let left = messages.saturating_sub(flow.sent.load(Ordering::Relaxed));
                let count = left.min(bodies.len() as u64);
                if count == 0 {
                    break;
                }
                flow.sent.fetch_add(count, Ordering::Relaxed);
                client.send(&bodies[..count as usize]).await?;
            }
            Ok::<_, Error>(client)
        });
    }
    let mut clients = Vec::new();
    while let Some(done) = filling.join_next().await {
        clients.push(done??);
    }
    Ok(clients)
}
