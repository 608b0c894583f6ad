//! The settings of `serve`: flags, environment variables and a TOML file set the same names, in
//! that order of strength.
//!
//! One struct is all three: a flag `--idle-timeout`, a variable `FOREBAY_IDLE_TIMEOUT` and a key
//! `idle-timeout` are one field.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use tracing::level_filters::LevelFilter;

use super::failure::Failure;
use crate::byte_size::ByteSize;
use crate::limits::Limits;

/// Settings as far as one source gives them.
#[derive(Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Settings {
    /// The directory of the store, created if it is missing [default: ./forebay-data]
    #[arg(long, value_name = "DIR", env = "FOREBAY_DATA")]
    pub(super) data: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:7480]
    #[arg(long, value_name = "ADDR", env = "FOREBAY_LISTEN")]
    pub(super) listen: Option<SocketAddr>,
    /// The size of a log file, 1MiB to 4GiB [default: 256MiB]
    #[arg(long, value_name = "SIZE", env = "FOREBAY_SEGMENT_BYTES")]
    #[serde(deserialize_with = "from_text")]
    pub(super) segment_bytes: Option<ByteSize>,
    /// The most connections at one time [default: 10000]
    #[arg(long, value_name = "N", env = "FOREBAY_CONNECTIONS_MAX")]
    pub(super) connections_max: Option<usize>,
    /// The most memory for requests and answers of all connections [default: 512MiB]
    #[arg(long, value_name = "SIZE", env = "FOREBAY_MEMORY_BYTES_MAX")]
    #[serde(deserialize_with = "from_text")]
    pub(super) memory_bytes_max: Option<ByteSize>,
    /// Close a connection that says nothing for this long; 0s: never [default: 5m]
    #[arg(long, value_name = "DURATION", env = "FOREBAY_IDLE_TIMEOUT")]
    #[serde(deserialize_with = "from_text")]
    pub(super) idle_timeout: Option<humantime::Duration>,
    /// What to log on stderr: off, error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL", env = "FOREBAY_LOG_LEVEL")]
    #[serde(deserialize_with = "from_text")]
    pub(super) log_level: Option<LevelFilter>,
}

impl Settings {
    /// The settings in a TOML file.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::io(&path.display().to_string(), &error))?;
        toml::from_str(&text)
            .map_err(|error| Failure::because(format!("{}: {error}", path.display())))
    }

    /// These settings, and where they say nothing, the `weaker` ones.
    pub(super) fn or(self, weaker: Settings) -> Settings {
        Settings {
            data: self.data.or(weaker.data),
            listen: self.listen.or(weaker.listen),
            segment_bytes: self.segment_bytes.or(weaker.segment_bytes),
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
            limits.idle_timeout = idle_timeout.into();
        }
        limits
    }

    /// The engine's options.
    pub(super) fn options(&self) -> forebay_engine::Options {
        let mut options = forebay_engine::Options::default();
        if let Some(segment_bytes) = self.segment_bytes {
            options.segment_bytes = segment_bytes.0;
        }
        options
    }
}

/// A value that the file gives as the command line would: as a text.
fn from_text<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
    fn an_unknown_name_or_a_bad_value_in_a_file_is_an_error_that_names_it() {
        for (text, named) in [("lisen = '127.0.0.1:1'", "lisen"), ("segment-bytes = '1MB'", "1MB")]
        {
            let error = toml::from_str::<Settings>(text).expect_err("this must be refused");
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
