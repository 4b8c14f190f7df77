//! The program that runs campaigns; `tests/CAMPAIGNS.md` says what each of them proves.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a report is what this program is for")]

use std::process::ExitCode;

use clap::Parser;
use liebre_tests::campaign::command::Arguments;

fn main() -> ExitCode {
    match Arguments::parse().run() {
        Ok(outcome) => {
            println!("{outcome}");
            if outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(trouble) => {
            eprintln!("campaign: {trouble}");
            ExitCode::from(2)
        }
    }
}
