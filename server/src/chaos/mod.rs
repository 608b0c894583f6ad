//! `forebay serve --chaos PLAN`: a server that has bad days, for those who test their own clients.
//!
//! ```text
//!  client ─▶ Proxy: delays, cuts ─▶ the server as it always is ─▶ engine ─▶ a store made for this
//!            Duplicates: leases that end early ──────────────────▲   ▲
//!            Kills: the process becomes a new one                    │
//!            Clock: moved ahead, by the plan and by hand ────────────┘
//! ```
//! Nothing of the server or the engine behaves in another way for it: what a client meets is what a network, a
//! crash, an early end of a lease or much time bring.
//!
//! Invariants:
//! - No store is touched that was not created for it ([`Ground`]).
//! - Everything that chance decides follows from the seed, the life that the server is in, and, for connections,
//!   the door and how many came before: not from anybody's timing, as far as the plan goes.
//! - A kill leaves what SIGKILL leaves: the process is replaced by a new one of the same program, without a word to
//!   anybody. What was answered is durable, and nothing else is known.

mod clock;
mod control;
mod ground;
mod plan;
mod proxy;

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use forebay_engine::attributes::FIFO_SUFFIX;
use forebay_engine::command::Command;
use forebay_engine::disk::Random;
use serde::Serialize;
use tokio::net::TcpListener;

pub(crate) use self::clock::MovableClock;
use self::ground::{Ground, GroundError};
use self::plan::Plan;
use crate::caller::{Caller, EngineHandle};
use crate::ending::EndingReceiver;

/// The longest that a lease lasts which ends early, in ms.
const EARLY_END_MS_MAX: usize = 100;

/// Tells the life that follows where the one before has listened, when the system had chosen that.
const ADDRESSES: &str = "FOREBAY_CHAOS_ADDRESSES";

/// What the streams of chance are for.
#[derive(Debug, Clone, Copy)]
enum Chance {
    Kills,
    Clock,
    Duplicates,
    /// The connections of a door.
    Door(Door),
}

/// A front door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// The native protocol.
    Native,
    /// SQS over HTTP.
    Sqs,
}

/// A plan at work.
#[derive(Debug)]
pub(crate) struct Chaos {
    plan: Plan,
    ground: Ground,
    clock: MovableClock,
    duplicates: Duplicates,
    counted: Counted,
}

/// How this life may end.
#[derive(Debug)]
struct Fate {
    /// Where the next one is to listen.
    addresses: Vec<SocketAddr>,
    /// Whether it is to end in good order.
    ending: EndingReceiver,
}

/// What has happened in this life, which a kill ends.
#[derive(Debug, Default)]
struct Counted {
    connections: AtomicU64,
    delays: AtomicU64,
    cuts: AtomicU64,
}

/// What is told of it.
#[derive(Debug, Serialize)]
struct Told {
    seed: u64,
    life: u64,
    clock_ahead_ms: u64,
    connections: u64,
    delays: u64,
    cuts: u64,
    duplicates: u64,
}

impl Chaos {
    /// A plan on the ground that was prepared for it.
    fn new(plan: Plan, ground: Ground) -> Arc<Self> {
        let clock = MovableClock::new(ground.clock_ahead_ms());
        let share = plan.duplicate.as_ref().map_or(0.0, |duplicate| duplicate.share);
        let random = random(&ground, Chance::Duplicates, 0);
        let duplicates = Duplicates::new(share, random);
        Arc::new(Self { plan, ground, clock, duplicates, counted: Counted::default() })
    }

    /// The clock that the engine is to have.
    pub(crate) fn clock(&self) -> MovableClock {
        self.clock.clone()
    }

    /// What ends leases early, for the front doors.
    pub(crate) fn duplicates(&self) -> Duplicates {
        self.duplicates.clone()
    }

    /// Where it is told what to do by hand, if that is in the plan.
    pub(crate) fn control(&self) -> Option<SocketAddr> {
        self.plan.control
    }

    /// Marks the store, which is open now.
    pub(crate) fn mark(&self, created: bool) -> Result<(), GroundError> {
        self.ground.mark(created)
    }

    /// Says loudly what this is.
    pub(crate) fn announce(&self, control: Option<SocketAddr>) {
        let Told { seed, life, .. } = self.told();
        tracing::warn!(
            seed,
            life,
            "CHAOS: by its plan this server {}; nothing that it holds is for keeps",
            self.plan
        );
        if let Some(control) = control {
            tracing::warn!("CHAOS: it does what it is told on http://{control}");
        }
    }

