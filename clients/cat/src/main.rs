//! The binary: parses, runs one command, and turns the outcome into an exit code.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use liebre_cat::cli::{Cli, Command};
use liebre_cat::consume::consume;
use liebre_cat::exit::{Code, Failure};
use liebre_cat::get::get;
use liebre_cat::produce::produce;
use liebre_cat::status::tell;
use liebre_cat::stop::Signals;

fn main() -> ExitCode {
    let code = match Cli::try_parse() {
        Ok(cli) => run(cli.command).unwrap_or_else(|failure| {
            if !failure.message.is_empty() {
                tell(&failure.message);
            }
            failure.code
        }),
        Err(error) => refuse(&error),
    };
    ExitCode::from(code as u8)
}

fn run(command: Command) -> Result<Code, Failure> {
    let unforeseen = |error: io::Error| Failure::new(Code::Software, format!("cannot start: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(unforeseen)?;
    runtime.block_on(async {
        let signals = Signals::listen().map_err(unforeseen)?;
        match command {
            Command::Produce(args) => match args.parse(io::stdin().is_terminal()) {
                Ok(options) => produce(options, signals).await,
                Err(problem) => Ok(misused(problem)),
            },
            Command::Consume(args) => match args.parse() {
                Ok(options) => consume(options, signals).await,
                Err(problem) => Ok(misused(problem)),
            },
            Command::Get(args) => match args.parse() {
                Ok(options) => get(options, signals).await,
                Err(problem) => Ok(misused(problem)),
            },
        }
    })
}

/// Options that do not go together, told as clap tells it.
fn misused(problem: String) -> Code {
    refuse(&Cli::command().error(ErrorKind::ValueValidation, problem))
}

/// Help and the version are no errors.
fn refuse(error: &clap::Error) -> Code {
    // Nothing can be done when standard output or error is gone.
    let _ = error.print();
    if error.use_stderr() { Code::Usage } else { Code::Ok }
}
