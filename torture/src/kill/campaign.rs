//! A campaign's machinery: lives of a server, clients at work, a drain, and the judgement.

use std::io;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay_engine::disk::RealDisk;
use forebay_engine::verify::{Outcome, verify};
use tokio::runtime::Runtime;

use super::checker::{Violation, check};
use super::crew::{Crew, Habits, Shift, Work, connect_all};
use super::history::History;
use super::recorder::Recorder;
use super::server::{Launch, NoServer, Server};
use super::{CampaignError, Report, Summary, write_history};
use crate::random::Random;

/// A client that waits longer for a server that is gone hangs.
const JOIN_PATIENCE: Duration = Duration::from_secs(20);

/// So long an orderly stop may take.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// So often in a row queues must say that they are empty.
const TIMES_EMPTY: u32 = 3;

/// So long it may take until everything is drained.
const DRAIN_PATIENCE: Duration = Duration::from_secs(90);

/// A server that is started and ended, and its clients.
pub(super) struct Campaign {
    pub(super) launch: Launch,
    pub(super) recorder: Arc<Recorder>,
    pub(super) random: Random,
    /// Of the round that runs.
    pub(super) history: History,
    pub(super) summary: Summary,
    runtime: Runtime,
    /// `None` when its clients hang.
    crew: Option<Crew>,
    began: Instant,
    starts: u32,
}

