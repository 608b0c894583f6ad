//! The settings of `serve`: flags, environment variables and a TOML file set the same names, in
//! that order of strength.
//!
//! One struct is all three: a flag `--idle-timeout`, a variable `FOREBAY_IDLE_TIMEOUT` and a key
//! `idle-timeout` are one field.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use forebay_engine::options::SEGMENT_BYTES_MAX;
use serde::{Deserialize, Deserializer};
use tracing::level_filters::LevelFilter;

use super::failure::Failure;
use super::quantity::wrong_port;
use crate::byte_size::ByteSize;
use crate::duration::duration;
use crate::limits::Limits;
use crate::sqs;

/// Settings as far as one source gives them.
#[derive(Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Settings {
    /// The directory of the store, created if it is missing [default: ./forebay-data]
    #[arg(long, value_name = "DIR", env = "FOREBAY_DATA")]
    pub(super) data: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one. There is no authentication: whoever reaches it may do
    /// everything, whatever access keys and policies SQS has [default: 127.0.0.1:7480]
    #[arg(long, value_name = "ADDR", env = "FOREBAY_LISTEN", value_parser = listen_address)]
    #[serde(deserialize_with = "from_listen_address")]
    pub(super) listen: Option<SocketAddr>,
    /// Where to serve the API of Amazon SQS; off: nowhere [default: 127.0.0.1:9324]
    #[arg(long, value_name = "ADDR", env = "FOREBAY_SQS_LISTEN")]
    #[serde(deserialize_with = "from_text")]
    pub(super) sqs_listen: Option<SqsListen>,
    /// What URLs of queues begin with [default: http:// and what the client has asked for]
    #[arg(long, value_name = "URL", env = "FOREBAY_SQS_URL")]
    pub(super) sqs_url: Option<String>,
    /// The region in ARNs of queues [default: us-east-1]
    #[arg(long, value_name = "REGION", env = "FOREBAY_SQS_REGION")]
    pub(super) sqs_region: Option<String>,
    /// The account in URLs and ARNs of queues, 12 digits [default: 000000000000]
    #[arg(long, value_name = "ACCOUNT", env = "FOREBAY_SQS_ACCOUNT")]
    pub(super) sqs_account: Option<String>,
    /// A TOML file with the access keys of SQS; without one nothing need be signed
    #[arg(long, value_name = "FILE", env = "FOREBAY_SQS_CREDENTIALS")]
    pub(super) sqs_credentials: Option<PathBuf>,
    /// Serve SQS to everybody without access keys, also where others than this machine can reach it
    #[arg(
        long,
        value_name = "BOOL",
        env = "FOREBAY_SQS_OPEN",
        num_args = 0..=1,
        default_missing_value = "true"
    )]
    pub(super) sqs_open: Option<bool>,
    /// How long the name of a queue that was deleted over SQS is not used again, and one that was purged
    /// not purged again; 0s: not at all [default: 60s]
    #[arg(long, value_name = "DURATION", env = "FOREBAY_SQS_PAUSE", value_parser = duration)]
    #[serde(deserialize_with = "from_duration")]
    pub(super) sqs_pause: Option<Duration>,
    /// The size of a log file, 1MiB to 4GiB [default: 256MiB]
    #[arg(long, value_name = "SIZE", env = "FOREBAY_SEGMENT_BYTES")]
    #[serde(deserialize_with = "from_text")]
    pub(super) segment_bytes: Option<ByteSize>,
    /// A snapshot is taken when so much was logged since the one before, at least 64KiB: a start reads no
    /// more of the log than that, as a rule [default: 64MiB]
    #[arg(long, value_name = "SIZE", env = "FOREBAY_SNAPSHOT_BYTES")]
    #[serde(deserialize_with = "from_text")]
    pub(super) snapshot_bytes: Option<ByteSize>,
    /// The most connections at one time, at least 1 [default: 10000]
    #[arg(long, value_name = "N", env = "FOREBAY_CONNECTIONS_MAX")]
    pub(super) connections_max: Option<usize>,
    /// The most memory for requests and answers of all connections, at least 32MiB [default: 512MiB]
    #[arg(long, value_name = "SIZE", env = "FOREBAY_MEMORY_BYTES_MAX")]
    #[serde(deserialize_with = "from_text")]
    pub(super) memory_bytes_max: Option<ByteSize>,
    /// Close a connection that says nothing for this long; 0s: never [default: 5m]
    #[arg(long, value_name = "DURATION", env = "FOREBAY_IDLE_TIMEOUT", value_parser = duration)]
    #[serde(deserialize_with = "from_duration")]
    pub(super) idle_timeout: Option<Duration>,
    /// What to log on stderr: off, error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL", env = "FOREBAY_LOG_LEVEL", value_parser = log_level)]
    #[serde(deserialize_with = "from_log_level")]
    pub(super) log_level: Option<LevelFilter>,
}

/// Where SQS is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SqsListen {
    /// Nowhere.
    Off,
    /// There.
    At(SocketAddr),
}

