//! The workloads, from one thread, in closed loops: a connection asks again when it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Error;
use crate::found::Found;
use crate::peer::{Client, Server};

const WARM_UP: Duration = Duration::from_millis(500);
/// A consumer that got nothing asks again after this.
const IDLE: Duration = Duration::from_millis(1);
/// As `forebay bench` has it: who sends waits at so many messages for each that may be unanswered.
const ON_THEIR_WAY: u64 = 8;

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

/// Runs a workload once on a server that was just started.
pub async fn run(server: &Server, workload: &Workload, counted: Duration) -> Result<Found, Error> {
    server.prepare().await?;
    let bodies = Arc::new(bodies(workload)?);
    let mut clients = Vec::new();
    for number in 0..workload.connections {
        clients.push(server.connect(number).await?);
    }
    let mut others = Vec::new();
    for number in 0..workload.connections {
        match workload.kind {
            Kind::Both => others.push(server.connect(workload.connections + number).await?),
            _ => break,
        }
    }
    if let Kind::Drain { messages } = workload.kind {
        fill(&mut clients, &bodies, messages).await?;
        return drain(clients, workload.batch, messages).await;
    }
    let from = Instant::now() + WARM_UP;
    let pace = Pace { from, until: from + counted };
    let (sent, gone) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let over = Arc::new(AtomicBool::new(false));
    let most = ON_THEIR_WAY * (workload.connections * workload.batch) as u64;
    let is_bounded = matches!(workload.kind, Kind::Both);
    let mut sending = JoinSet::new();
    for client in clients {
        let (bodies, sent, gone) = (Arc::clone(&bodies), Arc::clone(&sent), Arc::clone(&gone));
        let most = if is_bounded { most } else { u64::MAX };
        sending.spawn(send(client, bodies, pace, sent, gone, most));
    }
    let mut consuming = JoinSet::new();
    for client in others {
        let (batch, gone, over) = (workload.batch, Arc::clone(&gone), Arc::clone(&over));
        consuming.spawn(consume(client, batch, pace, gone, over));
    }
    let mut found = Found::new();
    while let Some(done) = sending.join_next().await {
        found.add(&done??);
    }
    over.store(true, Ordering::Relaxed);
    if is_bounded {
        // A message counts when it is gone; the latencies are those of sends.
        found.messages = 0;
    }
    while let Some(done) = consuming.join_next().await {
        found.messages += done??;
    }
    found.took = counted;
    Ok(found)
}

fn bodies(workload: &Workload) -> Result<Vec<Vec<u8>>, Error> {
    let body = || {
        let mut body = vec![0; workload.payload];
        getrandom::fill(&mut body).map_err(|error| error.to_string())?;
        Ok(body)
    };
    (0..workload.batch).map(|_| body()).collect()
}

async fn send(
    mut client: Client,
    bodies: Arc<Vec<Vec<u8>>>,
    pace: Pace,
    sent: Arc<AtomicU64>,
    gone: Arc<AtomicU64>,
    most: u64,
) -> Result<Found, Error> {
    let mut found = Found::new();
    let count = bodies.len() as u64;
    loop {
        let began = Instant::now();
        if began >= pace.until {
            return Ok(found);
        }
        // A consumer may be ahead of the answer to the send, but never of the send.
        let on_their_way = sent.load(Ordering::Relaxed) - gone.load(Ordering::Relaxed);
        if on_their_way + count > most {
            tokio::time::sleep(IDLE).await;
            continue;
        }
        sent.fetch_add(count, Ordering::Relaxed);
        client.send(&bodies).await?;
        let now = Instant::now();
        if pace.counts(now) {
            found.note(count, now - began);
        }
    }
}

async fn consume(
    mut client: Client,
    batch: usize,
    pace: Pace,
    gone: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
) -> Result<u64, Error> {
    let mut counted = 0;
    loop {
        let count = client.consume(batch).await? as u64;
        gone.fetch_add(count, Ordering::Relaxed);
        if pace.counts(Instant::now()) {
            counted += count;
        }
        if count == 0 {
            if over.load(Ordering::Relaxed) {
                return Ok(counted);
            }
            tokio::time::sleep(IDLE).await;
        }
    }
}

async fn fill(clients: &mut [Client], bodies: &[Vec<u8>], messages: u64) -> Result<(), Error> {
    let mut left = messages;
    while left > 0 {
        for client in &mut *clients {
            let count = left.min(bodies.len() as u64);
            if count > 0 {
                client.send(&bodies[..count as usize]).await?;
            }
            left -= count;
        }
    }
    Ok(())
}

async fn drain(clients: Vec<Client>, batch: usize, messages: u64) -> Result<Found, Error> {
    let began = Instant::now();
    let mut draining = JoinSet::new();
    for mut client in clients {
        draining.spawn(async move {
            let mut found = Found::new();
            loop {
                let asked = Instant::now();
                match client.consume(batch).await? {
                    0 => return Ok::<_, Error>(found),
                    count => found.note(count as u64, asked.elapsed()),
                }
            }
        });
    }
    let mut found = Found::new();
    while let Some(done) = draining.join_next().await {
        found.add(&done??);
    }
    found.took = began.elapsed();
    if found.messages != messages {
        return Err(format!("{} came of {messages} messages", found.messages).into());
    }
    Ok(found)
}
