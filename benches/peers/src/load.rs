//! The workloads, from one thread, in closed loops: a connection asks again when it is answered.
//! What a run counted is compared with what is left in the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;

use crate::Error;
use crate::found::{Figures, Found};
use crate::peer::{Client, Server};

const WARM_UP: Duration = Duration::from_millis(500);
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
    pub fn all(payload: usize, messages: u64) -> Vec<Workload> {
        let of = |name: &str, kind, connections, batch| Workload {
            name: format!("{name} {payload} bytes"),
            kind,
            connections,
            batch,
            payload,
        };
        vec![
            of("send, 16 x 64 in flight,", Kind::Send, 16, 64),
            of("send one by one, 64 connections,", Kind::Send, 64, 1),
            of("send, a lone sender,", Kind::Send, 1, 1),
            of("both, 16 + 16 connections,", Kind::Both, 16, 64),
            of("drain, 16 connections,", Kind::Drain { messages }, 16, 64),
        ]
    }
}

/// When a run counts.
#[derive(Debug, Clone, Copy)]
struct Pace {
    from: Instant,
    until: Instant,
}

impl Pace {
    fn counts(&self, now: Instant) -> bool {
        (self.from..self.until).contains(&now)
    }
}

/// Messages of all connections.
#[derive(Debug, Default)]
struct Flow {
    sent: AtomicU64,
    gone: AtomicU64,
    /// No more is sent.
    is_over: AtomicBool,
}

impl Flow {
    fn on_their_way(&self) -> u64 {
        // A consumer may be ahead of the answer to the send, but never of the send.
        self.sent.load(Ordering::Relaxed).saturating_sub(self.gone.load(Ordering::Relaxed))
    }

    fn has_ended(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) && self.on_their_way() == 0
    }
}

/// Runs a workload once on a server that was just started.
pub async fn run(
    server: &Server,
    workload: &Workload,
    counted: Duration,
) -> Result<Figures, Error> {
    let bodies: Arc<[Bytes]> = bodies(workload)?.into();
    let mut clients = connect(server, 0, workload.connections).await?;
    let flow = Arc::new(Flow::default());
    let held = HELD_BATCHES * workload.batch;
    if let Kind::Drain { messages } = workload.kind {
        clients = fill(clients, &bodies, messages, &flow).await?;
        let (began, load) = (Instant::now(), load_time());
        let pace = Pace { from: began, until: began + PATIENCE };
        let mut consuming = JoinSet::new();
        for client in clients {
            consuming.spawn(consume(client, held, pace, Arc::clone(&flow)));
        }
        let found = consumed(consuming, &flow).await?;
        let load = load_time() - load;
        server.expect_left(0).await?;
        return Ok(found.figures(load));
    }
    let is_bounded = matches!(workload.kind, Kind::Both);
    let consumers = if is_bounded { workload.connections } else { 0 };
    let consumers = connect(server, workload.connections, consumers).await?;
    let most = match is_bounded {
        true => ON_THEIR_WAY * (workload.connections * workload.batch) as u64,
        false => u64::MAX,
    };
    let from = Instant::now() + WARM_UP;
    let pace = Pace { from, until: from + counted };
    let mut sending = JoinSet::new();
    for client in clients {
        sending.spawn(send(client, Arc::clone(&bodies), pace, Arc::clone(&flow), most));
    }
    let mut consuming = JoinSet::new();
    for client in consumers {
        consuming.spawn(consume(client, held, pace, Arc::clone(&flow)));
    }
    let load = tokio::spawn(async move {
        tokio::time::sleep_until(pace.from.into()).await;
        let load = load_time();
        tokio::time::sleep_until(pace.until.into()).await;
        load_time() - load
    });
    let mut found = Found::new();
    while let Some(done) = sending.join_next().await {
        found.add(&done??);
    }
    flow.is_over.store(true, Ordering::Relaxed);
    let mut left = flow.sent.load(Ordering::Relaxed);
    if is_bounded {
        // A message counts when it is gone; the latencies are those of sends.
        found.messages = consumed(consuming, &flow).await?.messages;
        left = 0;
    }
    server.expect_left(left).await?;
    found.took = counted;
    Ok(found.figures(load.await?))
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
    pace: Pace,
    flow: Arc<Flow>,
    most: u64,
) -> Result<Found, Error> {
    let mut found = Found::new();
    let count = bodies.len() as u64;
    loop {
        let began = Instant::now();
        if began >= pace.until {
            return Ok(found);
        }
        if flow.on_their_way().saturating_add(count) > most {
            tokio::time::sleep(IDLE).await;
            continue;
        }
        flow.sent.fetch_add(count, Ordering::Relaxed);
        client.send(&bodies).await?;
        let now = Instant::now();
        if pace.counts(now) {
            found.note(count, now - began);
        }
    }
}

/// Consumes until the flow has ended. It took until the last message went.
async fn consume(
    mut client: Client,
    held: usize,
    pace: Pace,
    flow: Arc<Flow>,
) -> Result<Found, Error> {
    let mut found = Found::new();
    while !flow.has_ended() {
        let count = client.consume(held).await? as u64;
        flow.gone.fetch_add(count, Ordering::Relaxed);
        let now = Instant::now();
        if count == 0 {
            tokio::time::sleep(IDLE).await;
        } else if pace.counts(now) {
            found.messages += count;
            found.took = now - pace.from;
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
    flow.is_over.store(true, Ordering::Relaxed);
    Ok(clients)
}
