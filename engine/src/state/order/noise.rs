//! Which tenants of a fair queue are noisy.
//!
//! By the published thresholds of SQS: a tenant is noisy when it has more than 10 % of the
//! messages in flight, and 30 or more; or when more than 10 % of the time that consumers worked of
//! late was spent on its messages. It is quiet again when its backlog is drained, or when it sent
//! nothing for five minutes.

use crate::time::LogTime;

/// A share of more than one in so many is noisy.
const SHARE: u64 = 10;

/// Fewer messages, in flight or worked on of late, are never noisy.
const MESSAGES_MIN: u64 = 30;

/// A tenant that sent nothing for so long is quiet.
const QUIET_MS: u64 = 5 * 60 * 1000;

/// Work counts half after so long.
const HALF_LIFE_MS: u64 = 60 * 1000;

/// What a tenant does.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Noise {
    pub(super) is_noisy: bool,
    /// When its newest known message was sent.
    pub(super) sent: LogTime,
    pub(super) work: Work,
}

/// What all of them do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TotalNoise {
    in_flight: u64,
    pub(super) work: Work,
}

/// Time that consumers worked, and on how many messages; what is long ago counts less.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Work {
    ms: f64,
    messages: f64,
    at: LogTime,
}

impl Work {
    pub(super) fn add(&mut self, ms: u64, now: LogTime) {
        *self = self.as_of(now);
        self.ms += ms as f64;
        self.messages += 1.0;
    }

    fn as_of(self, now: LogTime) -> Self {
        let kept = 0.5f64.powf(now.ms_since(self.at) as f64 / HALF_LIFE_MS as f64);
        Self { ms: self.ms * kept, messages: self.messages * kept, at: self.at.max(now) }
    }
}

impl TotalNoise {
    /// A tenant's messages in flight were so many and are so many.
    pub(super) fn count(&mut self, before: u64, after: u64) {
        self.in_flight = self.in_flight + after - before;
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }
}

impl Noise {
    /// Another message is in flight: is the tenant noisy now?
    pub(super) fn listen(&mut self, in_flight: u64, total: &TotalNoise, now: LogTime) {
        if now.ms_since(self.sent) > QUIET_MS {
            self.is_noisy = false;
            return;
        }
        let in_flight_share = in_flight >= MESSAGES_MIN && in_flight * SHARE > total.in_flight;
        let (work, total_work) = (self.work.as_of(now), total.work.as_of(now));
        let work_share =
            work.messages >= MESSAGES_MIN as f64 && work.ms * SHARE as f64 > total_work.ms;
        self.is_noisy |= in_flight_share || work_share;
    }

    /// A tenant whose backlog is drained is quiet, as soon as little of it is in flight.
    pub(super) fn settle(&mut self, is_drained: bool, in_flight: u64) {
        if is_drained && in_flight < MESSAGES_MIN {
            self.is_noisy = false;
        }
    }

    /// The tenant's rank: 0 if it is quiet, else more the more it has in flight.
    pub(super) fn rank(&self, in_flight: u64) -> u64 {
        if self.is_noisy { 1 + in_flight } else { 0 }
    }
}
