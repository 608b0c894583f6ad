//! `forebay queue`: creates, lists, shows, changes, tags, purges and deletes queues.

mod attributes;
mod show;
#[cfg(test)]
mod tests;

use attributes::{Attributes, pair};
use clap::{Args, Subcommand};
use forebay_engine::unit::count_of;
use forebay_protocol::{QueueAttributes, QueueInfo};

use super::connect::Connect;
use super::failure::Failure;
use super::output::Output;
use super::told::missing_dead_letter_queue;

/// Create, list, show, change, tag, purge or delete queues
#[derive(Debug, Args)]
#[command(after_help = "Example: forebay queue create orders --visibility-timeout 1m")]
pub(super) struct Queue {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a queue; one that is there with the same attributes is fine
    #[command(
        after_help = "Not given, they are: --visibility-timeout 30s --delay 0s --receive-wait 0s \
                            --message-bytes-max 1MiB --retention 4d --in-flight-max 120000 \
                            --durability sync --redrive-permission all, no dead-letter queue and \
                            no tags\n\n\
                            Example: forebay queue create orders --visibility-timeout 1m\n\
                            Example: forebay queue create letters --retention 14d --tag team=water\n\
                            Example: forebay queue create dead --retention forever\n\
                            Example: forebay queue create jobs --dead-letter-queue dead \
                            --receive-count-max 5\n\
                            Example: forebay queue create steps.fifo --fifo \
                            --content-based-deduplication"
    )]
    Create {
        /// 1 to 80 characters of A-Z a-z 0-9 _ -, with .fifo at the end of a FIFO queue's
        name: String,
        /// A FIFO queue; it stays one
        #[arg(long)]
        fifo: bool,
        #[command(flatten)]
        attributes: Attributes,
        #[command(flatten)]
        connect: Connect,
    },
    /// List queues, one a line: name, messages waiting, in flight, delayed
    #[command(after_help = "Example: forebay queue list --prefix orders")]
    List {
        /// Only names that begin so
        #[arg(long, default_value = "")]
        prefix: String,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show a queue's attributes and counts
    #[command(after_help = "Example: forebay queue show orders --json")]
    Show {
        /// The queue's name
        name: String,
        /// A JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connect: Connect,
    },
    /// Change attributes of a queue; those not given stay as they are
    #[command(after_help = "Example: forebay queue set orders --delay 5s\n\
                            Example: forebay queue set orders --retention forever\n\
                            Example: forebay queue set orders --dead-letter-queue dead \
                            --receive-count-max 5\n\
                            Example: forebay queue set orders --dead-letter-queue ''\n\
                            Example: forebay queue set dead --redrive-permission by-queue \
                            --redrive-source orders\n\
                            Example: forebay queue set orders --note ''")]
    Set {
        /// The queue's name
        name: String,
        /// Not to be set, and refused with a word about that
        #[arg(long, hide = true)]
        fifo: bool,
        #[command(flatten)]
        attributes: Attributes,
        #[command(flatten)]
        connect: Connect,
    },
    /// Add tags to a queue; one that it has of the same key is replaced
    #[command(after_help = "Example: forebay queue tag orders team=water stage=test")]
    Tag {
        /// The queue's name
        name: String,
        /// The tags
        #[arg(value_name = "KEY=VALUE", value_parser = pair, required = true)]
        tags: Vec<(String, String)>,
        #[command(flatten)]
        connect: Connect,
    },
    /// Take tags away from a queue
    #[command(after_help = "Example: forebay queue untag orders stage")]
    Untag {
        /// The queue's name
        name: String,
        /// The tags' keys
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
        #[command(flatten)]
        connect: Connect,
    },
    /// List the queues whose dead-letter queue this is, one a line
    #[command(after_help = "Example: forebay queue sources dead")]
    Sources {
        /// The queue's name
        name: String,
        #[command(flatten)]
        connect: Connect,
    },
    /// Delete all messages of a queue
    #[command(after_help = "Example: forebay queue purge orders")]
    Purge {
        /// The queue's name
        name: String,
        #[command(flatten)]
        connect: Connect,
    },
    /// Delete a queue and its messages
    #[command(after_help = "Example: forebay queue delete orders")]
    Delete {
        /// The queue's name
        name: String,
        #[command(flatten)]
        connect: Connect,
    },
}

