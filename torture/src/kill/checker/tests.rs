//! Histories made by hand, each with one thing wrong that a broken server could do, beside one in which
//! everything is right.

use super::*;
use crate::kill::history::{
    Call, Content, Delivery, History, Micros, Number, Outcome, SentMessage, What, queues,
};

/// Makes histories: times are in ms.
#[derive(Default)]
struct Made(History);

impl Made {
    fn call(mut self, (began, ended): (Micros, Micros), outcome: Outcome, what: What) -> Self {
        let (began, ended) = (began * 1000, ended * 1000);
        let (error, code) = (String::new(), String::new());
        self.0.calls.push(Call { life: 1, began, ended, outcome, error, code, what });
        self
    }

    fn send(self, at: (Micros, Micros), outcome: Outcome, messages: &[(Number, u64)]) -> Self {
        self.send_to(queues::PLAIN, at, outcome, messages)
    }

    fn send_to(
        self,
        queue: &'static str,
        at: (Micros, Micros),
        outcome: Outcome,
        messages: &[(Number, u64)],
    ) -> Self {
        self.call(at, outcome, What::Send { queue, messages: sent(messages) })
    }

    fn receive(self, at: (Micros, Micros), messages: &[(Number, u64)]) -> Self {
        self.receive_from(queues::PLAIN, at, 1, messages)
    }

    fn receive_from(
        self,
        queue: &'static str,
        at: (Micros, Micros),
        receive_count: u32,
        messages: &[(Number, u64)],
    ) -> Self {
        let one = |(number, seq): &(Number, u64)| Delivery {
            content: Content::Message(*number),
            seq: *seq,
            origin_seq: *seq,
            receive_count,
        };
        let deliveries = messages.iter().map(one).collect();
        self.call(at, Outcome::Ok, What::Receive { queue, visibility_ms: 500, deliveries })
    }

    fn ack(self, at: (Micros, Micros), outcome: Outcome, messages: &[Number]) -> Self {
        let (queue, messages) = (queues::PLAIN, messages.to_vec());
        self.call(at, outcome, What::Ack { queue, messages, invalid: Vec::new() })
    }

    fn transact(
        self,
        at: (Micros, Micros),
        outcome: Outcome,
        acked: &[Number],
        messages: &[(Number, u64)],
    ) -> Self {
        let (acked, messages) = (acked.to_vec(), sent(messages));
        let what = What::Transact { from: queues::PLAIN, acked, to: queues::DONE, messages };
        self.call(at, outcome, what)
    }

    fn in_life(mut self, life: u32) -> Self {
        self.0.calls.last_mut().expect("there is one").life = life;
        self
    }

    /// What the checker says when everything was drained.
    fn drained(mut self) -> Vec<&'static str> {
        self.0.drained = true;
        self.judged()
    }

    fn judged(self) -> Vec<&'static str> {
        check(&self.0).into_iter().map(|violation| violation.rule).collect()
    }
}

fn sent(messages: &[(Number, u64)]) -> Vec<SentMessage> {
    // Odd and even messages are two groups, where there are groups.
    let one = |(number, seq): &(Number, u64)| {
        let group = 1 + (*number % 2) as u32;
        SentMessage { number: *number, group, delay_ms: 0, seq: *seq }
    };
    messages.iter().map(one).collect()
}

use Outcome::{Failed, Ok as Done, Unknown};

#[test]
fn what_a_good_server_does_is_no_violation() {
    let made = Made::default()
        .send((0, 1), Done, &[(1, 1), (2, 2)])
        // One that is not there, one that is, one whose answer was lost.
        .send((2, 3), Failed, &[(3, 0)])
        .send((2, 3), Unknown, &[(4, 0), (5, 0)])
        .send((2, 3), Unknown, &[(6, 0)])
        .receive((4, 5), &[(1, 1), (2, 2), (4, 3), (5, 4)])
        .ack((6, 7), Done, &[1])
        .ack((6, 7), Unknown, &[4, 5])
        .transact((6, 7), Unknown, &[2], &[(7, 0), (8, 0)])
        .receive_from(queues::DONE, (8, 9), 1, &[(7, 1), (8, 2)])
        .ack((9, 9), Done, &[7, 8]);
    assert_eq!(made.drained(), [""; 0]);
}

