//! The dialer: connects, again and again if it must; to a server that went away with pauses that double up
//! to a maximum.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use super::connection::Connection;
use super::error::ClientError;
use super::greeting::{NotGreeted, greet};
use super::options::{ClientOptions, Wait};

/// How often a server is looked for that has not been there yet.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// Where to connect, and how that went since a call was last answered.
pub(super) struct Dialer {
    addr: String,
    options: ClientOptions,
    attempts: u32,
    trouble_since: Option<Instant>,
}

impl Dialer {
    pub(super) fn new(addr: String, options: ClientOptions) -> Dialer {
        Dialer { addr, options, attempts: 0, trouble_since: None }
    }

    /// The first connection: fails when the patience is at an end, which may be at once.
    pub(super) async fn dial_first(&self) -> Result<Connection, ClientError> {
        let (patience, began) = (self.options.connect_patience, Instant::now());
        let mut is_told = false;
        loop {
            let error = match greet(&self.addr, &self.options).await {
                Ok(greeted) => return Ok(Connection::new(greeted)),
                Err(NotGreeted::Now(cause)) => self.not_connected(cause, true),
                Err(NotGreeted::NotNow(error)) => ClientError::Refused(error),
                Err(NotGreeted::Wrong(cause)) => return Err(self.not_connected(cause, false)),
                Err(NotGreeted::Refused(error)) => return Err(ClientError::Refused(error)),
            };
            let left = patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(error);
            }
            if !std::mem::replace(&mut is_told, true) {
                self.options.on_wait.tell(Wait::First(&error));
            }
            sleep(FIRST_LOOK.min(left)).await;
        }
    }

    /// Connects, trying until `give_up_after` has passed since the trouble began.
    pub(super) async fn dial(&mut self) -> Result<Connection, ClientError> {
        let since = *self.trouble_since.get_or_insert_with(Instant::now);
        let mut cause = "the last connection was lost before anything was answered".to_owned();
        let mut is_told = false;
        loop {
            let elapsed = since.elapsed();
            let too_long = self.options.give_up_after.is_some_and(|limit| elapsed >= limit);
            if self.attempts > 0 && too_long {
                let after_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
                return Err(ClientError::GaveUp { addr: self.addr.clone(), after_ms, cause });
            }
            sleep(self.pause()).await;
            self.attempts += 1;
            cause = match greet(&self.addr, &self.options).await {
                Ok(greeted) => {
                    info!(addr = self.addr, attempts = self.attempts, "connected");
                    if is_told {
                        let (addr, after) = (&*self.addr, since.elapsed());
                        self.options.on_wait.tell(Wait::Back { addr, after });
                    }
                    return Ok(Connection::new(greeted));
                }
                // A name may be known again that was known before.
                Err(NotGreeted::Now(cause) | NotGreeted::Wrong(cause)) => cause,
                Err(NotGreeted::NotNow(error)) => error.to_string(),
                Err(NotGreeted::Refused(error)) => return Err(ClientError::Refused(error)),
            };
            // A server that was merely restarted may be back at once: that is no news.
            if !std::mem::replace(&mut is_told, true) {
                self.options.on_wait.tell(Wait::Lost(&self.not_connected(cause.clone(), true)));
            }
            debug!(addr = self.addr, attempts = self.attempts, cause, "not connected");
        }
    }

    fn not_connected(&self, cause: String, may_pass: bool) -> ClientError {
        ClientError::Connect { addr: self.addr.clone(), cause, may_pass }
    }

    /// All is well: the next trouble begins afresh.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
        self.trouble_since = None;
    }

    /// The longest pause between two attempts.
    pub(super) fn longest_pause(&self) -> Duration {
        self.options.backoff_max
    }

    /// None before the first attempt; then doubling, and somewhere in the upper half of that, so
    /// that clients who lost a server together do not return together.
    fn pause(&self) -> Duration {
        let Some(doublings) = self.attempts.checked_sub(1) else {
            return Duration::ZERO;
        };
        let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let longest = self.options.backoff_min.saturating_mul(factor).min(self.options.backoff_max);
        let mut pause = longest / 2 + longest.mul_f64(random_share() / 2.0);
        if let (Some(limit), Some(since)) = (self.options.give_up_after, self.trouble_since) {
            pause = pause.min(limit.saturating_sub(since.elapsed()));
        }
        pause
    }
}

/// From 0 to 1. The keys of a hasher are as random as this needs.
fn random_share() -> f64 {
    f64::from(RandomState::new().build_hasher().finish() as u32) / f64::from(u32::MAX)
}
