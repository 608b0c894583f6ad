//! `forebay bench`: measures this machine, and this program on it. The work is in `forebay-bench`.

use super::failure::Failure;
use crate::sqs::understand_json;

pub(super) use forebay_bench::Bench;
use forebay_bench::BenchErrorKind;

pub(super) fn run(bench: Bench) -> Result<(), Failure> {
    bench.run(parse_batch).map_err(|error| match error.kind() {
        BenchErrorKind::Usage => Failure::Usage(error.to_string()),
        BenchErrorKind::OutputClosed => Failure::OutputClosed,
        BenchErrorKind::Failed => Failure::plain(&error),
    })
}

/// The endpoint's parser, for the bare HTTP server that the endpoint is compared with.
fn parse_batch(body: &[u8], take: &mut dyn FnMut(&str, &str)) -> bool {
    let understood = understand_json("SendMessageBatch", body);
    if let Ok(batch) = &understood {
        batch.messages().for_each(|(id, body)| take(id, body));
    }
    understood.is_ok()
}