#[test]
fn an_answered_message_that_is_gone_is_a_loss() {
    assert_eq!(Made::default().send((0, 1), Done, &[(1, 1)]).drained(), ["loss"]);
    // A lease that ended is no excuse, nor is a delete that was refused.
    let made = Made::default().send((0, 1), Done, &[(1, 1)]).receive((2, 3), &[(1, 1)]);
    assert_eq!(made.ack((4, 5), Failed, &[1]).drained(), ["loss"]);
    // Before everything is drained nothing is lost.
    assert_eq!(Made::default().send((0, 1), Done, &[(1, 1)]).judged(), [""; 0]);
}

#[test]
fn a_message_that_nobody_was_told_of_is_lost_too_once_it_came() {
    let made = Made::default().send((0, 1), Unknown, &[(1, 0)]).receive((2, 3), &[(1, 1)]);
    assert_eq!(made.drained(), ["loss"]);
}

#[test]
fn an_answered_message_that_an_inventory_lacks_is_a_loss() {
    let look = |made: Made, messages: &[(Number, u64)]| {
        let mut made = made.receive_from(queues::PLAIN, (900, 900), 1, messages).in_life(9);
        made.0.inventory = Some(9);
        made.judged()
    };
    let two = || Made::default().send((0, 1), Done, &[(1, 1), (2, 2)]);
    assert_eq!(look(two(), &[(1, 1), (2, 2)]), [""; 0]);
    assert_eq!(look(two(), &[(1, 1)]), ["loss"]);
    // Deleted, or perhaps: it may be gone, but only in the second case may it be there.
    let received = || two().receive((2, 3), &[(2, 2)]);
    assert_eq!(look(received().ack((4, 5), Done, &[2]), &[(1, 1)]), [""; 0]);
    assert_eq!(look(received().ack((4, 5), Unknown, &[2]), &[(1, 1)]), [""; 0]);
    assert_eq!(look(received().ack((4, 5), Unknown, &[2]), &[(1, 1), (2, 2)]), [""; 0]);
    assert_eq!(look(received().ack((4, 5), Done, &[2]), &[(1, 1), (2, 2)]), ["returned"]);
    // What is deleted later than the state that is looked at need not be in it yet.
    let later = Made::default().send((0, 1), Unknown, &[(1, 0)]);
    assert_eq!(look(later.transact((4, 5), Unknown, &[1], &[(2, 0)]), &[]), [""; 0]);
    // Half a batch.
    let unknown = Made::default().send((0, 1), Unknown, &[(1, 0), (2, 0)]);
    assert_eq!(look(unknown, &[(1, 1)]), ["loss"]);
}

#[test]
fn what_was_written_may_be_lost_to_a_power_cut_and_to_nothing_else() {
    let written = |power_was_cut| {
        let mut made = Made::default().send_to(queues::WRITTEN, (0, 1), Done, &[(1, 1)]);
        made =
            made.send((0, 1), Done, &[(2, 1)]).receive((2, 3), &[(2, 1)]).ack((4, 5), Done, &[2]);
        made.0.power_was_cut = power_was_cut;
        made.drained()
    };
    assert_eq!(written(false), ["loss"]);
    assert_eq!(written(true), [""; 0]);
    let mut other = Made::default().send((0, 1), Done, &[(1, 1)]);
    other.0.power_was_cut = true;
    assert_eq!(other.drained(), ["loss"]);
}

