//! Without this: the compactor might leave out what only the newest snapshot says. If that one turns
//! out to be damaged, the older one would lack it and not be used, and a restart would read all of
//! the log: for hours, and in vain if a segment is damaged that nobody had to read.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "common/client.rs"]
mod client;
mod common;

use client::Client;
use forebay_engine::ids::Position;

/// The position in a snapshot's name.
fn position(path: &std::path::Path) -> Position {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    Position(u64::from_str_radix(stem, 16).unwrap())
}

#[test]
fn an_opening_falls_back_to_it() {
    let mut client = Client::new();
    client.create("jobs");
    let mut compactions = 0;
    for round in 0..60_u8 {
        // Segments are sealed in the middle of this: behind the newest snapshot that there is.
        for _ in 0..4 {
            client.send_all("jobs", &vec![vec![round; 700]; 6]);
            client.consume("jobs", 6, |seq| !seq.is_multiple_of(17));
        }
        loop {
            client.store().commit().unwrap();
            let did = client.store().keep().unwrap();
            if client.stats().disk.compactions > compactions {
                compactions = client.stats().disk.compactions;
                check_older(&mut client, round);
            }
            if !did {
                break;
            }
        }
    }
    assert!(compactions > 10, "{compactions} compactions");
}

/// Opens a copy in which the newest snapshot is damaged.
fn check_older(client: &mut Client, round: u8) {
    let snapshots = client.files_of("snap");
    let [older, newest] = &snapshots[..] else { panic!("round {round}: {snapshots:?}") };
    let (mut copy, opening) = client
        .copied(|files| {
            let bytes = files.get_mut(newest).unwrap();
            bytes[70] ^= 1;
        })
        .unwrap();
    assert_eq!(opening.snapshot, position(older), "round {round}: {:?}", opening.warnings);
    assert_eq!(copy.show(), client.show(), "round {round}");
}
