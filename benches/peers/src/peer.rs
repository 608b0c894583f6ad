//! All peers, each at the durability of Forebay's default and at its own.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::server::Process;
use crate::{Error, beanstalkd, nats, postgres, rabbitmq, redis};

/// What was sent and acked counts in a server after so long at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// A peer and its settings.
#[derive(Debug, Clone, Copy)]
pub enum Peer {
    Redis { appendfsync: &'static str },
    Beanstalkd { sync_ms: Option<u32> },
    Postgres { synchronous_commit: &'static str },
    Nats { sync_always: bool },
    RabbitMq { queue: rabbitmq::Queue },
}

/// A peer that runs, with an empty queue.
pub struct Server {
    peer: Peer,
    process: Process,
}

/// A connection to one.
pub enum Client {
    Redis(redis::Client),
    Beanstalkd(beanstalkd::Client),
    Postgres(postgres::Client),
    Nats(Box<nats::Client>),
    RabbitMq(Box<rabbitmq::Client>),
}

impl Peer {
    /// Those whose answers follow the sync.
    pub const SYNCED: [Peer; 5] = [
        Peer::Redis { appendfsync: "always" },
        Peer::Beanstalkd { sync_ms: Some(0) },
        Peer::Postgres { synchronous_commit: "on" },
        Peer::Nats { sync_always: true },
        Peer::RabbitMq { queue: rabbitmq::Queue::Quorum },
    ];

    /// Those of whose answers a power cut may take some back.
    pub const BEFORE: [Peer; 5] = [
        Peer::Redis { appendfsync: "everysec" },
        Peer::Beanstalkd { sync_ms: None },
        Peer::Postgres { synchronous_commit: "off" },
        Peer::Nats { sync_always: false },
        Peer::RabbitMq { queue: rabbitmq::Queue::Classic },
    ];

    pub fn name(self) -> String {
        match self {
            Peer::Redis { appendfsync } => format!("Redis streams, appendfsync {appendfsync}"),
            Peer::Beanstalkd { sync_ms: Some(ms) } => format!("beanstalkd -f {ms}"),
            Peer::Beanstalkd { sync_ms: None } => "beanstalkd, its default -f 50".to_owned(),
            Peer::Postgres { synchronous_commit } => {
                format!("PostgreSQL SKIP LOCKED, synchronous_commit {synchronous_commit}")
            }
            Peer::Nats { sync_always: true } => "NATS JetStream, sync_interval always".to_owned(),
            Peer::Nats { sync_always: false } => "NATS JetStream, its default".to_owned(),
            Peer::RabbitMq { queue: rabbitmq::Queue::Quorum } => "RabbitMQ quorum queue".to_owned(),
            Peer::RabbitMq { queue: rabbitmq::Queue::Classic } => {
                "RabbitMQ classic queue, version 2".to_owned()
            }
        }
    }

    /// Why it cannot be measured on this machine, if it cannot.
    pub fn lacks(self) -> Option<String> {
        match self {
            Peer::Redis { .. } => redis::lacks(),
            Peer::Beanstalkd { .. } => beanstalkd::lacks(),
            Peer::Postgres { .. } => postgres::lacks(),
            Peer::Nats { sync_always } => nats::lacks(sync_always),
            Peer::RabbitMq { .. } => rabbitmq::lacks(),
        }
    }

    /// Starts it on an empty directory, and makes its queue.
    pub async fn start(self, data_dir: &Path) -> Result<Server, Error> {
        let process = match self {
            Peer::Redis { appendfsync } => redis::start(data_dir, appendfsync)?,
            Peer::Beanstalkd { sync_ms } => beanstalkd::start(data_dir, sync_ms)?,
            Peer::Postgres { synchronous_commit } => postgres::start(data_dir, synchronous_commit)?,
            Peer::Nats { sync_always } => nats::start(data_dir, sync_always)?,
            Peer::RabbitMq { .. } => rabbitmq::start(data_dir)?,
        };
        let port = process.port;
        match self {
            Peer::Redis { .. } => redis::Client::connect(port, 0).await?.prepare().await?,
            Peer::Beanstalkd { .. } => {}
            Peer::Postgres { .. } => postgres::prepare(port).await?,
            Peer::Nats { .. } => nats::Client::connect(port).await?.prepare().await?,
            Peer::RabbitMq { queue } => {
                rabbitmq::Client::connect(port).await?.prepare(queue).await?;
            }
        }
        Ok(Server { peer: self, process })
    }
}

impl Server {
    pub async fn connect(&self, number: usize) -> Result<Client, Error> {
        let port = self.process.port;
        Ok(match self.peer {
            Peer::Redis { .. } => Client::Redis(redis::Client::connect(port, number).await?),
            Peer::Beanstalkd { .. } => Client::Beanstalkd(beanstalkd::Client::connect(port).await?),
            Peer::Postgres { .. } => Client::Postgres(postgres::Client::connect(port).await?),
            Peer::Nats { .. } => Client::Nats(Box::new(nats::Client::connect(port).await?)),
            Peer::RabbitMq { .. } => {
                Client::RabbitMq(Box::new(rabbitmq::Client::connect(port).await?))
            }
        })
    }

    /// An error, unless so many messages are in the queue when nobody holds any.
    pub async fn expect_left(&self, expected: u64) -> Result<(), Error> {
        let mut client = self.connect(0).await?;
        let until = Instant::now() + PATIENCE;
        loop {
            let left = client.left().await?;
            if left == expected {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!("{left} messages are in the queue, expected {expected}").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Client {
    /// Sends all of them, and returns when each is answered.
    pub async fn send(&mut self, bodies: &[Bytes]) -> Result<(), Error> {
        match self {
            Client::Redis(client) => client.send(bodies).await,
            Client::Beanstalkd(client) => client.send(bodies).await,
            Client::Postgres(client) => client.send(bodies).await,
            Client::Nats(client) => client.send(bodies).await,
            Client::RabbitMq(client) => client.send(bodies).await,
        }
    }

    /// Takes up to `max` messages and makes them, or those that it took before, go for good; how many
    /// have gone.
    pub async fn consume(&mut self, max: usize) -> Result<usize, Error> {
        match self {
            Client::Redis(client) => client.consume(max).await,
            Client::Beanstalkd(client) => client.consume(max).await,
            Client::Postgres(client) => client.consume(max).await,
            Client::Nats(client) => client.consume(max).await,
            Client::RabbitMq(client) => client.consume(max).await,
        }
    }

    /// Messages in the queue.
    async fn left(&mut self) -> Result<u64, Error> {
        match self {
            Client::Redis(client) => client.left().await,
            Client::Beanstalkd(client) => client.left().await,
            Client::Postgres(client) => client.left().await,
            Client::Nats(client) => client.left().await,
            Client::RabbitMq(client) => client.left().await,
        }
    }
}
