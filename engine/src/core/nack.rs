//! Decisions about messages that their consumers give back: nack.

use super::room::{check_batch, nack_bytes};
use super::{Core, Decided, Decision};
use crate::attributes::check_range;
use crate::command::{Reply, ReplyTo};
use crate::receipt::SealedReceipt;
use crate::record::REASON_BYTES_MAX;
use crate::time::LogTime;

impl<R: ReplyTo> Core<R> {
    pub(super) fn nack(
        &mut self,
        name: &str,
        receipts: &[SealedReceipt],
        delay_ms: u64,
        is_counted: bool,
        reason: &str,
        now: LogTime,
    ) -> Decision {
        let queue = self.queue(name)?.id;
        check_batch("receipt", receipts.len())?;
        check_range("reason bytes", reason.len() as u64, 0, REASON_BYTES_MAX as u64)?;
        self.check_changes(nack_bytes(receipts.len(), reason))?;
        self.expire(queue, now);
        let (mut counted, mut uncounted, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        for (index, receipt) in (0..).zip(receipts) {
            match self.plan_change(queue, receipt, delay_ms, now) {
                Ok(change) => {
                    self.lease_again(queue, &change, now);
                    match is_counted || !change.is_in_count {
                        true => counted.push(change.seq),
                        false => uncounted.push(change.seq),
                    }
                }
                Err(error) => failures.push((index, error)),
            }
        }
        let until = now.plus_ms(delay_ms);
        for (is_counted, messages) in [(true, counted), (false, uncounted)] {
            if !messages.is_empty() {
                self.spend_attempts(queue, messages.iter().copied());
                self.record(|out| out.returned(queue, until, is_counted, reason, &messages));
            }
        }
        self.serve(queue, now);
        Ok(Decided::WhenDurable(Reply::Changed { failures }))
    }
}
