//! All that are compared: Forebay and its peers, at both durabilities.

use std::path::Path;
use std::time::Duration;

use crate::found::Figures;
use crate::load::{self, Workload};
use crate::peer::Peer;
use crate::{Error, forebay, server};

/// A queue at a durability.
#[derive(Debug, Clone, Copy)]
pub struct Queue {
    kind: Kind,
    /// An answer follows the sync that covers it.
    pub is_synced: bool,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Forebay { durability: &'static str },
    Peer(Peer),
}

impl Queue {
    pub fn all() -> Vec<Queue> {
        let of = |is_synced, durability, peers: [Peer; 5]| {
            let peers = peers.into_iter().map(Kind::Peer);
            let kinds = std::iter::once(Kind::Forebay { durability }).chain(peers);
            kinds.map(move |kind| Queue { kind, is_synced })
        };
        of(true, "sync", Peer::SYNCED).chain(of(false, "written", Peer::BEFORE)).collect()
    }

    pub fn name(&self) -> String {
        match self.kind {
            Kind::Forebay { durability } => format!("Forebay, {durability}"),
            Kind::Peer(peer) => peer.name(),
        }
    }

    /// Why it cannot be measured on this machine, if it cannot.
    pub fn lacks(&self) -> Option<String> {
        match self.kind {
            Kind::Forebay { .. } => None,
            Kind::Peer(peer) => peer.lacks(),
        }
    }

    /// Runs a workload once, on an empty directory and a server of its own.
    pub async fn measure(
        &self,
        workload: &Workload,
        seconds: f64,
        program: &Path,
        data_dir: &Path,
    ) -> Result<Figures, Error> {
        server::settle(data_dir)?;
        let peer = match self.kind {
            Kind::Forebay { durability } => {
                return forebay::measure(program, workload, durability, seconds, data_dir);
            }
            Kind::Peer(peer) => peer,
        };
        let server = peer.start(data_dir).await?;
        server::settle(data_dir)?;
        load::run(&server, workload, Duration::from_secs_f64(seconds)).await
    }
}
