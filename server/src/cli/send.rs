//! `forebay send`: one message, or a stream of them.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use forebay_engine::unit::count_of;
use forebay_protocol::client::{Client, Producer, ProducerOptions};
use forebay_protocol::{MESSAGE_BYTES_MAX, MessageAttributes, MessageId, OutgoingMessage};

use super::attributes::AttributeArguments;
use super::connect::Connect;
use super::failure::{Failure, of_the_only_message};
use super::interrupted::Interrupted;
use super::lines::Lines;
use super::output::Output;
use super::producing::{NamedProducer, Sending};
use super::progress;
use super::quantity::duration_ms;
use super::say::say;

/// Send a message, or one for each line
///
/// Without BODY, all of stdin is one message. The id of a single message goes to stdout.
///
/// With --lines each line is a message: the bytes up to \n, be they text or not. An empty line is
/// an empty message. Sends are batched and ride over a server's restart by reconnecting; a batch
/// whose answer was lost is sent again, and stored once. Group, ids and attributes then are those of
/// every message. Ctrl-C ends it, with exit status 1, and says how many messages were acknowledged.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: seq 1000000 | forebay send orders --lines\n         \
                        forebay send orders 'one order' --attr colour=red --attr pieces:Number=5\n         \
                        forebay send orders --lines --file june.txt --producer june")]
pub(super) struct Send {
    /// The queue's name
    queue: String,
    /// The message
    #[arg(conflicts_with_all = ["lines", "file"])]
    body: Option<String>,
    /// Send a message for each line of stdin or of the file
    #[arg(long)]
    lines: bool,
    /// Read this file instead of stdin
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Hide the messages for this long; default: the queue's own delay
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    delay: Option<u64>,
    /// Store once what is sent again under this id: repeat a send that was killed, with the same
    /// input, within a day. FIFO queues look for copies themselves, within their deduplication window
    #[arg(long, value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    producer: Option<String>,
    #[command(flatten)]
    attributes: AttributeArguments,
    #[command(flatten)]
    connect: Connect,
}

/// What every message that is sent has besides its body.
struct Common {
    delay: Option<Duration>,
    attributes: MessageAttributes,
}

/// Where messages are read from.
type Input = Box<dyn Read + std::marker::Send>;

/// How the pushing of lines ended.
enum PushEnd {
    /// There are no more.
    OfInput,
    /// By Ctrl-C, between two lines.
    Interrupted,
    /// By Ctrl-C, in the middle of a push that did not come to an end: what was begun is not to be waited for.
    Cut,
}

