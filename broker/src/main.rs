//! The server binary: `liebre`.

mod cli;
mod config;

use std::{process::ExitCode, sync::Arc};

use clap::Parser;
use liebre::{
    http,
    server::{Base, Server, Settings, StartError, journal::Journal},
};

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let wanted = std::env::var("LIEBRE_LOG").unwrap_or_else(|_| "info".to_owned());
    let level = wanted.parse();
    let journal = Journal::start(level.as_ref().copied().unwrap_or_default());
    if level.is_err() {
        tracing::warn!(
            "LIEBRE_LOG is '{wanted}': off, error, warn, info, debug or trace it may be; taking info"
        );
    }
    match run(arguments, journal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: cli::Arguments, journal: Arc<Journal>) -> Result<(), String> {
    let settings = config::settings(arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    runtime.block_on(serve(settings, journal)).map_err(|error| error.to_string())
}

/// Until the process is to end. In between an operator may stop the broker and start it again.
async fn serve(settings: Settings, journal: Arc<Journal>) -> Result<(), StartError> {
    let mut base = Base::open(settings, journal)?;
    loop {
        let (mut server, doors) = Server::start(base).await?;
        http::start(&mut server, doors);
        let Some(stopped) = server.run().await else { return Ok(()) };
        let Some(again) = http::wait_for_start(stopped).await? else { return Ok(()) };
        base = again;
    }
}
