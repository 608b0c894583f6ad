//! A disk whose syncs of the log wait at a gate, and fail on demand, and whose writes of the log wait
//! at another: what the threads of an engine do meanwhile can then be said exactly.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use forebay_engine::disk::{Access, Disk, DiskError, DiskFile, DiskLock, DiskMap, SimDisk};

#[derive(Debug, Clone)]
pub struct GatedDisk {
    disk: SimDisk,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    failing: bool,
    waiting: usize,
    /// The same of writes.
    writes_closed: bool,
    writes_waiting: usize,
    log_made: bool,
    /// Syncs of segments since the start.
    syncs: usize,
}

impl GatedDisk {
    pub fn new(disk: SimDisk) -> Self {
        Self { disk, gate: Arc::default() }
    }

    /// From now on a sync of the log waits.
    pub fn close(&self) {
        self.gate.state.lock().unwrap().closed = true;
    }

    /// Lets the syncs pass; with `failing` they fail.
    pub fn open(&self, failing: bool) {
        let mut state = self.gate.state.lock().unwrap();
        (state.closed, state.failing) = (false, failing);
        self.gate.changed.notify_all();
    }

    /// Waits until a sync waits at the gate.
    pub fn wait_for_a_sync(&self) {
        let state = self.gate.state.lock().unwrap();
        drop(self.gate.changed.wait_while(state, |state| state.waiting == 0).unwrap());
    }

    /// From now on a write of the log waits.
    pub fn close_writes(&self) {
        self.gate.state.lock().unwrap().writes_closed = true;
    }

    /// Lets the writes pass.
    pub fn open_writes(&self) {
        self.gate.state.lock().unwrap().writes_closed = false;
        self.gate.changed.notify_all();
    }

    /// Waits until a write waits at its gate.
    pub fn wait_for_a_write(&self) {
        let state = self.gate.state.lock().unwrap();
        drop(self.gate.changed.wait_while(state, |state| state.writes_waiting == 0).unwrap());
    }

    /// How often the log was synced.
    pub fn syncs(&self) -> usize {
        self.gate.state.lock().unwrap().syncs
    }
}

#[derive(Debug)]
struct GatedFile {
    file: Arc<dyn DiskFile>,
    gate: Arc<Gate>,
}

impl DiskFile for GatedFile {
    fn path(&self) -> &Path {
        self.file.path()
    }
    fn size(&self) -> Result<u64, DiskError> {
        self.file.size()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.file.read_at(offset, buffer)
    }
    fn read_durable_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.file.read_durable_at(offset, buffer)
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut state = self.gate.state.lock().unwrap();
        state.writes_waiting += 1;
        self.gate.changed.notify_all();
        let mut state = self.gate.changed.wait_while(state, |state| state.writes_closed).unwrap();
        state.writes_waiting -= 1;
        drop(state);
        self.file.write_all_at(offset, bytes)
    }
    fn set_size(&self, bytes: u64) -> Result<(), DiskError> {
        self.file.set_size(bytes)
    }
    fn sync(&self) -> Result<(), DiskError> {
        let mut state = self.gate.state.lock().unwrap();
        state.syncs += 1;
        state.waiting += 1;
        self.gate.changed.notify_all();
        let mut state = self.gate.changed.wait_while(state, |state| state.closed).unwrap();
        state.waiting -= 1;
        if state.failing {
            return Err(DiskError {
                operation: "sync",
                path: self.file.path().to_path_buf(),
                source: std::io::Error::from_raw_os_error(5),
            });
        }
        drop(state);
        self.file.sync()
    }
}

impl Disk for GatedDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.disk.create_dir(path)
    }
    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError> {
        self.disk.list(dir)
    }
    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        let file = self.disk.create(path)?;
        // The segment that the opening makes for itself; the ones prepared later are not gated.
        let is_log = path.ends_with("next.tmp")
            && !std::mem::replace(&mut self.gate.state.lock().unwrap().log_made, true);
        match is_log {
            true => Ok(Arc::new(GatedFile { file, gate: self.gate.clone() })),
            false => Ok(file),
        }
    }
    fn open(&self, path: &Path, access: Access) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.disk.open(path, access)
    }
    fn map(&self, path: &Path) -> Result<Arc<dyn DiskMap>, DiskError> {
        self.disk.map(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.disk.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, DiskError> {
        self.disk.lock(path)
    }
}
