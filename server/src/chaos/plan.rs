//! The plan: what may happen, and how often.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::duration;

/// How much may be asked of a delay, or of the time between two kills.
const TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// How far the clock may be moved at once: a hundred years, as they are written.
pub(super) const AHEAD_MAX: Duration = Duration::from_secs(100 * 31_557_600);

/// A plan. What it does not name does not happen.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Plan {
    /// What chance decides; without one it is drawn once, and kept with the store.
    pub(super) seed: Option<u64>,
    /// Requests and answers that arrive late.
    pub(super) delay: Option<Delay>,
    /// Connections that break.
    pub(super) cut: Option<Share>,
    /// Leases that end early, so that messages come twice.
    pub(super) duplicate: Option<Share>,
    /// The server is killed, and starts again.
    pub(super) kill: Option<Kill>,
    /// Its clock jumps ahead.
    pub(super) clock: Option<Jumps>,
    /// Where all of that may be asked for by hand.
    pub(super) control: Option<SocketAddr>,
}

/// How many of a hundred, as a share of 1.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Share {
    pub(super) share: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Delay {
    pub(super) share: f64,
    #[serde(deserialize_with = "duration")]
    pub(super) at_most: Duration,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kill {
    #[serde(deserialize_with = "duration")]
    pub(super) every: Duration,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Jumps {
    #[serde(deserialize_with = "duration")]
    pub(super) every: Duration,
    #[serde(deserialize_with = "duration")]
    pub(super) ahead: Duration,
}

/// Why a plan is none.
#[derive(Debug, thiserror::Error)]
#[error("{}: {detail}", path.display())]
pub(crate) struct PlanError {
    path: PathBuf,
    detail: String,
}

impl Plan {
    /// The plan in a TOML file.
    pub(super) fn read(path: &Path) -> Result<Self, PlanError> {
        let wrong = |detail: String| PlanError { path: path.to_path_buf(), detail };
        let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let plan: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        plan.check().map_err(wrong)?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), String> {
        let shares = [
            ("delay.share", self.delay.as_ref().map(|delay| delay.share)),
            ("cut.share", self.cut.as_ref().map(|cut| cut.share)),
            ("duplicate.share", self.duplicate.as_ref().map(|duplicate| duplicate.share)),
        ];
        for (name, share) in shares {
            if let Some(share) = share.filter(|share| !(0.0..=1.0).contains(share)) {
                return Err(format!("{name} is {share}, expected 0 to 1"));
            }
        }
        let times = [
            ("delay.at-most", self.delay.as_ref().map(|delay| delay.at_most), TIME_MAX),
            ("kill.every", self.kill.as_ref().map(|kill| kill.every), TIME_MAX),
            ("clock.every", self.clock.as_ref().map(|clock| clock.every), TIME_MAX),
            ("clock.ahead", self.clock.as_ref().map(|clock| clock.ahead), AHEAD_MAX),
        ];
        let least = Duration::from_millis(1);
        for (name, time, most) in times {
            if let Some(time) = time.filter(|time| !(least..=most).contains(time)) {
                let shown = |time| humantime::format_duration(time);
                let (time, least, most) = (shown(time), shown(least), shown(most));
                return Err(format!("{name} is {time}, expected {least} to {most}"));
            }
        }
        Ok(())
    }
}

/// What a server does by it: the end of a sentence.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{} %", share * 100.0);
        let shown = |time| humantime::format_duration(time);
        let parts = [
            self.delay.as_ref().map(|delay| {
                format!(
                    "delays {} of what it hears and says by up to {}",
                    percent(delay.share),
                    shown(delay.at_most)
                )
            }),
            self.cut.as_ref().map(|cut| {
                format!("breaks connections at {} of what it hears and says", percent(cut.share))
            }),
            self.duplicate.as_ref().map(|duplicate| {
                format!("lets the leases of {} of all receives end early", percent(duplicate.share))
            }),
            self.kill
                .as_ref()
                .map(|kill| format!("kills itself about every {}", shown(kill.every))),
            self.clock.as_ref().map(|clock| {
                format!(
                    "moves its clock ahead by up to {} about every {}",
                    shown(clock.ahead),
                    shown(clock.every)
                )
            }),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        match parts.is_empty() {
            true => write!(f, "does nothing unusual"),
            false => write!(f, "{}", parts.join(", ")),
        }
    }
}

/// A duration as people write it.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration::duration(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan, String> {
        let plan: Plan = toml::from_str(text).map_err(|error| error.to_string())?;
        plan.check().map(|()| plan)
    }

    #[test]
    fn a_plan_says_what_it_will_do() {
        let text = "seed = 7\ndelay = { share = 0.25, at-most = '2s' }\ncut = { share = 0.01 }\n\
                    duplicate = { share = 0.5 }\nkill = { every = '1m' }\n\
                    clock = { every = '10s', ahead = '30days' }\ncontrol = '127.0.0.1:7482'\n";
        let told = plan(text).unwrap().to_string();
        for part in [
            "delays 25 % of what it hears and says by up to 2s",
            "breaks connections at 1 % of what it hears and says",
            "lets the leases of 50 % of all receives end early",
            "kills itself about every 1m",
            "moves its clock ahead by up to 30days about every 10s",
        ] {
            assert!(told.contains(part), "{told}");
        }
        assert_eq!(plan("").unwrap().to_string(), "does nothing unusual");
    }

    #[test]
    fn what_a_plan_may_not_say_is_named_with_what_it_may() {
        for (text, error) in [
            ("cut = { share = 1.1 }", "cut.share is 1.1, expected 0 to 1"),
            ("cut = { share = nan }", "cut.share is NaN, expected 0 to 1"),
            ("kill = { every = '0s' }", "kill.every is 0s, expected 1ms to 1day"),
            (
                "delay = { share = 1, at-most = '2days' }",
                "delay.at-most is 2days, expected 1ms to 1day",
            ),
            ("clock = { every = '1s', ahead = '101years' }", "expected 1ms to 100years"),
            (
                "kill = { every = 'often' }",
                "\"often\" is no duration, expected a number and its unit",
            ),
            ("kil = { every = '1s' }", "kil"),
        ] {
            let found = plan(text).unwrap_err();
            assert!(found.contains(error), "{found}");
        }
    }
}
