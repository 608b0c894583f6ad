//! How the endpoint is set up.

use std::sync::Arc;
use std::time::Duration;

use forebay_engine::SystemClock;
use forebay_engine::time::Clock;

use super::address::Addresses;
use super::credentials::Credentials;

/// The region of a queue's ARN, unless another is set.
pub const REGION: &str = "us-east-1";

/// The account of a queue's URL and ARN, unless another is set.
pub const ACCOUNT: &str = "000000000000";

/// For so long the name of a deleted queue is not used again, and a purged one not purged again (SQS).
pub const PAUSE: Duration = Duration::from_secs(60);

/// How the endpoint is set up.
#[derive(Clone)]
pub struct Config {
    pub(super) addresses: Addresses,
    pub(super) pause: Duration,
    pub(super) credentials: Option<Credentials>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Config {
    /// Queue URLs begin with `base_url`, or else with what the client has reached the server by; ARNs are
    /// of this region and account. For `pause` a deleted queue's name cannot be used again, and a purged
    /// queue cannot be purged again.
    pub fn new(
        base_url: Option<String>,
        region: impl Into<String>,
        account: impl Into<String>,
        pause: Duration,
    ) -> Self {
        let (region, account) = (region.into(), account.into());
        let addresses = Addresses { base_url, region, account };
        Self { addresses, pause, credentials: None, clock: Arc::new(SystemClock) }
    }

    /// Only what is signed with one of these keys is done, and only what the key may do.
    pub fn with_credentials(self, credentials: Credentials) -> Self {
        Self { credentials: Some(credentials), ..self }
    }

    /// The clock by which signatures expire and pauses end.
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(None, REGION, ACCOUNT, PAUSE)
    }
}
