//! NATS JetStream: a work-queue stream, publishes with their acks awaited together, and a durable
//! pull consumer that all share, with double acks.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::{self, consumer, stream};
use async_nats::{Client as Connection, ConnectOptions, RequestError};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, try_join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::Error;
use crate::server::{Process, command, directory, find, free_port};

const NAME: &str = "bench";
/// An answer that takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(60);
/// A consumer waits so long for the first message.
const WAIT: Duration = Duration::from_millis(100);
/// Acks that a consumer has unanswered. The server answers what has come together when all of it is
/// done, so that more of them only come back later.
const UNANSWERED: usize = 64;
/// The first version that knows `sync_interval`.
const SYNC_INTERVAL_SINCE: [u64; 2] = [2, 10];

/// Why it cannot be measured, if it cannot.
pub fn lacks(sync_always: bool) -> Option<String> {
    if find("nats-server").is_none() {
        return Some("there is no nats-server".to_owned());
    }
    let said = Command::new("nats-server").arg("--version").output().ok()?.stdout;
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    let version: Vec<u64> =
        said.split(['v', '.']).filter_map(|number| number.parse().ok()).collect();
    let is_too_old = version.as_slice() < SYNC_INTERVAL_SINCE.as_slice();
    let [major, minor] = SYNC_INTERVAL_SINCE;
    (sync_always && is_too_old)
        .then(|| format!("{said} has no sync_interval, which came with {major}.{minor}"))
}

/// Starts nats-server with JetStream. Without `sync_always` it syncs every two minutes.
pub fn start(data_dir: &Path, sync_always: bool) -> Result<Process, Error> {
    let (data, port) = (directory(data_dir)?, free_port()?);
    let sync_interval = if sync_always { "sync_interval: always" } else { "" };
    let store = data.path().join("store");
    let config = format!(
        "listen: \"127.0.0.1:{port}\"\njetstream {{\n  store_dir: {store:?}\n  {sync_interval}\n}}\n"
    );
    let path = data.path().join("nats.conf");
    std::fs::write(&path, config)?;
    let mut command = command("nats-server", None);
    command.arg("-c").arg(path);
    Process::new(data, port).with(command, port)
}

pub struct Client {
    connection: Connection,
    jetstream: jetstream::Context,
    deliveries: Option<pull::Stream>,
    /// Acks that are not answered.
    acks: FuturesUnordered<BoxFuture<'static, Result<(), RequestError>>>,
}

impl Client {
    pub async fn connect(port: u16) -> Result<Self, Error> {
        let options = ConnectOptions::new().request_timeout(Some(PATIENCE));
        let connection = options.connect(format!("127.0.0.1:{port}")).await?;
        let jetstream = ContextBuilder::new().timeout(PATIENCE).build(connection.clone());
        Ok(Self { connection, jetstream, deliveries: None, acks: FuturesUnordered::new() })
    }

    /// Makes the stream and its consumer.
    pub async fn prepare(&mut self) -> Result<(), Error> {
        let stream = self.jetstream.create_stream(stream::Config {
            name: NAME.to_owned(),
            subjects: vec![NAME.to_owned()],
            retention: stream::RetentionPolicy::WorkQueue,
            storage: stream::StorageType::File,
            ..stream::Config::default()
        });
        let consumer = pull::Config {
            durable_name: Some(NAME.to_owned()),
            ack_policy: consumer::AckPolicy::Explicit,
            ack_wait: Duration::from_secs(3600),
            // It would hold consumers up.
            max_ack_pending: -1,
            ..pull::Config::default()
        };
        stream.await?.create_consumer(consumer).await?;
        Ok(())
    }

    /// Publishes all of them, and returns when each is answered.
    pub async fn send(&mut self, bodies: &[Bytes]) -> Result<(), Error> {
        let mut answers = Vec::with_capacity(bodies.len());
        for body in bodies {
            answers.push(self.jetstream.publish(NAME, body.clone()).await?.into_future());
        }
        try_join_all(answers).await?;
        Ok(())
    }

    /// Takes and acks what has come, and returns how many acks were answered. The client holds up to
    /// `max` messages, and asks for more by itself.
    pub async fn consume(&mut self, max: usize) -> Result<usize, Error> {
        let deliveries = match &mut self.deliveries {
            Some(deliveries) => deliveries,
            None => {
                let consumer: consumer::PullConsumer =
                    self.jetstream.get_consumer_from_stream(NAME, NAME).await?;
                let deliveries = consumer.stream().max_messages_per_batch(max).messages().await?;
                self.deliveries.insert(deliveries)
            }
        };
        let mut next = match self.acks.is_empty() {
            true => match tokio::time::timeout(WAIT, deliveries.next()).await {
                Ok(first) => Some(first),
                Err(_) => return Ok(0),
            },
            false => deliveries.next().now_or_never(),
        };
        while let Some(message) = next {
            let message = message.ok_or("NATS ended the consumer")??.message;
            let to = message.reply.ok_or("NATS delivered what cannot be acked")?;
            let connection = self.connection.clone();
            self.acks.push(Box::pin(async move {
                connection.request(to, Bytes::from_static(b"+ACK")).await.map(drop)
            }));
            next = match self.acks.len() < UNANSWERED {
                true => deliveries.next().now_or_never(),
                false => None,
            };
        }
        let mut acked = 0;
        let mut answered = self.acks.next().await;
        while let Some(answer) = answered {
            answer?;
            acked += 1;
            answered = self.acks.next().now_or_never().flatten();
        }
        Ok(acked)
    }

    /// Messages in the stream.
    pub async fn left(&mut self) -> Result<u64, Error> {
        Ok(self.jetstream.get_stream(NAME).await?.cached_info().state.messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_nats::jetstream::AckKind;

    #[tokio::test]
    #[ignore = "needs nats-server"]
    async fn a_message_is_there_until_it_is_acked_and_comes_again() {
        let data = tempfile::tempdir().unwrap();
        let server = start(data.path(), false).unwrap();
        let mut client = Client::connect(server.port).await.unwrap();
        client.prepare().await.unwrap();
        client.send(&["one", "two", "three"].map(Bytes::from)).await.unwrap();

        let consumer: consumer::PullConsumer =
            client.jetstream.get_consumer_from_stream(NAME, NAME).await.unwrap();
        let mut taken = consumer.fetch().max_messages(3).messages().await.unwrap();
        let mut bodies = Vec::new();
        while let Some(message) = taken.next().await {
            let message = message.unwrap();
            bodies.push(message.payload.clone());
            message.double_ack_with(AckKind::Nak(None)).await.unwrap();
        }
        assert_eq!(bodies, ["one", "two", "three"].map(Bytes::from));
        assert_eq!(client.left().await.unwrap(), 3);

        let mut acked = 0;
        while acked < 3 {
            acked += client.consume(64).await.unwrap();
        }
        assert_eq!((acked, client.left().await.unwrap()), (3, 0));
    }
}