#[test]
fn what_was_purged_is_gone_and_what_was_sent_later_is_not() {
    let purged = |outcome, sent| {
        let made = Made::default().send_to(queues::LATE, sent, Done, &[(1, 1)]);
        made.call((10, 20), outcome, What::Purge { queue: queues::LATE })
    };
    let came = |made: Made| made.receive_from(queues::LATE, (40, 41), 1, &[(1, 1)]).judged();
    for outcome in [Done, Unknown] {
        assert_eq!(purged(outcome, (0, 1)).drained(), [""; 0], "it may be gone");
        assert_eq!(purged(outcome, (15, 25)).drained(), [""; 0], "it may be gone");
        assert_eq!(purged(outcome, (21, 25)).drained(), ["loss"]);
        assert_eq!(came(purged(outcome, (15, 25))), [""; 0], "it may be there");
    }
    assert_eq!(purged(Failed, (0, 1)).drained(), ["loss"]);
    assert_eq!(came(purged(Done, (0, 1))), ["returned"]);
    assert_eq!(came(purged(Unknown, (0, 1))), [""; 0]);
    // Another queue has nothing to do with it.
    let made = Made::default().send((0, 1), Done, &[(1, 1)]);
    assert_eq!(made.call((10, 20), Done, What::Purge { queue: queues::LATE }).drained(), ["loss"]);
}

#[test]
fn half_a_batch_is_a_loss() {
    let made = Made::default().send((0, 1), Unknown, &[(1, 0), (2, 0)]);
    let made = made.receive((2, 3), &[(1, 1)]).ack((4, 5), Done, &[1]);
    assert_eq!(made.drained(), ["loss"]);
}

#[test]
fn half_a_transaction_is_a_loss() {
    let begun = || Made::default().send((0, 1), Done, &[(1, 1)]).receive((2, 3), &[(1, 1)]);
    // Its delete was done, its messages not.
    assert_eq!(begun().transact((4, 5), Unknown, &[1], &[(2, 0)]).drained(), ["loss"]);
    // One of its messages is there, the other not.
    let made = begun().transact((4, 5), Unknown, &[1], &[(2, 0), (3, 0)]);
    let made = made.receive_from(queues::DONE, (6, 7), 1, &[(2, 1)]).ack((8, 9), Done, &[2]);
    assert_eq!(made.drained(), ["loss"]);
    // It was answered, and what it sent never came.
    assert_eq!(begun().transact((4, 5), Done, &[1], &[(2, 1)]).drained(), ["loss"]);
}

#[test]
fn a_message_that_comes_after_its_delete_has_returned() {
    let made = Made::default().send((0, 1), Done, &[(1, 1)]).receive((2, 3), &[(1, 1)]);
    let deleted = |made: Made| made.ack((4, 5), Done, &[1]);
    let again = deleted(made).receive_from(queues::PLAIN, (600, 601), 2, &[(1, 1)]).in_life(2);
    assert_eq!(again.drained(), ["returned"]);
    // A receive that was made before may bring it.
    let made = Made::default().send((0, 1), Done, &[(1, 1)]).receive((2, 3), &[(1, 1)]);
    let made = made.ack((4, 5), Done, &[1]).receive_from(queues::PLAIN, (4, 6), 2, &[(1, 1)]);
    assert_eq!(made.in_life(2).drained(), [""; 0]);
}

/// A message that was received as often as its queue delivers it, the last time until 1702.
fn received_thrice() -> Made {
    let made = Made::default().send_to(queues::RETRY, (0, 1), Done, &[(1, 1)]);
    let times = [(2, 3), (602, 603), (1202, 1203)];
    times
        .into_iter()
        .zip(1..)
        .fold(made, |made, (at, count)| made.receive_from(queues::RETRY, at, count, &[(1, 1)]))
}