impl FromStr for SqsListen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            text => text
                .parse()
                .map(Self::At)
                .map_err(|_| "expected an IP address and a port: 127.0.0.1:9324; or off"),
        }
    }
}

/// What [`Settings::segment_bytes`] may be. The engine takes less, for tests.
pub(super) const SEGMENT_BYTES: RangeInclusive<u64> = (1 << 20)..=SEGMENT_BYTES_MAX;

/// The least of [`Settings::snapshot_bytes`]: with less a store would write more snapshots than log.
pub(super) const SNAPSHOT_BYTES_MIN: u64 = 64 << 10;

/// The least of [`Settings::memory_bytes_max`]: a largest request and a largest answer.
pub(super) const MEMORY_BYTES_MIN: u64 = 32 << 20;

impl Settings {
    /// The settings in a TOML file.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::io(&path.display().to_string(), &error))?;
        let wrong = |error: &dyn Display| Failure::Usage(format!("{}: {error}", path.display()));
        let settings: Self = toml::from_str(&text).map_err(|error| wrong(&error))?;
        settings.check().map_err(|error| wrong(&error))?;
        Ok(settings)
    }

    /// Checks the ranges of what is given; an error begins with the setting's name.
    pub(super) fn check(&self) -> Result<(), String> {
        let segment_bytes = self.segment_bytes.map(|size| size.0);
        let memory_bytes_max = self.memory_bytes_max.map(|size| size.0);
        let snapshot_bytes = self.snapshot_bytes.map(|size| size.0);
        check_size("segment-bytes", segment_bytes, SEGMENT_BYTES)?;
        check_size("snapshot-bytes", snapshot_bytes, SNAPSHOT_BYTES_MIN..=u64::MAX)?;
        check_size("memory-bytes-max", memory_bytes_max, MEMORY_BYTES_MIN..=u64::MAX)?;
        if let Some(url) = &self.sqs_url
            && !(url.starts_with("http://") || url.starts_with("https://"))
        {
            return Err(format!("sqs-url is {url}, expected http:// or https:// and a host"));
        }
        if let Some(account) = &self.sqs_account
            && !(account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()))
        {
            return Err(format!("sqs-account is {account}, expected 12 digits"));
        }
        if let Some(region) = &self.sqs_region
            && !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err(format!("sqs-region is {region}, expected letters, digits and hyphens"));
        }
        match self.connections_max {
            Some(0) => Err("connections-max is 0, expected at least 1".to_owned()),
            _ => Ok(()),
        }
    }

    /// These settings, and where they say nothing, the `weaker` ones.
    pub(super) fn or(self, weaker: Settings) -> Settings {
        Settings {
            data: self.data.or(weaker.data),
            listen: self.listen.or(weaker.listen),
            sqs_listen: self.sqs_listen.or(weaker.sqs_listen),
            sqs_url: self.sqs_url.or(weaker.sqs_url),
            sqs_region: self.sqs_region.or(weaker.sqs_region),
            sqs_account: self.sqs_account.or(weaker.sqs_account),
            sqs_credentials: self.sqs_credentials.or(weaker.sqs_credentials),
            sqs_open: self.sqs_open.or(weaker.sqs_open),
            sqs_pause: self.sqs_pause.or(weaker.sqs_pause),
            segment_bytes: self.segment_bytes.or(weaker.segment_bytes),
            snapshot_bytes: self.snapshot_bytes.or(weaker.snapshot_bytes),
            connections_max: self.connections_max.or(weaker.connections_max),
            memory_bytes_max: self.memory_bytes_max.or(weaker.memory_bytes_max),
            idle_timeout: self.idle_timeout.or(weaker.idle_timeout),
            log_level: self.log_level.or(weaker.log_level),
        }
    }

    /// The server's limits.
    pub(super) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        if let Some(connections_max) = self.connections_max {
            limits.connections_max = connections_max;
        }
        if let Some(memory_bytes_max) = self.memory_bytes_max {
            limits.memory_bytes_max = memory_bytes_max.0;
        }
        if let Some(idle_timeout) = self.idle_timeout {
            limits.idle_timeout = idle_timeout;
        }
        limits
    }

    /// How the SQS endpoint is set up.
    pub(super) fn sqs(&self) -> Result<sqs::Config, Failure> {
        let region = self.sqs_region.clone().unwrap_or_else(|| sqs::REGION.to_owned());
        let account = self.sqs_account.clone().unwrap_or_else(|| sqs::ACCOUNT.to_owned());
        let pause = self.sqs_pause.unwrap_or(sqs::PAUSE);
        let config = sqs::Config::new(self.sqs_url.clone(), region, account, pause);
        let Some(path) = &self.sqs_credentials else { return Ok(config) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::io(&path.display().to_string(), &error))?;
        let credentials = sqs::Credentials::parse(&text)
            .map_err(|wrong| Failure::Usage(format!("{}: {wrong}", path.display())))?;
        Ok(config.with_credentials(credentials))
    }

    /// The engine's options.
    pub(super) fn options(&self) -> forebay_engine::Options {
        let mut options = forebay_engine::Options::default();
        if let Some(segment_bytes) = self.segment_bytes {
            options.segment_bytes = segment_bytes.0;
        }
        if let Some(snapshot_bytes) = self.snapshot_bytes {
            options.snapshot_bytes = snapshot_bytes.0;
        }
        options
    }
}

