//! What a latency is compared with: a sync of the same bytes, and a round trip to the same server.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use forebay_protocol::Ping;

use crate::BenchError;
use crate::frames::random_bytes;
use crate::measure::Measure;
use crate::wire::Wire;

const REPEATS: u32 = 2000;
/// Not counted: before them the file's blocks and the connection are cold.
const WARM_UP: u32 = 100;
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// A file of zeros that are on the disk: appends to it change no metadata.
pub(crate) fn zero_filled(path: &Path, bytes: u64) -> Result<File, BenchError> {
    let write = || {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        for offset in (0..bytes).step_by(ZEROS.len()) {
            let count = (bytes - offset).min(ZEROS.len() as u64) as usize;
            file.write_all_at(&ZEROS[..count], offset)?;
        }
        file.sync_all()?;
        Ok(file)
    };
    write().map_err(BenchError::doing(format_args!("cannot write {}", path.display())))
}

/// Appends `bytes` bytes and syncs them, over and over, to a file in `dir`.
pub(crate) fn sync(dir: &Path, bytes: usize) -> Result<Measure, BenchError> {
    let payload = random_bytes(bytes)?;
    let path = dir.join("probe");
    let file = zero_filled(&path, bytes as u64 * u64::from(WARM_UP + REPEATS))?;
    let mut found = Measure::new();
    for repeat in 0..WARM_UP + REPEATS {
        let began = Instant::now();
        file.write_all_at(&payload, u64::from(repeat) * bytes as u64)?;
        rustix::fs::fdatasync(&file)?;
        if repeat >= WARM_UP {
            found.note(1, began.elapsed());
            found.took += began.elapsed();
        }
    }
    std::fs::remove_file(&path)?;
    Ok(found)
}

/// Pings the server, over and over.
pub(crate) async fn ping(address: &str) -> Result<Measure, BenchError> {
    let mut wire = Wire::connect(address).await?;
    let mut found = Measure::new();
    for repeat in 0..WARM_UP + REPEATS {
        let began = Instant::now();
        wire.ask(Ping {}).await?;
        if repeat >= WARM_UP {
            found.note(1, began.elapsed());
            found.took += began.elapsed();
        }
    }
    Ok(found)
}
