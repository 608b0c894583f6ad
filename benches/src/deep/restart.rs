//! How long a killed server's successor takes to be of use.

use std::time::{Duration, Instant};

use forebay_protocol::Receive;

use crate::BenchError;
use crate::deep::report::median;
use crate::deep::store::Store;
use crate::wire::ask_once;

const RETRY: Duration = Duration::from_millis(1);
/// After it listens, a server is tried for so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// One restart. The times count from before the process was spawned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Restart {
    /// Until it said that it listens.
    pub(super) listening: Duration,
    /// Until a receive was answered, and the message was found sound.
    pub(super) received: Duration,
    /// How many messages came: 0 from an empty queue, else 1.
    pub(super) messages: usize,
}

/// Kills the server, starts another on the same data, and receives from a queue as soon as can be.
pub(super) async fn restart(store: &mut Store, queue: &str) -> Result<Restart, BenchError> {
    store.kill()?;
    let began = Instant::now();
    store.start().await?;
    let listening = began.elapsed();
    let address = store.address();
    let messages = loop {
        match receive_one(&address, queue).await {
            Ok(messages) => break messages,
            Err(error) if began.elapsed() > listening + PATIENCE => return Err(error),
            Err(_) => store.check()?,
        }
        tokio::time::sleep(RETRY).await;
    };
    Ok(Restart { listening, received: began.elapsed(), messages })
}

async fn receive_one(address: &str, queue: &str) -> Result<usize, BenchError> {
    let receive = Receive {
        queue: queue.to_owned(),
        max: 1,
        wait_ms: Some(0),
        visibility_ms: None,
        bytes_max: 0,
        attempt: String::new(),
    };
    let received = ask_once(address, receive).await?;
    for message in &received.messages {
        message.block.verify().map_err(|error| BenchError::new(error.to_string()))?;
    }
    Ok(received.messages.len())
}

/// The median of some restarts, and the slowest.
pub(super) fn median_and_slowest(
    restarts: &[Restart],
    time: impl Fn(&Restart) -> Duration,
) -> (Duration, Duration) {
    let times: Vec<Duration> = restarts.iter().map(time).collect();
    let seconds: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
    let slowest = times.into_iter().max().expect("there was a restart");
    (Duration::from_secs_f64(median(&seconds)), slowest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_restarts_is_between_the_middle_two() {
        let restarts = [40, 10, 20, 30].map(|ms| {
            let received = Duration::from_millis(ms);
            Restart { listening: received, received, messages: 1 }
        });
        let found = median_and_slowest(&restarts, |one| one.received);
        assert_eq!(found, (Duration::from_millis(25), Duration::from_millis(40)));
    }
}