/// Checks a size that may be given.
fn check_size(name: &str, size: Option<u64>, range: RangeInclusive<u64>) -> Result<(), String> {
    let (min, max) = (ByteSize(*range.start()), ByteSize(*range.end()));
    match size.filter(|size| !range.contains(size)).map(ByteSize) {
        None => Ok(()),
        Some(size) if max.0 == u64::MAX => {
            Err(format!("{name} is {size}, expected at least {min}"))
        }
        Some(size) => Err(format!("{name} is {size}, expected {min} to {max}")),
    }
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let expected = || "expected an IP address and a port: 127.0.0.1:7480".to_owned();
    text.parse().map_err(|_| wrong_port(text).unwrap_or_else(expected))
}

fn log_level(text: &str) -> Result<LevelFilter, &'static str> {
    text.parse().map_err(|_| "expected off, error, warn, info, debug or trace")
}

/// A value that the file gives as the command line would: as a text. A bare number is one too.
fn parsed<'de, D, T, E>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    E: Display,
{
    let text = match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text,
        other => other.to_string(),
    };
    parse(&text).map(Some).map_err(serde::de::Error::custom)
}

fn from_text<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    parsed(deserializer, str::parse)
}

fn from_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    parsed(from, duration)
}

fn from_listen_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    parsed(from, listen_address)
}

fn from_log_level<'de, D: Deserializer<'de>>(from: D) -> Result<Option<LevelFilter>, D::Error> {
    parsed(from, log_level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_flags_say() {
        let file: Settings = toml::from_str(
            "listen = '127.0.0.1:1'\nsegment-bytes = '1MiB'\nidle-timeout = '90s'\nlog-level = 'warn'",
        )
        .expect("these are settings");
        assert_eq!(file.options().segment_bytes, 1 << 20);
        assert_eq!(file.limits().idle_timeout, Duration::from_secs(90));
        let flags = Settings { segment_bytes: Some(ByteSize(2 << 20)), ..Settings::default() };
        let both = flags.or(file);
        assert_eq!(both.options().segment_bytes, 2 << 20, "the flag is stronger");
        assert_eq!(both.log_level, Some(LevelFilter::WARN), "the file says what the flags do not");
    }

    #[test]
    fn a_setting_outside_its_range_is_named_with_the_range() {
        for (text, error) in [
            ("segment-bytes = '1023KiB'", "segment-bytes is 1023KiB, expected 1MiB to 4GiB"),
            ("segment-bytes = 1", "segment-bytes is 1B, expected 1MiB to 4GiB"),
            ("segment-bytes = '5GiB'", "segment-bytes is 5GiB, expected 1MiB to 4GiB"),
            ("snapshot-bytes = '63KiB'", "snapshot-bytes is 63KiB, expected at least 64KiB"),
            ("memory-bytes-max = '31MiB'", "memory-bytes-max is 31MiB, expected at least 32MiB"),
            ("connections-max = 0", "connections-max is 0, expected at least 1"),
            ("sqs-url = 'queues'", "sqs-url is queues, expected http:// or https:// and a host"),
            ("sqs-account = '1234'", "sqs-account is 1234, expected 12 digits"),
            ("sqs-region = 'a/b'", "sqs-region is a/b, expected letters, digits and hyphens"),
        ] {
            let settings: Settings = toml::from_str(text).expect("these are settings");
            assert_eq!(settings.check(), Err(error.to_owned()));
        }
        let least = "segment-bytes = '1MiB'\nsnapshot-bytes = '64KiB'\nmemory-bytes-max = '32MiB'\nconnections-max = 1";
        let settings: Settings = toml::from_str(least).expect("these are settings");
        assert_eq!(settings.check(), Ok(()));
    }

    #[test]
    fn an_unknown_name_or_a_bad_value_in_a_file_is_an_error_that_names_it() {
        for (text, named) in [
            ("lisen = '127.0.0.1:1'", "lisen"),
            ("segment-bytes = '1MB'", "1MB"),
            ("sqs-listen = 'on'", "or off"),
            ("idle-timeout = 'x'", "\"x\" is no duration, expected a number and its unit: 500ms"),
            ("sqs-pause = 60", "\"60\" is no duration, expected a number and its unit: 500ms"),
            ("listen = 'localhost:1'", "expected an IP address and a port: 127.0.0.1:7480"),
            ("segment-bytes = true", "\"true\" is not a size, expected a whole number and B, KiB"),
            ("log-level = 'loud'", "expected off, error, warn, info, debug or trace"),
        ] {
            let error = toml::from_str::<Settings>(text).expect_err("this must be refused");
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
