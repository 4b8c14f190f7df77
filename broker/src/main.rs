//! The server binary: `liebre`.

mod cli;
mod config;

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use liebre::{http, server::Server};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let filter = EnvFilter::try_from_env("LIEBRE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter)
        .with_target(false)
        // A log that nobody reads any more (`liebre 2>&1 | head`) is no reason to stop.
        .log_internal_errors(false)
        .init();
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
