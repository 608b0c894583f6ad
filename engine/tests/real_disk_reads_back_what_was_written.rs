//! The real disk reads back what it was given, from the page cache and past it.
//!
//! Without it every promise proven on the simulated disk would rest on code that no test ran.

use std::io::ErrorKind;
use std::path::Path;

use forebay_engine::disk::{Access, Disk, RealDisk};

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

#[test]
fn what_is_written_past_the_cache_is_what_is_read_also_under_another_name() {
    for base in [std::env::temp_dir(), Path::new(env!("CARGO_TARGET_TMPDIR")).to_path_buf()] {
        let dir = tempfile::tempdir_in(base).unwrap();
        let (path, renamed) = (dir.path().join("f"), dir.path().join("g"));
        let file = RealDisk.create(&path).unwrap();
        let capacity = 8 << 20;
        file.reserve(capacity).unwrap();
        RealDisk.rename(&path, &renamed).unwrap();
        let mut expected = vec![0; capacity as usize];
        let mut offset = 4096;
        // Neighbours share pages; some writes are smaller than one.
        for length in [10, 5000, 8192, 1 << 20, 3, 4096, (2 << 20) + 77, 300_000, 4095, 1] {
            let bytes = pattern(length);
            file.write_past_cache_at(offset as u64, &bytes).unwrap();
            expected[offset..offset + length].copy_from_slice(&bytes);
            let mut read = vec![1; capacity as usize];
            assert_eq!(file.read_at(0, &mut read).unwrap(), read.len());
            assert!(read == expected, "after {length} bytes at {offset}");
            offset += length;
        }
        file.sync().unwrap();
        let other = RealDisk.open(&renamed, Access::Read).unwrap();
        let mut durable = vec![1; capacity as usize];
        assert_eq!(other.read_durable_at(0, &mut durable).unwrap(), durable.len());
        assert!(durable == expected);
        // Once it is cut it is written as any other file.
        file.set_size(100).unwrap();
        file.write_past_cache_at(0, &pattern(200_000)).unwrap();
        assert_eq!(file.size().unwrap(), 200_000);
    }
}

#[test]
fn what_is_reserved_reads_as_zeros_and_zeros_are_written_over_anything() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = RealDisk.create(&dir.path().join("f")).unwrap();
    let bytes = (1 << 20) + 100;
    file.reserve(bytes).unwrap();
    assert_eq!(file.size().unwrap(), bytes);
    let mut read = vec![1; bytes as usize];
    file.read_at(0, &mut read).unwrap();
    assert!(read.iter().all(|byte| *byte == 0));
    for (offset, length) in [(0, bytes), (4096, 8192), (100, 5000), (bytes - 100, 100)] {
        let all = pattern(bytes as usize);
        file.write_all_at(0, &all).unwrap();
        file.write_zeros(offset, length).unwrap();
        file.read_at(0, &mut read).unwrap();
        let mut expected = all;
        expected[offset as usize..(offset + length) as usize].fill(0);
        assert!(read == expected, "{length} zeros at {offset}");
    }
}