/// Queues listed at once.
const PAGE_QUEUES: u32 = 1000;

impl Queue {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let mut output = Output::new();
        match self.action {
            Action::Create { name, fifo, attributes, connect } => {
                let mut given = attributes.given();
                given.fifo = fifo.then_some(1);
                let created = connect.open().await?.create_queue(&name, given).await?;
                let what = if created.created { "created" } else { "exists" };
                output.write_line(format!("queue {name} {what}"))
            }
            Action::List { prefix, json, connect } => {
                list(&connect, &prefix, json, &mut output).await
            }
            Action::Show { name, json, connect } => {
                let client = connect.open().await?;
                let mut queue = client.describe_queue(&name).await?;
                if json {
                    return output.write_line(show::json(&queue));
                }
                if let Some(missing) = missing_dead_letter_queue(&client, &queue.attributes).await {
                    let told = format!("{missing} (does not exist: messages stay)");
                    queue.attributes.dead_letter_queue = Some(told);
                }
                output.write_line(show::text(&queue))
            }
            Action::Set { fifo: true, .. } => Err(Failure::Usage(
                "--fifo is for queue create: a queue is FIFO or not for as long as it exists"
                    .to_owned(),
            )),
            Action::Set { name, fifo: false, attributes, connect } => {
                let given = attributes.given();
                if given == QueueAttributes::default() {
                    let expected = "nothing is to be set, expected an attribute, like --delay 5s";
                    return Err(Failure::Usage(expected.to_owned()));
                }
                connect.open().await?.alter_queue(&name, given).await?;
                output.write_line(format!("queue {name} changed"))
            }
            Action::Tag { name, tags, connect } => {
                let tags = tags.into_iter().collect();
                connect.open().await?.tag_queue(&name, tags).await?;
                output.write_line(format!("queue {name} tagged"))
            }
            Action::Untag { name, keys, connect } => {
                connect.open().await?.untag_queue(&name, keys).await?;
                output.write_line(format!("queue {name} untagged"))
            }
            Action::Sources { name, connect } => sources(&connect, &name, &mut output).await,
            Action::Purge { name, connect } => {
                let purged = connect.open().await?.purge_queue(&name).await?;
                let messages = count_of(purged, "message");
                output.write_line(format!("queue {name} purged of {messages}"))
            }
            Action::Delete { name, connect } => {
                connect.open().await?.delete_queue(&name).await?;
                output.write_line(format!("queue {name} deleted"))
            }
        }
    }
}

async fn list(
    connect: &Connect,
    prefix: &str,
    json: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let client = connect.open().await?;
    let mut after = String::new();
    loop {
        let page = client.list_queues(prefix, &after, PAGE_QUEUES).await?;
        for queue in &page.queues {
            let QueueInfo { name, waiting, in_flight, delayed, .. } = queue;
            output.write_line(if json {
                show::json(queue)
            } else {
                format!("{name}\t{waiting} waiting\t{in_flight} in flight\t{delayed} delayed")
            })?;
        }
        match page.queues.into_iter().next_back() {
            Some(last) if page.more => after = last.name,
            _ => return Ok(()),
        }
    }
}

async fn sources(connect: &Connect, name: &str, output: &mut Output) -> Result<(), Failure> {
    let client = connect.open().await?;
    let mut after = String::new();
    loop {
        let mut page = client.list_dead_letter_sources(name, &after, PAGE_QUEUES).await?;
        output.write_lines(page.names.iter().map(String::as_bytes))?;
        match page.names.pop() {
            Some(last) if page.more => after = last,
            _ => return Ok(()),
        }
    }
}
