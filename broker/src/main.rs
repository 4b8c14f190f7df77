//! The server binary: `liebre`.

mod cli;
mod config;

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use liebre::{http, server::Server};
use tracing_subscriber::filter::LevelFilter;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let wanted = std::env::var("LIEBRE_LOG").unwrap_or_else(|_| "info".to_owned());
    let level = wanted.parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_max_level(level.as_ref().copied().unwrap_or(LevelFilter::INFO))
        .with_target(false)
        // A log that nobody reads any more (`liebre 2>&1 | head`) is no reason to stop.
        .log_internal_errors(false)
        .init();
    if level.is_err() {
        tracing::warn!(
            "LIEBRE_LOG is '{wanted}': off, error, warn, info, debug or trace it may be; taking info"
        );
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: cli::Arguments) -> Result<(), String> {
    let settings = config::settings(arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    runtime.block_on(async {
        let (mut server, doors) = Server::start(settings).await.map_err(|error| error.to_string())?;
        http::start(&mut server, doors);
        server.run().await;
        Ok(())
    })
}
