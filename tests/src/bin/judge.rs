//! The program that compares Liebre with RabbitMQ; `tests/JUDGE.md` says how.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a report is what this program is for")]

use std::process::ExitCode;

use clap::Parser;
use liebre_tests::judge::command::Arguments;

fn main() -> ExitCode {
    match Arguments::parse().run() {
        Ok(outcome) => {
            println!("{}", outcome.text);
            if outcome.is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(trouble) => {
            eprintln!("judge: {trouble}");
            ExitCode::from(2)
        }
    }
}