#[test]
fn a_dead_letter_outlives_a_delete_that_came_too_late_but_not_one_in_time() {
    let deleted_at = |at| {
        let (queue, messages, invalid) = (queues::RETRY, vec![1], Vec::new());
        let made = received_thrice().call(at, Done, What::Ack { queue, messages, invalid });
        made.receive_from(queues::DEAD, (1900, 1901), 4, &[(1, 1)]).judged()
    };
    assert_eq!(deleted_at((1800, 1801)), [""; 0]);
    assert_eq!(deleted_at((1300, 1301)), ["returned"]);
}

#[test]
fn a_message_of_a_drained_round_has_returned() {
    let mut made = Made::default();
    let (content, seq) = (Content::Before { round: 0, number: 9 }, 9);
    let deliveries = vec![Delivery { content, seq, origin_seq: 9, receive_count: 1 }];
    let queue = queues::PLAIN;
    made = made.call((0, 1), Done, What::Receive { queue, visibility_ms: 1, deliveries });
    assert_eq!(made.drained(), ["returned"]);
}

#[test]
fn what_a_transaction_deleted_has_returned_if_it_comes_after_what_it_sent() {
    let made = Made::default()
        .send((0, 1), Done, &[(1, 1)])
        .receive((2, 3), &[(1, 1)])
        .transact((4, 5), Unknown, &[1], &[(2, 0)])
        .receive_from(queues::DONE, (6, 7), 1, &[(2, 1)])
        .receive_from(queues::PLAIN, (600, 601), 2, &[(1, 1)]);
    assert_eq!(made.judged(), ["returned"]);
}

#[test]
fn what_nobody_sent_is_a_phantom() {
    assert_eq!(Made::default().receive((2, 3), &[(1, 1)]).judged(), ["phantom"]);
    let refused = Made::default().send((0, 1), Failed, &[(1, 0)]);
    assert_eq!(refused.receive((2, 3), &[(1, 1)]).judged(), ["phantom"]);
    let elsewhere = Made::default().send((0, 1), Done, &[(1, 1)]);
    let elsewhere = elsewhere.receive_from(queues::LATE, (2, 3), 1, &[(1, 1)]);
    assert_eq!(elsewhere.judged(), ["phantom"]);
    let early = Made::default().send((5, 6), Done, &[(1, 1)]).receive((2, 3), &[(1, 1)]);
    assert_eq!(early.judged(), ["phantom"]);
    for content in [Content::Garbage("x".to_owned()), Content::Damaged] {
        let deliveries = vec![Delivery { content, seq: 1, origin_seq: 1, receive_count: 1 }];
        let what = What::Receive { queue: queues::PLAIN, visibility_ms: 1, deliveries };
        assert_eq!(Made::default().call((0, 1), Done, what).judged(), ["phantom"]);
    }
}

#[test]
fn a_message_with_two_seqs_is_doubled_and_so_are_two_with_one() {
    let repeated = Made::default().send_to(queues::ONCE, (0, 1), Unknown, &[(1, 0)]);
    let repeated = repeated.receive_from(queues::ONCE, (2, 3), 1, &[(1, 1)]);
    let repeated = repeated.send_to(queues::ONCE, (4, 5), Done, &[(1, 2)]);
    assert_eq!(repeated.judged(), ["doubled"]);
    let shared = Made::default().send((0, 1), Done, &[(1, 1)]).send((0, 1), Done, &[(2, 1)]);
    assert_eq!(shared.judged(), ["doubled"]);
}

#[test]
fn a_dead_letter_that_is_still_in_its_queue_is_doubled() {
    let made = received_thrice().receive_from(queues::DEAD, (1900, 1901), 4, &[(1, 1)]);
    let made = made.receive_from(queues::RETRY, (2500, 2501), 5, &[(1, 1)]);
    assert_eq!(made.judged(), ["doubled", "receives"]);
}

#[test]
fn a_message_that_is_delivered_more_often_than_its_queue_allows_is_told() {
    assert_eq!(received_thrice().judged(), [""; 0]);
    let again = received_thrice().receive_from(queues::RETRY, (1900, 1901), 4, &[(1, 1)]);
    assert_eq!(again.judged(), ["receives"]);
}