impl Send {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let common = Common {
            delay: self.delay.map(Duration::from_millis),
            attributes: self.attributes.read()?,
        };
        if self.lines {
            let client = self.connect.open_patiently().await?;
            self.send_lines(client, &common).await
        } else {
            let client = self.connect.open().await?;
            self.send_one(&client, &common).await
        }
    }

    async fn send_one(self, client: &Client, common: &Common) -> Result<(), Failure> {
        let body = match &self.body {
            Some(body) => Bytes::from(body.clone()),
            None => self.read_body()?,
        };
        let message = common.message(body);
        let sent = match &self.producer {
            Some(id) => NamedProducer::new(client.clone(), &self.queue, id).send_one(message).await,
            None => client.send(&self.queue, vec![message]).await.map_err(Failure::from),
        };
        let sent = sent.map_err(|failure| match failure {
            Failure::Because(text) => Failure::Because(of_the_only_message(&text, "the message")),
            other => other,
        })?;
        let id = MessageId::new(client.store_id(), sent.queue_id, sent.first_seq);
        Output::new().write_line(id.to_string())
    }

    /// All of the input; no more of it than any queue may take, and a byte to be refused for.
    fn read_body(&self) -> Result<Bytes, Failure> {
        let mut body = Vec::new();
        let read = self.input()?.take(MESSAGE_BYTES_MAX + 1).read_to_end(&mut body);
        read.map_err(|error| Failure::io(&self.input_name(), &error))?;
        if body.len() as u64 > MESSAGE_BYTES_MAX {
            return Err(Failure::because(format!(
                "{}: more than {MESSAGE_BYTES_MAX} bytes, the largest message of any queue",
                self.input_name()
            )));
        }
        Ok(body.into())
    }

    async fn send_lines(self, client: Client, common: &Common) -> Result<(), Failure> {
        let queue = client.describe_queue(&self.queue).await?;
        // Every queue has a limit; a server that tells none checks for itself.
        let message_bytes_max = queue.attributes.message_bytes_max.unwrap_or(u64::MAX);
        let attributes_bytes = common.attributes.counted_bytes() as u64;
        let line_bytes_max = message_bytes_max.saturating_sub(attributes_bytes);
        let lines = Lines::new(self.input()?, line_bytes_max);
        let mut sending = match &self.producer {
            Some(id) => Sending::Named(NamedProducer::new(client, &self.queue, id)),
            None => {
                let options = ProducerOptions::default();
                Sending::Unnamed(Producer::new(client, self.queue.as_str(), options))
            }
        };
        let mut interrupted = Interrupted::listen();
        let bar = progress::counter("messages");
        let mut pushed = 0;
        let all = self.push_lines(lines, &mut sending, common, &bar, &mut interrupted, &mut pushed);
        let ended = all.await;
        // What was read before a bad line is sent all the same, and counted.
        let flushed = match &ended {
            Ok(PushEnd::Cut) => None,
            _ => interrupted.or_received(sending.flush()).await,
        };
        bar.finish_and_clear();
        let sent = sending.answered();
        say(format_args!("{} sent", count_of(sent, "message")));
        match (flushed, ended) {
            (Some(Err(failure)), _) | (_, Err(failure)) => Err(failure),
            (Some(Ok(())), Ok(PushEnd::OfInput)) => Ok(()),
            _ if pushed == sent => Err(Failure::because("interrupted")),
            _ => Err(Failure::because(format!(
                "interrupted; {} not acknowledged, and may be stored too",
                match pushed - sent {
                    1 => "1 message more was".to_owned(),
                    more => format!("{more} messages more were"),
                }
            ))),
        }
    }

    async fn push_lines(
        &self,
        mut lines: Lines<Input>,
        sending: &mut Sending,
        common: &Common,
        bar: &indicatif::ProgressBar,
        interrupted: &mut Interrupted,
        pushed: &mut u64,
    ) -> Result<PushEnd, Failure> {
        let failed = |error: &dyn std::error::Error| {
            Failure::because(format!("{}: {error}", self.input_name()))
        };
        loop {
            while let Some(line) = lines.buffered().map_err(|error| failed(&error))? {
                *pushed += 1;
                match interrupted.or_received(sending.push(common.message(line))).await {
                    Some(result) => result?,
                    None => return Ok(PushEnd::Cut),
                }
            }
            bar.set_position(sending.answered());
            // A read may take for ever, and is left then.
            let filling = tokio::task::spawn_blocking(move || {
                let filled = lines.fill();
                (lines, filled)
            });
            let filled = tokio::select! {
                biased;
                () = interrupted.wait() => return Ok(PushEnd::Interrupted),
                filled = filling => filled,
            };
            let (read, filled) =
                filled.map_err(|error| Failure::because(format!("reading lines: {error}")))?;
            lines = read;
            if !filled.map_err(|error| failed(&error))? {
                return Ok(PushEnd::OfInput);
            }
        }
    }

    fn input(&self) -> Result<Input, Failure> {
        match &self.file {
            Some(path) => match File::open(path) {
                Ok(file) => Ok(Box::new(file)),
                Err(error) => Err(Failure::io(&self.input_name(), &error)),
            },
            None => Ok(Box::new(io::stdin())),
        }
    }

    fn input_name(&self) -> String {
        self.file.as_ref().map_or("stdin".to_owned(), |path| path.display().to_string())
    }
}

impl Common {
    fn message(&self, body: Bytes) -> OutgoingMessage {
        let message = OutgoingMessage::new(body);
        let message = match self.delay {
            Some(delay) => message.delayed(delay),
            None => message,
        };
        match self.attributes.is_empty() {
            true => message,
            false => message.with_attributes(&self.attributes),
        }
    }
}
