//! All peers, each at the durability of Forebay's default and at its own.

use std::path::Path;

use crate::server::Process;
use crate::{Error, beanstalkd, postgres, redis};

/// A peer and its settings.
#[derive(Debug, Clone, Copy)]
pub enum Peer {
    Redis { appendfsync: &'static str },
    Beanstalkd { sync_ms: Option<u32> },
    Postgres { synchronous_commit: &'static str },
}

/// A peer that runs.
pub struct Server {
    peer: Peer,
    process: Process,
}

/// A connection to one.
pub enum Client {
    Redis(redis::Client),
    Beanstalkd(beanstalkd::Client),
    Postgres(postgres::Client),
}

impl Peer {
    pub fn all() -> Vec<Peer> {
        vec![
            Peer::Redis { appendfsync: "always" },
            Peer::Beanstalkd { sync_ms: Some(0) },
            Peer::Postgres { synchronous_commit: "on" },
            // What a power cut may take from here on.
            Peer::Redis { appendfsync: "everysec" },
            Peer::Beanstalkd { sync_ms: None },
            Peer::Postgres { synchronous_commit: "off" },
        ]
    }

    pub fn name(&self) -> String {
        match self {
            Peer::Redis { appendfsync } => format!("redis streams, appendfsync {appendfsync}"),
            Peer::Beanstalkd { sync_ms: Some(ms) } => format!("beanstalkd -f {ms}"),
            Peer::Beanstalkd { sync_ms: None } => "beanstalkd, its default -f 50".to_owned(),
            Peer::Postgres { synchronous_commit } => {
                format!("postgresql SKIP LOCKED, synchronous_commit {synchronous_commit}")
            }
        }
    }

    /// Starts it on an empty directory.
    pub fn start(self, data_dir: &Path) -> Result<Server, Error> {
        let process = match self {
            Peer::Redis { appendfsync } => redis::start(data_dir, appendfsync)?,
            Peer::Beanstalkd { sync_ms } => beanstalkd::start(data_dir, sync_ms)?,
            Peer::Postgres { synchronous_commit } => postgres::start(data_dir, synchronous_commit)?,
        };
        Ok(Server { peer: self, process })
    }
}

impl Server {
    /// Makes its queue.
    pub async fn prepare(&self) -> Result<(), Error> {
        let port = self.process.port;
        match self.peer {
            Peer::Redis { .. } => redis::Client::connect(port, 0).await?.prepare().await,
            Peer::Beanstalkd { .. } => Ok(()),
            Peer::Postgres { .. } => postgres::prepare(port).await,
        }
    }

    pub async fn connect(&self, number: usize) -> Result<Client, Error> {
        let port = self.process.port;
        Ok(match self.peer {
            Peer::Redis { .. } => Client::Redis(redis::Client::connect(port, number).await?),
            Peer::Beanstalkd { .. } => Client::Beanstalkd(beanstalkd::Client::connect(port).await?),
            Peer::Postgres { .. } => Client::Postgres(postgres::Client::connect(port).await?),
        })
    }
}

impl Client {
    /// Sends all of them, and returns when each is answered.
    pub async fn send(&mut self, bodies: &[Vec<u8>]) -> Result<(), Error> {
        match self {
            Client::Redis(client) => client.send(bodies).await,
            Client::Beanstalkd(client) => client.send(bodies).await,
            Client::Postgres(client) => client.send(bodies).await,
        }
    }

    /// Receives up to `max` and makes them go for good; how many they were.
    pub async fn consume(&mut self, max: usize) -> Result<usize, Error> {
        match self {
            Client::Redis(client) => client.consume(max).await,
            Client::Beanstalkd(client) => client.consume(max).await,
            Client::Postgres(client) => client.consume(max).await,
        }
    }
}