#[test]
fn a_dead_letter_that_was_delivered_too_seldom_is_told() {
    let sent = || Made::default().send_to(queues::RETRY, (0, 1), Done, &[(1, 1)]);
    let twice = |made: Made| {
        let made = made.receive_from(queues::RETRY, (2, 3), 1, &[(1, 1)]);
        made.receive_from(queues::RETRY, (602, 603), 2, &[(1, 1)])
    };
    let moved = |made: Made, count| {
        made.receive_from(queues::DEAD, (1900, 1901), count, &[(1, 1)]).judged()
    };
    // It says so itself; or it says what cannot be.
    assert_eq!(moved(twice(sent()), 3), ["receives"]);
    assert_eq!(moved(twice(sent()), 4), ["receives"]);
    // A receive whose answer was lost may have been the third.
    let queue = queues::RETRY;
    let lost = What::Receive { queue, visibility_ms: 500, deliveries: Vec::new() };
    assert_eq!(moved(twice(sent()).call((1202, 1203), Unknown, lost), 4), [""; 0]);
}

#[test]
fn a_count_that_jumps_is_told() {
    let made = Made::default().send((0, 1), Done, &[(1, 1)]).receive((2, 3), &[(1, 1)]);
    let made = made.receive_from(queues::PLAIN, (600, 601), 3, &[(1, 1)]).in_life(2);
    assert_eq!(made.judged(), ["receives"]);
    let first = Made::default().send((0, 1), Done, &[(1, 1)]);
    let mut first = first.receive_from(queues::PLAIN, (2, 3), 2, &[(1, 1)]);
    assert_eq!(check(&first.0).len(), 1);
    // What the disk did not give the first time was received all the same.
    first.0.reads_failed = true;
    assert_eq!(first.judged(), [""; 0]);
}

#[test]
fn a_count_that_begins_anew_is_told_unless_a_crash_took_the_lease() {
    let received = || Made::default().send((0, 1), Done, &[(1, 1)]).receive((2, 3), &[(1, 1)]);
    let again = |made: Made| made.receive((600, 601), &[(1, 1)]).in_life(2);
    assert_eq!(again(received()).judged(), [""; 0]);
    // What was answered after it was behind it in the log.
    assert_eq!(again(received().send((4, 5), Done, &[(2, 2)])).judged(), ["receives"]);
    assert_eq!(again(received().send((4, 5), Unknown, &[(2, 0)])).judged(), [""; 0]);
    assert_eq!(again(received().send((3, 5), Done, &[(2, 2)])).judged(), [""; 0]);
    // And a server that is stopped in order writes what it has.
    let mut stopped = again(received());
    stopped.0.stopped.insert(1);
    assert_eq!(stopped.judged(), ["receives"]);
}

#[test]
fn a_message_that_two_have_at_once_breaks_a_lease() {
    let twice = |second: (Micros, Micros)| {
        let made = Made::default().send((0, 1), Done, &[(1, 1)]).receive((2, 3), &[(1, 1)]);
        made.receive_from(queues::PLAIN, second, 2, &[(1, 1)])
    };
    assert_eq!(twice((100, 101)).judged(), ["lease"]);
    // Its lease may have ended.
    assert_eq!(twice((499, 502)).judged(), [""; 0]);
    // It was given back; or the server was started again.
    let release = What::Release { queue: queues::PLAIN, messages: vec![1] };
    assert_eq!(twice((100, 101)).call((50, 51), Done, release).judged(), [""; 0]);
    assert_eq!(twice((100, 101)).in_life(2).judged(), [""; 0]);
    // In order, which ends no lease; in the second case there was a kill in between.
    let restarted = |life, stopped: &[u32]| {
        let mut made = twice((100, 101)).in_life(life);
        made.0.stopped.extend(stopped);
        made.judged()
    };
    assert_eq!(restarted(2, &[1]), ["lease"]);
    assert_eq!(restarted(3, &[1]), [""; 0]);
}

