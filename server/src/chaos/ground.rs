//! The store that chaos may have: one that was created for it. A file beside its own says so, and what one life
//! leaves to the next.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The file that marks a store.
const MARK: &str = "chaos.toml";

/// While it is written.
const UNFINISHED: &str = "chaos.tmp";

/// What the engine puts into a directory before it is a store.
const LOCK: &str = "LOCK";

/// A directory that chaos may have.
#[derive(Debug)]
pub(crate) struct Ground {
    data: PathBuf,
    kept: Kept,
    is_new: bool,
}

/// What the file says.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Kept {
    /// What chance decides.
    seed: u64,
    /// How often the server was started on it.
    life: u64,
    /// How far its clock was moved ahead, in all lives.
    clock_ahead_ms: u64,
}

/// Why there is no ground for chaos.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GroundError {
    /// The directory holds something that was not made for it.
    #[error(
        "{} holds \"{found}\" and no {MARK}: it was not created for chaos, expected an empty or missing \
         directory, or one that such a server has made",
        path.display()
    )]
    NotForChaos {
        /// The directory.
        path: PathBuf,
        /// Something in it.
        found: String,
    },
    /// The file that marks the store is not what was written.
    #[error("{}: {detail}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The disk refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Whether a store was created for chaos.
pub(super) fn is_marked(data: &Path) -> bool {
    data.join(MARK).exists()
}

impl Ground {
    /// Looks whether the directory may be had, changing nothing, and begins another life of it. `seed` is that of
    /// the plan; without one, that of the life before, or a new one.
    pub(super) fn prepare(data: &Path, seed: Option<u64>) -> Result<Self, GroundError> {
        let path = data.join(MARK);
        let io = |source| GroundError::Io { path: path.clone(), source };
        let kept = match fs::read_to_string(&path) {
            Ok(text) => {
                let unreadable = |error: toml::de::Error| GroundError::Unreadable {
                    path: path.clone(),
                    detail: error.to_string(),
                };
                Some(toml::from_str::<Kept>(&text).map_err(unreadable)?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(io(error)),
        };
        let is_new = kept.is_none();
        if is_new {
            expect_empty(data)?;
        }
        let drawn = || Uuid::new_v4().as_u64_pair().0;
        let before = kept.unwrap_or_else(|| Kept { seed: drawn(), life: 0, clock_ahead_ms: 0 });
        let kept = Kept { seed: seed.unwrap_or(before.seed), life: before.life + 1, ..before };
        Ok(Self { data: data.to_path_buf(), kept, is_new })
    }

    /// Marks the store, which is open now, and counts its life. `created`: whether the engine has created it just now. Without
    /// that, nothing happens to it that was not meant for it.
    pub(crate) fn mark(&self, created: bool) -> Result<(), GroundError> {
        if self.is_new && !created {
            let (path, found) = (self.data.clone(), "store.toml".to_owned());
            return Err(GroundError::NotForChaos { path, found });
        }
        self.write(self.kept)
    }

    pub(super) fn remember_clock(&self, clock_ahead_ms: u64) -> Result<(), GroundError> {
        self.write(Kept { clock_ahead_ms, ..self.kept })
    }

    fn write(&self, kept: Kept) -> Result<(), GroundError> {
        let (path, unfinished) = (self.data.join(MARK), self.data.join(UNFINISHED));
        let text = toml::to_string(&kept).expect("numbers have a TOML form");
        let written = fs::write(&unfinished, text).and_then(|()| fs::rename(&unfinished, &path));
        written.map_err(|source| GroundError::Io { path, source })
    }

    pub(super) fn seed(&self) -> u64 {
        self.kept.seed
    }

    pub(super) fn life(&self) -> u64 {
        self.kept.life
    }

    pub(super) fn clock_ahead_ms(&self) -> u64 {
        self.kept.clock_ahead_ms
    }
}

fn expect_empty(data: &Path) -> Result<(), GroundError> {
    let io = |source| GroundError::Io { path: data.to_path_buf(), source };
    let entries = match fs::read_dir(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(io)?,
    };
    // Of all that it holds what says most.
    if data.join("store.toml").exists() {
        let (path, found) = (data.to_path_buf(), "store.toml".to_owned());
        return Err(GroundError::NotForChaos { path, found });
    }
    for entry in entries {
        let name = entry.map_err(io)?.file_name().to_string_lossy().into_owned();
        if name != LOCK {
            return Err(GroundError::NotForChaos { path: data.to_path_buf(), found: name });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_anything_in_it_is_no_ground_unless_it_is_marked() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        assert!(Ground::prepare(&missing, None).is_ok());
        assert!(!missing.exists(), "looking changes nothing");
        fs::write(dir.path().join(LOCK), "").unwrap();
        let first = Ground::prepare(dir.path(), Some(7)).unwrap();
        fs::write(dir.path().join("store.toml"), "").unwrap();
        let refused = Ground::prepare(dir.path(), Some(7)).unwrap_err().to_string();
        assert!(refused.contains("holds \"store.toml\" and no chaos.toml"), "{refused}");
        let refused = first.mark(false).unwrap_err().to_string();
        assert!(refused.contains("it was not created for chaos"), "{refused}");
        first.mark(true).unwrap();
        assert!(Ground::prepare(dir.path(), Some(7)).is_ok());
    }

    #[test]
    fn a_life_goes_on_with_the_seed_and_the_clock_of_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let first = Ground::prepare(dir.path(), None).unwrap();
        first.mark(true).unwrap();
        first.remember_clock(1234).unwrap();
        let second = Ground::prepare(dir.path(), None).unwrap();
        assert_eq!((first.life(), second.life()), (1, 2));
        assert_eq!(second.seed(), first.seed());
        assert_eq!(second.clock_ahead_ms(), 1234);
    }
}