    /// Where a door is to be: with the port that the system has chosen in the life before, if it was to choose one.
    pub(crate) fn place(&self, door: Door, address: SocketAddr) -> SocketAddr {
        let is_it = |before: &SocketAddr| address.port() == 0 && before.ip() == address.ip();
        address_before(door).filter(is_it).unwrap_or(address)
    }

    /// A listener for the server, on a port of its own: what comes to `outside` gets there as the plan says, for ever.
    pub(crate) async fn stand_before(
        self: Arc<Self>,
        door: Door,
        outside: TcpListener,
    ) -> std::io::Result<TcpListener> {
        let inside = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        tokio::spawn(proxy::run(self, door, outside, inside.local_addr()?));
        Ok(inside)
    }

    /// Does what the plan says at its times, and what is asked by hand, for ever.
    ///
    /// A server that is to end is not killed any more: it would start again.
    pub(crate) async fn run(
        self: Arc<Self>,
        engine: EngineHandle,
        control: Option<TcpListener>,
        addresses: Vec<SocketAddr>,
        ending: EndingReceiver,
    ) {
        let fate = Arc::new(Fate { addresses, ending });
        let clock = self.plan.clock.clone().map(|clock| {
            let (chaos, engine) = (Arc::clone(&self), engine.clone());
            async move {
                let mut random = chaos.random(Chance::Clock, 0);
                loop {
                    tokio::time::sleep(about(clock.every, &mut random)).await;
                    let ahead = up_to(clock.ahead, &mut random);
                    chaos.move_clock(ahead, &engine);
                }
            }
        });
        let kills = self.plan.kill.clone().map(|kill| {
            let (chaos, fate) = (Arc::clone(&self), Arc::clone(&fate));
            async move {
                let mut random = chaos.random(Chance::Kills, 0);
                tokio::time::sleep(about(kill.every, &mut random)).await;
                chaos.kill(&fate);
            }
        });
        let control = control.map(|listener| {
            let (chaos, engine) = (Arc::clone(&self), engine.clone());
            control::run(chaos, engine, listener, fate)
        });
        tokio::join!(or_never(clock), or_never(kills), or_never(control));
    }

    /// Moves the clock ahead, and whoever waits for a moment that is past then is served.
    fn move_clock(&self, ahead: Duration, engine: &EngineHandle) {
        let ms = u64::try_from(ahead.as_millis()).unwrap_or(u64::MAX);
        let total_ms = self.clock.advance(ms);
        tracing::warn!(ahead = %humantime::format_duration(Duration::from_millis(ms)), total_ms, "CHAOS: the clock was moved");
        if let Err(error) = self.ground.remember_clock(total_ms) {
            tracing::error!(%error, "CHAOS: the next life will have an older clock");
        }
        // The engine looks at the clock when something comes.
        engine.submit(Command::Stats, Caller::nobody());
    }

    /// Ends this life as SIGKILL would, and begins the next one.
    fn kill(&self, fate: &Fate) {
        if fate.ending.borrow().is_some() {
            return;
        }
        tracing::warn!(life = self.ground.life(), "CHAOS: killed; it starts again");
        let mut arguments = std::env::args_os();
        let mut next = std::process::Command::new("/proc/self/exe");
        if let Some(name) = arguments.next() {
            next.arg0(name);
        }
        let addresses: Vec<String> = fate.addresses.iter().map(ToString::to_string).collect();
        let error = next.args(arguments).env(ADDRESSES, addresses.join(",")).exec();
        tracing::error!(%error, "CHAOS: it cannot start again");
        std::process::abort()
    }

    fn random(&self, chance: Chance, number: u64) -> Random {
        random(&self.ground, chance, number)
    }

    fn told(&self) -> Told {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Told {
            seed: self.ground.seed(),
            life: self.ground.life(),
            clock_ahead_ms: self.clock.ahead_ms(),
            connections: read(&self.counted.connections),
            delays: read(&self.counted.delays),
            cuts: read(&self.counted.cuts),
            duplicates: self.duplicates.count(),
        }
    }
}

/// Where the life before has listened at this door, if there was one in this process.
fn address_before(door: Door) -> Option<SocketAddr> {
    let addresses = std::env::var(ADDRESSES).ok()?;
    let place = match door {
        Door::Native => 0,
        Door::Sqs => 1,
    };
    addresses.split(',').nth(place)?.parse().ok()
}

