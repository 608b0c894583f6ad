//! A run as a file: its seed and its store's settings, then an operation a line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::check::Tally;
use super::op::Op;
use super::profile::Profile;
use super::run::Run;

/// A run: everything that decides what happens in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The disk's seed.
    pub seed: u64,
    /// The store's settings.
    pub profile: Profile,
    /// What is done.
    pub ops: Vec<Op>,
}

/// The first line of a script's file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Head {
    seed: u64,
    profile: Profile,
}

/// Why a text is no script.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the script: {reason}")]
pub struct ScriptError {
    line: usize,
    reason: String,
}

impl Script {
    /// Does it, and checks everything. Panics in the name of the check that fails.
    pub fn run(&self) -> Tally {
        let mut run = Run::unopened(self.seed, self.profile);
        let rest = run.open_with(&self.ops);
        rest.iter().for_each(|op| run.step(op));
        run.finish()
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = Head { seed: self.seed, profile: self.profile };
        writeln!(f, "{}", line(&head))?;
        self.ops.iter().try_for_each(|op| writeln!(f, "{}", line(op)))
    }
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers and names always have a JSON form")
}

impl FromStr for Script {
    type Err = ScriptError;

    /// Empty lines, and those that begin with `#`, are passed over.
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let lines = (1..).zip(text.lines());
        let mut lines = lines.filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
        let Some((number, head)) = lines.next() else {
            let reason = "the script is empty, expected its seed and profile".to_owned();
            return Err(ScriptError { line: 1, reason });
        };
        let Head { seed, profile } = read(number, head)?;
        let ops = lines.map(|(number, text)| read(number, text)).collect::<Result<_, _>>()?;
        Ok(Self { seed, profile, ops })
    }
}

fn read<'t, T: Deserialize<'t>>(line: usize, text: &'t str) -> Result<T, ScriptError> {
    serde_json::from_str(text).map_err(|error| ScriptError { line, reason: error.to_string() })
}