#[test]
fn a_delivery_that_counts_no_more_than_the_one_before_is_told() {
    let made = Made::default().send((0, 1), Done, &[(1, 1)]).receive((2, 3), &[(1, 1)]);
    assert_eq!(made.receive((600, 601), &[(1, 1)]).judged(), ["receives"]);
}

#[test]
fn a_message_before_its_delay_has_passed_is_early() {
    let message = SentMessage { number: 1, group: 0, delay_ms: 100, seq: 1 };
    let at = |ended| {
        let what = What::Send { queue: queues::LATE, messages: vec![message] };
        let made = Made::default().call((0, 1), Done, what);
        made.receive_from(queues::LATE, (50, ended), 1, &[(1, 1)]).judged()
    };
    assert_eq!(at(90), ["timing"]);
    assert_eq!(at(101), [""; 0]);
}

#[test]
fn seqs_that_do_not_follow_the_order_of_sends_are_told() {
    let made = Made::default().send((0, 1), Done, &[(1, 2)]).send((2, 3), Done, &[(2, 1)]);
    assert_eq!(made.judged(), ["order"]);
    let at_once = Made::default().send((0, 2), Done, &[(1, 2)]).send((1, 3), Done, &[(2, 1)]);
    assert_eq!(at_once.judged(), [""; 0]);
}

#[test]
fn a_fifo_message_that_overtakes_its_group_is_told() {
    let orders = queues::ORDERS;
    let two = || Made::default().send_to(orders, (0, 1), Done, &[(1, 1), (3, 2), (2, 3)]);
    let ack = |made: Made, at, outcome| {
        let (messages, invalid) = (vec![1], Vec::new());
        made.call(at, outcome, What::Ack { queue: orders, messages, invalid })
    };
    assert_eq!(two().receive_from(orders, (2, 3), 1, &[(3, 2)]).judged(), ["order"]);
    // Behind the first in one answer, it may come; ahead of it, not.
    assert_eq!(two().receive_from(orders, (2, 3), 1, &[(1, 1), (3, 2)]).judged(), [""; 0]);
    assert_eq!(two().receive_from(orders, (2, 3), 1, &[(3, 2), (1, 1)]).judged(), ["order"]);
    // The other group has nothing to do with it.
    assert_eq!(two().receive_from(orders, (2, 3), 1, &[(2, 3)]).judged(), [""; 0]);
    // The first was deleted, or may have been.
    for outcome in [Done, Unknown] {
        let made = two().receive_from(orders, (2, 3), 1, &[(1, 1)]);
        let made = ack(made, (4, 5), outcome).receive_from(orders, (6, 7), 1, &[(3, 2)]);
        assert_eq!(made.judged(), [""; 0]);
    }
    let made = two().receive_from(orders, (2, 3), 1, &[(1, 1)]);
    let made = ack(made, (4, 5), Failed).receive_from(orders, (6, 7), 1, &[(3, 2)]);
    assert_eq!(made.judged(), ["order"]);
}

#[test]
fn a_drained_queue_that_counts_something_is_told() {
    let what = What::Count { queue: queues::PLAIN, messages: [0, 0, 0, 1] };
    assert_eq!(Made::default().call((0, 1), Done, what).drained(), ["count"]);
}

#[test]
fn a_receipt_that_the_server_disowns_is_told() {
    let what = What::Ack { queue: queues::PLAIN, messages: Vec::new(), invalid: vec![1] };
    assert_eq!(Made::default().call((0, 1), Done, what).judged(), ["receipt"]);
}

#[test]
fn a_refusal_that_only_a_broken_server_says_is_told() {
    let mut made = Made::default().send((0, 1), Failed, &[(1, 0)]);
    made.0.calls[0].code = "Internal".to_owned();
    assert_eq!(made.judged(), ["refusal"]);
}
