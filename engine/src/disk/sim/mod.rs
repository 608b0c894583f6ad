//! A simulated disk that loses, tears, reorders and refuses what a real one may, from one seed.
//!
//! It exists to test recovery: run a program on it, cut the power at any operation, and see what
//! the program makes of what is left.
//!
//! ```
//! use std::path::Path;
//! use forebay_engine::disk::{Disk, SimDisk};
//!
//! # fn main() -> Result<(), forebay_engine::disk::DiskError> {
//! let disk = SimDisk::new(7);
//! disk.create_dir(Path::new("data"))?;
//! let file = disk.create(Path::new("data/log"))?;
//! file.write_all_at(0, b"kept")?;
//! file.sync()?;
//! disk.sync_dir(Path::new("data"))?;
//! file.write_all_at(4, b", or not")?;
//! disk.crash(1);
//! assert!(disk.image("data/log")?.starts_with(b"kept"));
//! # Ok(())
//! # }
//! ```
//!
//! # What is modelled
//! - *Page cache*: reads show what was written; the disk holds what was synced. A [`crash`] keeps
//!   or loses each 512-byte sector of each unsynced change, and each unsynced size; a sector is
//!   never torn inside. A [`kill`] loses nothing, and makes nothing durable either.
//! - *Names*: a created, renamed or removed name may be lost until its directory is synced. A
//!   rename is whole. A file without a durable name is lost, however well it was synced.
//! - *Faults* ([`Fault`]) at a given operation, a [capacity](SimDisk::set_capacity), and rot:
//!   [`flip_bit`](SimDisk::flip_bit), [`zero_block`](SimDisk::zero_block),
//!   [`swap_blocks`](SimDisk::swap_blocks).
//!
//! # What is not
//! Links, renamed directories, permissions, time, and a file above 4 GiB. A map shows what was there
//! when it was made, whatever rots later. The page cache is not written back before the crash that
//! decides what was. Equal seeds give equal runs only if the
//! operations come in the same order, which threads may change.
//!
//! [`crash`]: SimDisk::crash
//! [`kill`]: SimDisk::kill

mod contents;
mod fate;
mod fault;
mod handle;
mod image;
mod names;
mod random;
mod state;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use fault::Fault;
pub use random::Random;

use self::image::Image;
use self::state::State;
use super::DiskError;

/// The block that [`SimDisk::zero_block`] and [`SimDisk::swap_blocks`] count in.
const BLOCK_BYTES: u64 = 4096;

