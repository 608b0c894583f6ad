//! The clients of a campaign, over all lives of the server.

use std::sync::Arc;
use std::time::Duration;

use forebay_protocol::QueueAttributes;
use forebay_protocol::client::{Client, ClientError, ClientOptions};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::consumers::Consumer;
use super::history::{What, queues};
use super::life::Life;
use super::producers::{Persistent, purge, send};
use super::recorder::Recorder;
use crate::random::Random;

/// Connections of a life; clients share them.
const CONNECTIONS: usize = 4;

/// Each role is played in so many lives of a hundred, so that some lives only send, and some only delete.
const ROLE_PERCENT: u64 = 75;

/// A queue is purged in so many lives of a hundred.
const PURGE_PERCENT: u64 = 10;

/// How long clients let things last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habits {
    /// Leases, in ms: one of these.
    pub(super) visibilities_ms: [u64; 3],
    /// The longest delay of a message, in ms.
    pub(super) delay_ms_max: u64,
}

/// Clients, and what they remember between lives.
#[derive(Debug, Clone)]
pub(super) struct Crew {
    habits: Habits,
    persistent: Vec<Persistent>,
    consumers: Vec<Consumer>,
}

/// What the clients of a life are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// All that they can.
    Everything,
    /// Repeat what was not answered, and delete all that there is.
    Drain,
}

/// Clients at work.
pub(super) struct Shift {
    pub(super) life: Life,
    resting: Crew,
    senders: JoinSet<()>,
    persistent: JoinSet<Persistent>,
    consumers: JoinSet<Consumer>,
}

impl Default for Habits {
    /// Some leases end in the life of the server that gave them, others in a later one.
    fn default() -> Self {
        Self { visibilities_ms: [200, 700, 1_500], delay_ms_max: 1_200 }
    }
}

impl Crew {
    pub(super) fn new(habits: Habits) -> Self {
        let persistent = vec![
            Persistent::numbered(),
            Persistent::numbered(),
            Persistent::of_groups(0),
            Persistent::of_groups(1),
        ];
        // Two where they have to keep out of each other's way.
        let more = [queues::PLAIN, queues::ORDERS, queues::ONCE];
        let consumers = queues::ALL.into_iter().chain(more).map(Consumer::new).collect();
        Self { habits, persistent, consumers }
    }

    /// Whether nothing is left that has to be repeated.
    pub(super) fn is_done(&self) -> bool {
        self.persistent.iter().all(Persistent::is_done)
    }

    /// Sets everybody to work. Must be called in a tokio runtime.
    pub(super) fn begin(
        self,
        clients: &[Client],
        recorder: &Arc<Recorder>,
        (round, number): (u32, u32),
        work: Work,
        random: &mut Random,
    ) -> Shift {
        let (habits, ending) = (self.habits, CancellationToken::new());
        let mut next = 0;
        let mut life = || {
            next += 1;
            let client = clients[next % clients.len()].clone();
            let (recorder, ending) = (Arc::clone(recorder), ending.clone());
            Life { client, round, number, recorder, habits, ending }
        };
        let mut shift = Shift {
            life: life(),
            resting: Self { habits, persistent: Vec::new(), consumers: Vec::new() },
            senders: JoinSet::new(),
            persistent: JoinSet::new(),
            consumers: JoinSet::new(),
        };
        let draining = work == Work::Drain;
        for queue in [queues::PLAIN, queues::PLAIN, queues::LATE, queues::RETRY, queues::WRITTEN] {
            if !draining && random.percent(ROLE_PERCENT) {
                shift.senders.spawn(send(life(), queue, random.fork()));
            }
        }
        if !draining && random.percent(PURGE_PERCENT) {
            let queue = *random.pick(&queues::PURGED);
            shift.senders.spawn(purge(life(), queue, random.fork()));
        }
        for one in self.persistent {
            if draining || random.percent(ROLE_PERCENT) {
                shift.persistent.spawn(one.run(life(), random.fork(), !draining));
            } else {
                shift.resting.persistent.push(one);
            }
        }
        for one in self.consumers {
            if draining || random.percent(ROLE_PERCENT) {
                shift.consumers.spawn(one.run(life(), random.fork(), draining));
            } else {
                shift.resting.consumers.push(one);
            }
        }
        shift
    }
}

impl Shift {
    /// Waits until every client has found that the life is over. `None`: one hangs.
    pub(super) async fn end(mut self, patience: Duration) -> Option<Crew> {
        self.life.ending.cancel();
        let join = async {
            while self.senders.join_next().await.is_some() {}
            while let Some(one) = self.persistent.join_next().await {
                self.resting.persistent.extend(one.ok());
            }
            while let Some(one) = self.consumers.join_next().await {
                self.resting.consumers.extend(one.ok());
            }
        };
        tokio::time::timeout(patience, join).await.ok()?;
        Some(self.resting)
    }

    /// What the queues say that they hold; noted when `is_last`.
    pub(super) async fn count(&self, is_last: bool) -> Result<u64, ClientError> {
        let mut left = 0;
        for queue in queues::ALL {
            let began = self.life.now();
            let result = self.life.client.describe_queue(queue).await;
            let info = result.as_ref().map_err(Clone::clone)?;
            let messages = [info.waiting, info.in_flight, info.delayed, info.damaged];
            left += messages.iter().sum::<u64>();
            if is_last {
                self.life.note(began, &result, What::Count { queue, messages });
            }
        }
        Ok(left)
    }

    /// Whether all that has to be repeated was answered.
    pub(super) fn has_repeated(&mut self) -> bool {
        while let Some(one) = self.persistent.try_join_next() {
            self.resting.persistent.extend(one.ok());
        }
        self.persistent.is_empty() && self.resting.is_done()
    }
}

/// A connection that is lost stays lost: the next life has others.
pub(super) async fn connect(address: String) -> Result<Client, ClientError> {
    let options = ClientOptions {
        name: "forebay torture".to_owned(),
        give_up_after: Some(Duration::ZERO),
        retry_sends: false,
        ..ClientOptions::default()
    };
    Client::connect(address, options).await
}

/// The connections of a life, to a server that has all queues.
pub(super) async fn connect_all(address: &str) -> Result<Vec<Client>, ClientError> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(connect(address.to_owned()).await?);
    }
    create_queues(&clients[0], &queues::ALL).await?;
    Ok(clients)
}

/// Creates what is not there yet.
pub(super) async fn create_queues(
    client: &Client,
    wanted: &[&'static str],
) -> Result<(), ClientError> {
    // Dead-letter queues before those that name them.
    for queue in wanted.iter().rev() {
        let mut attributes = QueueAttributes::default();
        match *queue {
            queues::ORDERS => attributes.fifo = Some(1),
            queues::WRITTEN => attributes.durability = Some(1),
            queues::RETRY => {
                attributes.receive_count_max = Some(queues::RECEIVE_COUNT_MAX.into());
                attributes.dead_letter_queue = Some(queues::DEAD.to_owned());
            }
            _ => {}
        }
        client.create_queue(queue, attributes).await?;
    }
    Ok(())
}
