//! What a repair does to a queue's messages: the log does not say all of it.

use roaring::RoaringTreemap;

use super::delays::Delays;
use super::held::Held;
use super::queue::Messages;
use super::returns::Returns;
use crate::ids::Seq;

impl Messages {
    /// Which messages are in the queue.
    pub(crate) fn live(&self) -> RoaringTreemap {
        let mut live = RoaringTreemap::new();
        live.insert_range(self.cursor.0..self.next.0);
        live -= &self.apart;
        live |= &self.due;
        live |= self.delays.seqs();
        for (seq, _) in self.held.range(..) {
            live.insert(seq.0);
        }
        live
    }

    /// Every message that was received and is not gone.
    pub(crate) fn all_held(&self) -> impl Iterator<Item = (Seq, &Held)> + '_ {
        self.held.range(..)
    }

    /// What consumers said of messages that they gave back.
    pub(crate) fn returns(&self) -> &Returns {
        &self.returns
    }

    /// When each message becomes visible whose delay has not passed.
    pub(crate) fn delays(&self) -> &Delays {
        &self.delays
    }

    /// Whether a message would be behind the newest one.
    pub(crate) fn is_new(&self, seq: Seq) -> bool {
        seq >= self.next
    }

    /// Messages before `next` were sent of which nothing else is known: they are in the queue.
    pub(crate) fn were_sent_before(&mut self, next: Seq) {
        self.next = self.next.max(next);
    }

    /// Messages are gone.
    pub(crate) fn take_out(&mut self, gone: &RoaringTreemap) {
        let gone: Vec<Seq> = gone.iter().map(Seq).collect();
        self.all_gone(&gone);
    }
}
