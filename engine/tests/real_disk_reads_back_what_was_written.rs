//! The real disk reads back what it was given, from the page cache and past it.
//!
//! Without it every promise proven on the simulated disk would rest on code that no test ran.

use std::io::ErrorKind;
use std::path::Path;

use forebay_engine::disk::{Disk, RealDisk};

/// Differs from byte to byte and from page to page.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

#[test]
fn what_is_written_is_read_back_at_any_offset() {
    let dir = tempfile::tempdir().unwrap();
    let file = RealDisk.create(&dir.path().join("f")).unwrap();
    let bytes = pattern(10_000);
    file.write_all_at(777, &bytes).unwrap();
    assert_eq!(file.size().unwrap(), 10_777);
    let mut read = vec![1; 20_000];
    assert_eq!(file.read_at(0, &mut read).unwrap(), 10_777);
    assert!(read[..777].iter().all(|byte| *byte == 0));
    assert_eq!(read[777..10_777], bytes);
    assert_eq!(file.read_at(10_777, &mut read).unwrap(), 0);
    file.set_size(800).unwrap();
    assert_eq!(file.read_at(770, &mut read).unwrap(), 30);
}

#[test]
fn a_durable_read_equals_a_cached_one_at_odd_sizes_and_offsets() {
    // The target directory lies on a disk; the system's temporary one may be memory. Both count.
    for base in [std::env::temp_dir(), Path::new(env!("CARGO_TARGET_TMPDIR")).to_path_buf()] {
        let dir = tempfile::tempdir_in(base).unwrap();
        for size in [0, 1, 511, 512, 4095, 4096, 4097, 12_288, 1 << 20, (3 << 20) + 17] {
            let file = RealDisk.create(&dir.path().join(size.to_string())).unwrap();
            let bytes = pattern(size);
            file.write_all_at(0, &bytes).unwrap();
            file.sync().unwrap();
            for offset in [0, 1, 511, 4095, 4096, 4097, size / 2, size.saturating_sub(1), size + 9]
            {
                for length in [0, 1, 4096, 4097, size, size + 5000] {
                    let (mut cached, mut durable) = (vec![7; length], vec![7; length]);
                    let count = file.read_at(offset as u64, &mut cached).unwrap();
                    assert_eq!(count, length.min(size.saturating_sub(offset)));
                    assert_eq!(file.read_durable_at(offset as u64, &mut durable).unwrap(), count);
                    assert!(cached == durable, "size {size}, offset {offset}, length {length}");
                }
            }
        }
    }
}

#[test]
fn a_durable_read_never_takes_another_file_for_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("f"), dir.path().join("g"));
    let file = RealDisk.create(&path).unwrap();
    file.write_all_at(0, b"ours").unwrap();
    RealDisk.rename(&path, &moved).unwrap();
    RealDisk.create(&path).unwrap().write_all_at(0, b"else").unwrap();
    assert_eq!(file.read_durable_at(0, &mut [0; 4]).unwrap_err().kind(), ErrorKind::NotFound);
}
