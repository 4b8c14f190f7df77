//! The admin tools on a real broker: what they print, how they exit, and what has happened then.
//!
//! The texts are those of RabbitMQ's tools for the same objects. Words in capitals and `rabbit@host` stand for what
//! differs from run to run; errors follow `! `, and the exit code is told unless it is 0.

use expect_test::Expect;
use liebre_tests::admin::Admin;

mod access;
mod connections;
mod course;
mod lifecycle;
mod node;
mod policies;
mod queues;
mod usage;

/// Runs the command lines, one after the other.
fn check(admin: &Admin, lines: &[&str], expected: Expect) {
    expected.assert_eq(&admin.transcript(lines));
}