impl Campaign {
    pub(super) fn new(launch: Launch, seed: u64, habits: Habits) -> io::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        Ok(Self {
            launch,
            recorder: Arc::new(Recorder::new()),
            random: Random::new(seed),
            history: History::default(),
            summary: Summary::default(),
            runtime,
            crew: Some(Crew::new(habits)),
            began: Instant::now(),
            starts: 0,
        })
    }

    /// How far it has come.
    pub(super) fn told(&mut self) -> &Summary {
        self.summary.tally = self.recorder.tally();
        self.summary.took = self.began.elapsed();
        self.summary.restarts = self.starts.saturating_sub(1);
        &self.summary
    }

    /// The end; after a violation with the history of the round.
    pub(super) fn report(
        mut self,
        dir: &Path,
        violations: Vec<Violation>,
    ) -> Result<Report, CampaignError> {
        let summary = self.told().clone();
        self.runtime.shutdown_background();
        let history = match violations.is_empty() {
            true => None,
            false => Some(write_history(dir, &self.history, &violations)?),
        };
        Ok(Report { summary, violations, history })
    }

    /// What the history says, and what was broken besides.
    pub(super) fn judge(&mut self, mut broken: Vec<Violation>) -> Vec<Violation> {
        self.history.calls.extend(self.recorder.take());
        broken.extend(check(&self.history));
        broken
    }

    /// How often a server was started.
    pub(super) fn starts(&self) -> u32 {
        self.starts
    }

    /// One life of the server, with clients at work, until it is killed; with so many starts at the most.
    pub(super) fn live(&mut self, mut starts: u32) -> Result<(), Violation> {
        while self.random.percent(15) && starts > 1 {
            starts -= 1;
            self.kill_in_opening()?;
        }
        let server = self.start()?;
        let shift = self.begin(&server, Work::Everything)?;
        let ms = match self.random.below(100) {
            0..=69 => self.random.of(10..=200),
            70..=94 => self.random.of(200..=500),
            // Long enough for leases to end, and for the keeper to be in the middle of something.
            _ => self.random.of(500..=2_500),
        };
        std::thread::sleep(Duration::from_millis(ms));
        self.end(server, shift)
    }

    /// One life of that length, until it is killed.
    pub(super) fn live_for(&mut self, time: Duration) -> Result<(), Violation> {
        let server = self.start()?;
        let shift = self.begin(&server, Work::Everything)?;
        std::thread::sleep(time);
        server.kill();
        self.rejoin(shift, JOIN_PATIENCE)
    }

    /// One life of that length, ended in order.
    pub(super) fn live_and_stop(
        &mut self,
        time: Duration,
        patience: Duration,
    ) -> Result<(), Violation> {
        let server = self.start()?;
        let shift = self.begin(&server, Work::Everything)?;
        std::thread::sleep(time);
        let stopped = server.terminate(patience);
        self.rejoin(shift, patience)?;
        self.check_stop(stopped, patience)
    }

    /// SIGTERM ends a server in time, and with 0.
    fn check_stop(
        &mut self,
        stopped: Option<ExitStatus>,
        patience: Duration,
    ) -> Result<(), Violation> {
        match stopped {
            Some(status) if status.success() => {
                self.history.stopped.insert(self.starts);
                Ok(())
            }
            Some(status) => {
                let log = self.launch.log_end();
                Err(broken("alive", format!("SIGTERM ended it with {status}: {log}")))
            }
            None => Err(hang("the server", "end after SIGTERM", patience)),
        }
    }

    fn end(&mut self, mut server: Server, shift: Shift) -> Result<(), Violation> {
        if let Some(status) = server.wait(Duration::ZERO) {
            let log = self.launch.log_end();
            return Err(broken(
                "alive",
                format!("the server ended by itself with {status}: {log}"),
            ));
        }
        if self.random.percent(8) {
            self.summary.stops += 1;
            self.check_stop(server.terminate(STOP_PATIENCE), STOP_PATIENCE)?;
        } else {
            self.summary.kills += 1;
            server.kill();
        }
        self.rejoin(shift, JOIN_PATIENCE)
    }

    pub(super) fn rejoin(&mut self, shift: Shift, patience: Duration) -> Result<(), Violation> {
        self.crew = self.runtime.block_on(shift.end(patience));
        self.history.calls.extend(self.recorder.take());
        match self.crew {
            Some(_) => Ok(()),
            None => Err(hang("a client", "find out that the server is gone", patience)),
        }
    }

    /// The clients as they are between two lives.
    pub(super) fn crew(&self) -> Option<Crew> {
        self.crew.clone()
    }

    pub(super) fn set_crew(&mut self, crew: Crew) {
        self.crew = Some(crew);
    }

    pub(super) fn start(&mut self) -> Result<Server, Violation> {
        self.try_start().map_err(|why| broken("start", why.to_string()))
    }

    /// Starts a server that has a reason not to start.
    pub(super) fn try_start(&mut self) -> Result<Server, NoServer> {
        self.starts += 1;
        let server = self.launch.start()?;
        self.summary.slowest_start = self.summary.slowest_start.max(server.took);
        Ok(server)
    }

    /// Recovery must stand being killed too.
    fn kill_in_opening(&mut self) -> Result<(), Violation> {
        self.starts += 1;
        self.summary.kills_in_opening += 1;
        let mut child = self.launch.spawn().map_err(|why| broken("start", why.to_string()))?;
        std::thread::sleep(Duration::from_micros(self.random.of(500..=40_000)));
        let ended = child.try_wait().ok().flatten();
        let _ = child.kill();
        let _ = child.wait();
        match ended {
            None => Ok(()),
            Some(status) => {
                let log = self.launch.log_end();
                Err(broken("start", format!("a start ended with {status}: {log}")))
            }
        }
    }

    /// Connects, and sets the clients to work.
    pub(super) fn begin(&mut self, server: &Server, work: Work) -> Result<Shift, Violation> {
        let address = server.address.to_string();
        let clients = self.runtime.block_on(connect_all(&address)).map_err(|error| {
            broken("start", format!("a server that listens refuses its first clients: {error}"))
        })?;
        let crew = self.crew.take().expect("they were joined");
        let life = (self.summary.rounds, self.starts);
        let _runtime = self.runtime.enter();
        Ok(crew.begin(&clients, &self.recorder, life, work, &mut self.random))
    }

    /// Everything that has to be repeated is repeated, and every queue emptied.
    pub(super) fn drain(&mut self) -> Result<(), Violation> {
        let server = self.start()?;
        let mut shift = self.begin(&server, Work::Drain)?;
        let runtime = &self.runtime;
        let emptied = runtime.block_on(async {
            let work = async {
                // More than once: a dead letter that is being moved counts nowhere for some milliseconds.
                let mut times_empty = 0;
                while times_empty < TIMES_EMPTY {
                    let is_empty = shift.has_repeated() && shift.count(false).await? == 0;
                    times_empty = if is_empty { times_empty + 1 } else { 0 };
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                shift.count(true).await
            };
            match tokio::time::timeout(DRAIN_PATIENCE, work).await {
                Ok(counted) => counted.map_err(|error| error.to_string()),
                Err(_) => {
                    // What is left is told by the counts.
                    let left = shift.count(true).await.map_err(|error| error.to_string())?;
                    let seconds = DRAIN_PATIENCE.as_secs();
                    Err(format!("{left} messages are left after {seconds} s of deleting"))
                }
            }
        });
        let stopped = server.terminate(STOP_PATIENCE);
        self.rejoin(shift, JOIN_PATIENCE)?;
        emptied.map_err(|why| broken("drain", why))?;
        self.history.drained = true;
        self.check_stop(stopped, STOP_PATIENCE)
    }

    /// Every checksum of the store.
    pub(super) fn verify(&self) -> Result<(), Violation> {
        match verify(&RealDisk, &self.launch.data, &mut |_| {}) {
            Ok(report) if matches!(report.outcome, Outcome::Damaged(_)) => {
                Err(broken("verify", report.to_string()))
            }
            Ok(report) if !report.spoiled.is_empty() => Err(broken("verify", report.to_string())),
            Ok(_) => Ok(()),
            Err(error) => Err(broken("verify", error.to_string())),
        }
    }
}

pub(super) fn broken(rule: &'static str, text: String) -> Violation {
    Violation { rule, number: 0, text }
}

pub(super) fn hang(who: &str, what: &str, patience: Duration) -> Violation {
    broken("hang", format!("{who} did not {what} within {} s", patience.as_secs()))
}