/// A simulated disk. A clone is another handle to the same disk.
///
/// What a test does to the disk, below, is no operation of the program under test: it is not
/// counted, meets no faults, and works on a stopped machine too.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk. The seed decides how far an operation gets that a [`Fault`] interrupts.
    pub fn new(seed: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(seed))) }
    }

    /// From here on the salts and keys of whoever uses the disk come from this seed, and are the same in
    /// each run. Otherwise they come from the operating system.
    pub fn seed_salts(&self, seed: u64) {
        self.state().salts = Some(Random::new(seed));
    }

    /// A copy of the disk at this moment, what is unsynced and what is planned included, as one more
    /// machine on which no process runs: what one crash leaves can be tried beside what another does.
    pub fn fork(&self) -> Self {
        let mut state = self.state().clone();
        state.forget_handles();
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A hash of all names and of their files' bytes, as a read would show them. Two disks that a crash
    /// left the same have the same one.
    pub fn fingerprint(&self) -> u128 {
        self.state().fingerprint()
    }

    /// As [`SimDisk::fingerprint`], and of what is durable and unsynced too: two disks that have the same
    /// one are the same to the next process and to a power cut after it.
    pub fn fingerprint_unsynced(&self) -> u128 {
        self.state().fingerprint_unsynced()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere still wants to look at its disk.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of operations so far: every call of a [`Disk`](super::Disk) or
    /// [`DiskFile`](super::DiskFile) method that took place, `size` and `path` excepted.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// From here on it is recorded what each operation is: see [`strikes`](SimDisk::strikes).
    pub fn record_operations(&self) {
        self.state().recorded = Some(Vec::new());
    }

    /// At which operations a fault strikes and makes a difference, of those since
    /// [`record_operations`](SimDisk::record_operations), which counts them from 0.
    pub fn strikes(&self, fault: Fault) -> Vec<u64> {
        let state = self.state();
        let recorded = (0..).zip(state.recorded.iter().flatten());
        recorded.filter(|(_, kind)| fault.matters(**kind)).map(|(number, _)| number).collect()
    }

    /// Plans a fault for the operation that begins when [`operations`](SimDisk::operations) says
    /// `operation`, or for the first one after it that the fault can strike. It strikes once.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.state().plan.add(operation, fault);
    }

    /// The faults that have struck since the last call.
    pub fn take_struck(&self) -> Vec<Fault> {
        self.state().plan.take_struck()
    }

    /// Whether any fault has not struck yet.
    pub fn has_faults(&self) -> bool {
        self.state().plan.has_any()
    }

    /// While faults are paused none strikes: those that are due meanwhile strike afterwards.
    pub fn pause_faults(&self, paused: bool) {
        self.state().plan.paused = paused;
    }

    /// Forgets the faults that have not struck.
    pub fn clear_faults(&self) {
        self.state().plan.clear();
    }

    /// Whether a [`Fault::Crash`] has struck, and neither crash nor kill followed.
    pub fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// Limits the bytes that all files may occupy. Written sectors count, holes do not; a removed
    /// file counts until its last handle is closed. `None` is no limit.
    pub fn set_capacity(&self, bytes_max: Option<u64>) {
        self.state().bytes_max = bytes_max;
    }

    /// The bytes that all files occupy.
    pub fn used(&self) -> u64 {
        self.state().bytes_used()
    }

    /// Cuts the power and starts the machine again. The seed chooses what was on its way to the
    /// disk and is kept: of each file's changes, and of the names. All handles from before fail
    /// from here on, and locks are released. Faults still planned stay planned.
    pub fn crash(&self, seed: u64) {
        self.state().crash(seed);
    }

    /// How many ways a power cut has at this moment: which names are kept, and of each file which size
    /// and which version of each sector. Some of them leave the same.
    pub fn ways(&self) -> u64 {
        self.state().ways()
    }

    /// As [`crash`](SimDisk::crash), in this one of the [`ways`](SimDisk::ways), counted from 0, which
    /// loses all that can be lost.
    pub fn crash_way(&self, way: u64) {
        self.state().crash_way(way);
    }

    /// Kills the process: handles and locks are gone, what it wrote stays in the page cache,
    /// where the next crash may still lose it.
    pub fn kill(&self) {
        self.state().forget_handles();
    }

    /// The names of all files, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        self.state().names.files().map(|(path, _)| path.to_path_buf()).collect()
    }

    /// A file's bytes as a read would show them.
    pub fn image(&self, path: impl AsRef<Path>) -> Result<Vec<u8>, DiskError> {
        self.with_contents("read", path.as_ref(), |contents| Ok(contents.cache().to_vec()))
    }

    /// A file's bytes as they would be after a crash that loses all it can.
    pub fn durable_image(&self, path: impl AsRef<Path>) -> Result<Vec<u8>, DiskError> {
        self.with_contents("read", path.as_ref(), |contents| Ok(contents.durable().to_vec()))
    }

    /// Plants a file, durable with its name and the directories above it. One that exists keeps
    /// its handles and has its bytes replaced.
    pub fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), DiskError> {
        let path = path.as_ref();
        self.state().plant(path, bytes).map_err(|source| failed("put", path, source))
    }

    /// Flips a bit, 0 to 7, of a byte: in the cache and on the disk. A change that was not synced
    /// may write over it. Beyond the file's end it is an error of kind `InvalidInput`.
    pub fn flip_bit(&self, path: impl AsRef<Path>, byte: u64, bit: u8) -> Result<(), DiskError> {
        self.rot("flip a bit of", path.as_ref(), byte, |image| {
            let mut bytes = [0];
            image.read(byte, &mut bytes);
            image.write(byte, &[bytes[0] ^ 1_u8.wrapping_shl(bit.into())]);
        })
    }

    /// Zeroes the 4096-byte block of this number, or what the file has of it.
    pub fn zero_block(&self, path: impl AsRef<Path>, block: u64) -> Result<(), DiskError> {
        let start = block.saturating_mul(BLOCK_BYTES);
        self.rot("zero a block of", path.as_ref(), start, |image| {
            let length = (image.size() - start).min(BLOCK_BYTES);
            image.write(start, &vec![0; length as usize]);
        })
    }

    /// From now on every read of the 4096-byte block of this number fails with `EIO`.
    pub fn make_unreadable(&self, path: impl AsRef<Path>, block: u64) -> Result<(), DiskError> {
        self.with_contents("spoil a block of", path.as_ref(), |contents| {
            contents.make_unreadable(block);
            Ok(())
        })
    }

    /// Swaps two 4096-byte blocks, or as much of them as both have.
    pub fn swap_blocks(&self, path: impl AsRef<Path>, a: u64, b: u64) -> Result<(), DiskError> {
        let (a, b) = (a.saturating_mul(BLOCK_BYTES), b.saturating_mul(BLOCK_BYTES));
        let last = a.max(b);
        self.rot("swap blocks of", path.as_ref(), last, |image| {
            let length = (image.size() - last).min(BLOCK_BYTES) as usize;
            let (mut at_a, mut at_b) = (vec![0; length], vec![0; length]);
            image.read(a, &mut at_a);
            image.read(b, &mut at_b);
            image.write(a, &at_b);
            image.write(b, &at_a);
        })
    }

    /// Damages both images of a file, where `at` lies inside.
    fn rot(
        &self,
        operation: &'static str,
        path: &Path,
        at: u64,
        damage: impl Fn(&mut Image),
    ) -> Result<(), DiskError> {
        self.with_contents(operation, path, |contents| {
            let size = contents.cache().size();
            if at >= size {
                let text = format!("byte {at} of a file of {size} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            contents.rot(|image| {
                // The file may be shorter on the disk than in the cache.
                if at < image.size() {
                    damage(image);
                }
            });
            Ok(())
        })
    }

    fn with_contents<T>(
        &self,
        operation: &'static str,
        path: &Path,
        action: impl FnOnce(&mut contents::Contents) -> io::Result<T>,
    ) -> Result<T, DiskError> {
        let mut state = self.state();
        let inode = state.names.file(path);
        inode
            .and_then(|inode| action(state.contents(inode)?))
            .map_err(|source| failed(operation, path, source))
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let files: Vec<&Path> = state.names.files().map(|(path, _)| path).collect();
        formatter
            .debug_struct("SimDisk")
            .field("operations", &state.operations)
            .field("files", &files)
            .finish()
    }
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> DiskError {
    DiskError { operation, path: path.to_path_buf(), source }
}
