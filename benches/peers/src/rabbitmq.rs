//! RabbitMQ: a durable queue, persistent messages with publisher confirms, and consumers that are
//! pushed to and ack many at once.

use std::path::Path;

use bytes::Bytes;
use futures_util::future::{FutureExt, try_join_all};
use futures_util::stream::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};

use crate::Error;
use crate::server::{Process, command, directory, find, free_port};

const QUEUE: &str = "bench";
/// Debian's programs in front of it change the user and the directory.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const PERSISTENT: u8 = 2;
/// A consumer holds so many at most: more gain nothing, and acks, which have no answer, would count
/// long before they are done.
const PREFETCH: usize = 256;
/// A consumer waits so long for the first message.
const WAIT: std::time::Duration = std::time::Duration::from_millis(100);

/// What holds the messages.
#[derive(Debug, Clone, Copy)]
pub enum Queue {
    /// A Raft log of one member, synced before a confirm.
    Quorum,
    /// Version 2 of classic queues: written, not synced, before a confirm.
    Classic,
}

/// Why it cannot be measured, if it cannot.
pub fn lacks() -> Option<String> {
    let is_there = Path::new(PROGRAM).exists() && find("epmd").is_some();
    (!is_there).then(|| "there is no rabbitmq-server".to_owned())
}

/// Starts a node that is alone, and the port mapper without which no Erlang node runs.
pub fn start(data_dir: &Path) -> Result<Process, Error> {
    let data = directory(data_dir)?;
    let [port, epmd_port, distribution_port] = [free_port()?, free_port()?, free_port()?];
    let path = |name: &str| data.path().join(name);
    let config = path("rabbitmq.conf");
    std::fs::write(&config, format!("listeners.tcp.1 = 127.0.0.1:{port}\n"))?;
    let plugins = path("enabled_plugins");
    std::fs::write(&plugins, "[].\n")?;
    let mut epmd = command("epmd", None);
    epmd.args(["-address", "127.0.0.1", "-port", &epmd_port.to_string()]);
    let mut server = command(PROGRAM, None);
    server
        .env("HOME", data.path()) // the cookie is there
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("ERL_EPMD_PORT", epmd_port.to_string())
        .env("RABBITMQ_NODENAME", format!("forebay-peers-{port}@localhost"))
        .env("RABBITMQ_DIST_PORT", distribution_port.to_string())
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
        .env("RABBITMQ_CONF_ENV_FILE", path("none"))
        .env("RABBITMQ_CONFIG_FILE", &config)
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", path("none.config"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", &plugins)
        .env("RABBITMQ_MNESIA_BASE", path("mnesia"))
        .env("RABBITMQ_LOG_BASE", path("log"))
        .env("RABBITMQ_LOGS", "-")
        .env("RABBITMQ_PID_FILE", path("pid"))
        // Then the script becomes the node, instead of staying in front of it.
        .env("RUNNING_UNDER_SYSTEMD", "true");
    Process::new(data, port).with(epmd, epmd_port)?.with(server, port)
}

pub struct Client {
    /// The channel lives as long as it does.
    _connection: Connection,
    channel: Channel,
    consumer: Option<Consumer>,
}

impl Client {
    pub async fn connect(port: u16) -> Result<Self, Error> {
        let uri = format!("amqp://guest:guest@127.0.0.1:{port}/%2f");
        let connection = Connection::connect(&uri, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { _connection: connection, channel, consumer: None })
    }

    /// Makes the queue.
    pub async fn prepare(&mut self, queue: Queue) -> Result<(), Error> {
        let mut arguments = FieldTable::default();
        let kind = match queue {
            Queue::Quorum => "quorum",
            Queue::Classic => "classic",
        };
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
        if let Queue::Classic = queue {
            arguments.insert("x-queue-version".into(), AMQPValue::LongInt(2));
        }
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(QUEUE.into(), options, arguments).await?;
        Ok(())
    }

    /// Publishes all of them, and returns when each is confirmed.
    pub async fn send(&mut self, bodies: &[Bytes]) -> Result<(), Error> {
        let channel = &self.channel;
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        let confirms = bodies.iter().map(|body| {
            let (properties, options) = (properties.clone(), Default::default());
            async move {
                let sent =
                    channel.basic_publish("".into(), QUEUE.into(), options, body, properties);
                sent.await?.await
            }
        });
        let confirms = try_join_all(confirms).await?;
        match confirms.iter().all(lapin::Confirmation::is_ack) {
            true => Ok(()),
            false => Err("RabbitMQ did not take a message".into()),
        }
    }

    /// Takes up to `max` of what comes, acks it, and returns how many that were. Acks have no answer.
    pub async fn consume(&mut self, max: usize) -> Result<usize, Error> {
        let max = max.min(PREFETCH);
        let consumer = match &mut self.consumer {
            Some(consumer) => consumer,
            None => {
                let prefetch = u16::try_from(max)?;
                self.channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
                let options = BasicConsumeOptions::default();
                let arguments = FieldTable::default();
                let consumer =
                    self.channel.basic_consume(QUEUE.into(), "".into(), options, arguments).await?;
                self.consumer.insert(consumer)
            }
        };
        let Ok(first) = tokio::time::timeout(WAIT, consumer.next()).await else { return Ok(0) };
        let mut next = first;
        let mut last = None;
        let mut count = 0;
        while let Some(delivery) = next {
            last = Some(delivery?.delivery_tag);
            count += 1;
            next = match count < max {
                true => consumer.next().now_or_never().flatten(),
                false => None,
            };
        }
        let last = last.ok_or("RabbitMQ ended the consumer")?;
        self.channel.basic_ack(last, BasicAckOptions { multiple: true }).await?;
        Ok(count)
    }

    /// Messages that are ready in the queue.
    pub async fn left(&mut self) -> Result<u64, Error> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue =
            self.channel.queue_declare(QUEUE.into(), options, FieldTable::default()).await?;
        Ok(queue.message_count().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::options::BasicGetOptions;

    #[tokio::test]
    #[ignore = "needs rabbitmq-server"]
    async fn a_message_is_there_until_it_is_acked_and_comes_again() {
        let data = tempfile::tempdir().unwrap();
        for queue in [Queue::Quorum, Queue::Classic] {
            let server = start(data.path()).unwrap();
            let mut client = Client::connect(server.port).await.unwrap();
            client.prepare(queue).await.unwrap();
            client.send(&["one", "two", "three"].map(Bytes::from)).await.unwrap();

            let other = Client::connect(server.port).await.unwrap();
            for body in ["one", "two", "three"] {
                let taken = other.channel.basic_get(QUEUE.into(), BasicGetOptions::default());
                assert_eq!(taken.await.unwrap().unwrap().data, body.as_bytes());
            }
            let none = other.channel.basic_get(QUEUE.into(), BasicGetOptions::default());
            assert!(none.await.unwrap().is_none());
            // Without an ack of what it took.
            other._connection.close(200, "".into()).await.unwrap();

            let mut acked = 0;
            while acked < 3 {
                acked += client.consume(64).await.unwrap();
            }
            client._connection.close(200, "".into()).await.unwrap();
            let mut client = Client::connect(server.port).await.unwrap();
            assert_eq!((acked, client.left().await.unwrap()), (3, 0));
        }
    }
}
