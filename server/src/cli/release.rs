//! `forebay release`: gives received messages back to the queue.

use forebay_protocol::REASON_BYTES_MAX;
use forebay_protocol::client::NackOptions;

use super::connect::Connect;
use super::failure::Failure;
use super::quantity::duration_ms;
use super::receipt_text::ReceiptText;
use super::told::say_outcome;

/// Give received messages back, at once or after a delay
///
/// A reason is shown by receive and peek until the message is gone, also among dead letters.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: forebay release orders AQAAAAEAAAAAAAAAAQAAAAABAAD1o2PkFqkzVQ --delay 1m \
                  --reason 'no such customer'"
)]
pub(super) struct Release {
    /// The queue's name
    queue: String,
    /// Receipts, as receive shows them
    #[arg(required = true, value_name = "RECEIPT")]
    receipts: Vec<ReceiptText>,
    /// How long the messages stay invisible from now on, up to 12h from their receive. It also extends a
    /// lease: the receipt stays good until another receive gets the message
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration_ms)]
    delay: u64,
    /// Why, up to 256 bytes
    #[arg(long, value_name = "TEXT", default_value = "", value_parser = reason)]
    reason: String,
    /// Do not count this attempt: the receive count is one less again
    #[arg(long)]
    uncounted: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Release {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = self.connect.open().await?;
        let Self { delay, uncounted, reason, .. } = self;
        let options = NackOptions { delay_ms: delay, uncounted, reason };
        let receipts: Vec<_> = self.receipts.into_iter().map(|text| text.0).collect();
        let failures = client.nack(&self.queue, &receipts, options).await?;
        say_outcome(&failures, "released", receipts.len())
    }
}

fn reason(text: &str) -> Result<String, String> {
    match text.len() {
        ..=REASON_BYTES_MAX => Ok(text.to_owned()),
        bytes => Err(format!("{bytes} bytes, expected at most {REASON_BYTES_MAX}")),
    }
}