/// What a plan says, on the ground that is prepared for it. Without one, a store that was made for another is served as
/// any.
pub(crate) fn prepare(
    plan: Option<&Path>,
    data: &Path,
) -> Result<Option<Arc<Chaos>>, PrepareError> {
    let Some(plan) = plan else {
        if ground::is_marked(data) {
            tracing::warn!(data = %data.display(), "this store was made for --chaos, and is served without");
        }
        return Ok(None);
    };
    let plan = Plan::read(plan)?;
    let ground = Ground::prepare(data, plan.seed)?;
    Ok(Some(Chaos::new(plan, ground)))
}

/// Why there is no chaos.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    /// The plan is none.
    #[error(transparent)]
    Plan(#[from] plan::PlanError),
    /// The store is not for this.
    #[error(transparent)]
    Ground(#[from] GroundError),
}

/// Leases that end before their time, as SQS says they may: the message comes again, and the receipt that the first
/// consumer has is stale then. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Duplicates(Arc<Ends>);

#[derive(Debug)]
struct Ends {
    share: f64,
    random: std::sync::Mutex<Random>,
    count: AtomicU64,
}

impl Duplicates {
    fn new(share: f64, random: Random) -> Self {
        Self(Arc::new(Ends { share, random: random.into(), count: AtomicU64::new(0) }))
    }

    /// Lets the leases of a receive from this queue end early, if it is its turn. Not those of FIFO queues, which
    /// promise their order.
    pub(crate) fn strike(&self, command: &mut Command, queue: &str) {
        let (Command::Receive { visibility_ms, .. } | Command::Await { visibility_ms, .. }) =
            command
        else {
            return;
        };
        if queue.ends_with(FIFO_SUFFIX) {
            return;
        }
        let mut random = self.0.random.lock().expect("nobody panics with it");
        if is_struck(self.0.share, &mut random) {
            *visibility_ms = Some(random.below(EARLY_END_MS_MAX) as u64);
            self.0.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }
}

/// A stream of chance.
fn random(ground: &Ground, chance: Chance, number: u64) -> Random {
    let chance = match chance {
        Chance::Kills => 1,
        Chance::Clock => 2,
        Chance::Duplicates => 3,
        Chance::Door(Door::Native) => 4,
        Chance::Door(Door::Sqs) => 5,
    };
    // Each a stream of its own: the number drawn from one is the seed of the next.
    [ground.life(), chance, number]
        .into_iter()
        .fold(Random::new(ground.seed()), |mut random, part| Random::new(random.draw() ^ part))
}

/// Whether chance strikes, with a share of 0 to 1.
fn is_struck(share: f64, random: &mut Random) -> bool {
    const WHOLE: usize = 1 << 32;
    (random.below(WHOLE) as f64) < share * WHOLE as f64
}

/// A time of nothing to twice as long, so as long on average.
fn about(every: Duration, random: &mut Random) -> Duration {
    up_to(2 * every, random)
}

/// A time of a millisecond to so long.
fn up_to(most: Duration, random: &mut Random) -> Duration {
    Duration::from_millis(1 + random.below(most.as_millis() as usize) as u64)
}

/// Waits for it; if there is none, for ever.
async fn or_never<F: Future>(future: Option<F>) {
    if let Some(future) = future {
        future.await;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(queue: &str) -> Command {
        let (queue, visibility_ms) = (queue.to_owned(), Some(30_000));
        Command::Receive {
            queue,
            max: 1,
            wait_ms: None,
            visibility_ms,
            bytes_max: 1,
            attempt: None,
        }
    }

    /// With it an order that the queue promises would be broken, which no client need expect.
    #[test]
    fn leases_of_fifo_queues_do_not_end_early() {
        let duplicates = Duplicates::new(1.0, Random::new(1));
        let (mut standard, mut fifo) = (receive("jobs"), receive("jobs.fifo"));
        duplicates.strike(&mut standard, "jobs");
        duplicates.strike(&mut fifo, "jobs.fifo");
        assert!(matches!(standard, Command::Receive { visibility_ms: Some(ms), .. } if ms < 100));
        assert!(matches!(fifo, Command::Receive { visibility_ms: Some(30_000), .. }));
        assert_eq!(duplicates.count(), 1);
    }

    #[test]
    fn a_share_is_struck_as_often_as_it_says() {
        let mut random = Random::new(7);
        for (share, least, most) in [(0.0, 0, 0), (0.25, 2_300, 2_700), (1.0, 10_000, 10_000)] {
            let struck = (0..10_000).filter(|_| is_struck(share, &mut random)).count();
            assert!((least..=most).contains(&struck), "{struck} of 10,000 with a share of {share}");
        }
    }
}
