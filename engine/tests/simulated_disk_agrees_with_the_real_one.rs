//! Where nothing fails, the simulated disk and the real one answer alike, errors included.
//!
//! Without it the two could drift apart, and the engine be tested against a disk that nobody has.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use forebay_engine::disk::{Access, Disk, DiskError, DiskFile, RealDisk, SimDisk};
use proptest::prelude::*;

/// Names that collide often, some below others that may be files.
const NAMES: [&str; 6] = ["a", "b", "d/a", "d/b", "d/e/a", "a/b"];
const DIRS: [&str; 4] = ["", "d", "d/e", "a"];

#[derive(Debug, Clone)]
enum Operation {
    CreateDir(usize),
    List(usize),
    SyncDir(usize),
    Create(usize),
    Open(usize, bool),
    Rename(usize, usize),
    Remove(usize),
    Map(usize),
    /// On the handle opened last, as all that follow.
    Size,
    Read(u64, usize),
    ReadSynced(u64, usize),
    Write(u64, u8, usize),
    SetSize(u64),
}

fn operation() -> impl Strategy<Value = Operation> {
    let (name, dir) = (|| 0..NAMES.len(), || 0..DIRS.len());
    let (offset, length) = (|| 0..10_000_u64, || 1..5_000_usize);
    prop_oneof![
        1 => dir().prop_map(Operation::CreateDir),
        1 => dir().prop_map(Operation::List),
        1 => dir().prop_map(Operation::SyncDir),
        4 => name().prop_map(Operation::Create),
        3 => (name(), any::<bool>()).prop_map(|(name, write)| Operation::Open(name, write)),
        2 => (name(), name()).prop_map(|(from, to)| Operation::Rename(from, to)),
        1 => name().prop_map(Operation::Remove),
        2 => name().prop_map(Operation::Map),
        1 => Just(Operation::Size),
        3 => (offset(), length()).prop_map(|(at, length)| Operation::Read(at, length)),
        1 => (offset(), length()).prop_map(|(at, length)| Operation::ReadSynced(at, length)),
        6 => (offset(), 0..3_u8, length()).prop_map(|(at, byte, length)| Operation::Write(at, byte, length)),
        2 => offset().prop_map(Operation::SetSize),
    ]
}

/// A disk, the directory on it that stands for the root, and the handle opened last.
struct Run<'a> {
    disk: &'a dyn Disk,
    root: &'a Path,
    file: Option<Arc<dyn DiskFile>>,
}

impl Run<'_> {
    /// What the operation answered, as far as both disks must agree.
    fn answer(&mut self, operation: &Operation) -> Result<String, ErrorKind> {
        self.apply(operation).map_err(|error| error.kind())
    }

    fn apply(&mut self, operation: &Operation) -> Result<String, DiskError> {
        let (disk, root) = (self.disk, self.root);
        let name = |at: &usize| root.join(NAMES[*at]);
        let dir = |at: &usize| root.join(DIRS[*at]);
        let done = |()| String::new();
        match operation {
            Operation::CreateDir(at) => return disk.create_dir(&dir(at)).map(done),
            Operation::List(at) => return disk.list(&dir(at)).map(|names| names.join(" ")),
            Operation::SyncDir(at) => return disk.sync_dir(&dir(at)).map(done),
            // The simulated disk renames files only.
            Operation::Rename(from, _) if disk.list(&name(from)).is_ok() => return Ok(done(())),
            Operation::Rename(from, to) => return disk.rename(&name(from), &name(to)).map(done),
            Operation::Remove(at) => return disk.remove(&name(at)).map(done),
            Operation::Map(at) => {
                // As with opening.
                if disk.list(&name(at)).is_ok() {
                    return Ok(String::new());
                }
                let map = disk.map(&name(at))?;
                // Beyond the end as well: an advice is never an error.
                map.will_need(0..map.bytes().len() + 5_000);
                map.will_need(4_000..4_001);
                return Ok(format!("{:?}", map.bytes()));
            }
            Operation::Create(at) => {
                self.file = Some(disk.create(&name(at))?);
                return Ok(String::new());
            }
            Operation::Open(at, write) => {
                let access = if *write { Access::Write } else { Access::Read };
                // The real disk opens a directory for reading; that is nobody's use.
                if disk.list(&name(at)).is_err() {
                    self.file = Some(disk.open(&name(at), access)?);
                }
                return Ok(String::new());
            }
            _ => {}
        }
        let Some(file) = &self.file else {
            return Ok("no file".to_owned());
        };
        let mut buffer = vec![9; 5_000];
        match operation {
            Operation::Size => file.size().map(|size| size.to_string()),
            Operation::Read(at, length) => {
                let read = file.read_at(*at, &mut buffer[..*length])?;
                Ok(format!("{read} {buffer:?}"))
            }
            Operation::ReadSynced(at, length) => {
                file.sync()?;
                // The real one opens by name, which may be gone by now: no answer to compare.
                if let Ok(read) = file.read_durable_at(*at, &mut buffer[..*length]) {
                    let mut cached = vec![9; 5_000];
                    assert_eq!(file.read_at(*at, &mut cached[..*length])?, read);
                    assert!(buffer == cached, "the device holds what was synced");
                }
                Ok(String::new())
            }
            Operation::Write(at, byte, length) => {
                file.write_all_at(*at, &vec![*byte; *length]).map(done)
            }
            Operation::SetSize(bytes) => file.set_size(*bytes).map(done),
            _ => unreachable!("the others returned above"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn both_give_the_same_answers(operations in prop::collection::vec(operation(), 1..60)) {
        let (sim, scratch) = (SimDisk::new(0), tempfile::tempdir().unwrap());
        let mut simulated = Run { disk: &sim, root: Path::new(""), file: None };
        let mut real = Run { disk: &RealDisk, root: scratch.path(), file: None };
        for operation in &operations {
            prop_assert_eq!(
                simulated.answer(operation), real.answer(operation), "{:?}", operation
            );
        }
    }
}
