//! Without these: what `forebay torture sim` found once could come back, and be found again only when
//! the same rare run is drawn.
//!
//! Each is a script of the fewest operations that showed it.

use forebay_torture::sim::Script;

fn replay(script: &str) {
    script.parse::<Script>().expect("it was written by the simulator").run();
}

/// The first of two messages of a group could not be read, and the second one was moved past it.
#[test]
fn a_redrive_keeps_the_order_of_a_group() {
    replay(include_str!("found/a_redrive_keeps_the_order_of_a_group.script"));
}

/// A message that somebody sent to a dead-letter queue held its group's dead letters back.
#[test]
fn a_redrive_passes_what_came_from_nowhere() {
    replay(include_str!("found/a_redrive_passes_what_came_from_nowhere.script"));
}

/// A message of one group could not be read and stayed, one of another group moved, and the power
/// failed: the model knew only moves in their order.
#[test]
fn a_message_that_cannot_be_read_lets_other_groups_move() {
    replay(include_str!("found/a_message_that_cannot_be_read_lets_other_groups_move.script"));
}

/// A receive and a nack that took it off the count were lost in a kill. The model took the state behind both for that
/// before them, which shows the same, and expected the receipt before to be stale.
#[test]
fn a_lease_that_was_lost_is_not_taken_for_one_that_was_taken_back() {
    replay(include_str!(
        "found/a_lease_that_was_lost_is_not_taken_for_one_that_was_taken_back.script"
    ));
}

/// A dead letter could not be read when it was found, and came behind one of another group that was found later: the
/// model knew only the order in which they are found where no disk fails.
#[test]
fn a_dead_letter_that_is_read_late_comes_behind_those_of_other_groups() {
    replay(include_str!(
        "found/a_dead_letter_that_is_read_late_comes_behind_those_of_other_groups.script"
    ));
}
