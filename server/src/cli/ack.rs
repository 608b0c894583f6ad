//! `forebay ack`: deletes received messages.

use super::connect::Connect;
use super::failure::Failure;
use super::receipt_text::ReceiptText;
use super::say::say;

/// Delete received messages
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: forebay ack orders AQAAAAEAAAAAAAAAAQAAAAABAAD1o2PkFqkzVQ")]
pub(super) struct Ack {
    /// The queue's name
    queue: String,
    /// Receipts, as receive shows them
    #[arg(required = true, value_name = "RECEIPT")]
    receipts: Vec<ReceiptText>,
    #[command(flatten)]
    connect: Connect,
}

impl Ack {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.connect.open().await?;
        let receipts: Vec<_> = self.receipts.into_iter().map(|text| text.0).collect();
        let failures = client.ack(&self.queue, &receipts).await?;
        report(&failures, "acked", receipts.len())
    }
}

/// Says on stderr which receipts were refused and why; a failure if there are any.
pub(super) fn report(
    failures: &[forebay_protocol::Failure],
    done: &str,
    count: usize,
) -> Result<(), Failure> {
    for failure in failures {
        say(format_args!(
            "forebay: receipt {}: {}: {}",
            failure.index + 1,
            failure.code,
            failure.text
        ));
    }
    say(format_args!("{} of {count} {done}", count - failures.len()));
    if failures.is_empty() { Ok(()) } else { Err(Failure::Reported) }
}
