//! The server binary: `liebre`.

mod cli;

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal, Write},
    process::ExitCode,
    sync::Mutex,
};

use liebre::{
    config::{
        Configuration,
        log::{LogPlace, LogSettings},
        page,
    },
    http,
    server::{Server, Settings},
};
use tracing_subscriber::{Layer, Registry, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt};

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let checks_config = arguments.checks_config;
    let configuration = match Configuration::read(arguments.config, arguments.options) {
        Ok(configuration) => configuration,
        Err(error) => return complain(&error.to_string()),
    };
    if checks_config {
        let shown = io::stdout().write_all(page::in_force(&configuration).as_bytes());
        return if shown.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if let Err(error) = start_log(&configuration.log) {
        return complain(&error);
    }
    for file in &configuration.files {
        tracing::info!("configuration read from {}", file.display());
    }
    for note in &configuration.notes {
        tracing::warn!("{note}");
    }
    match run(configuration.settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: Settings) -> Result<(), String> {
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

/// Before there is a log.
fn complain(error: &str) -> ExitCode {
    // Where nobody reads standard error, nobody is to be told.
    let _ = writeln!(io::stderr(), "liebre: {error}");
    ExitCode::FAILURE
}

fn start_log(settings: &LogSettings) -> Result<(), String> {
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
    if let Some(place) = settings.console {
        layers.push(layer(place, io::stderr, io::stderr().is_terminal()));
    }
    if let Some((path, place)) = &settings.file {
        let file: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|error| format!("cannot write the log to {}: {error}", path.display()))?;
        layers.push(layer(*place, Mutex::new(file), false));
    }
    tracing_subscriber::registry().with(layers).init();
    Ok(())
}

fn layer<W>(place: LogPlace, writer: W, has_colours: bool) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(has_colours)
        .with_target(false)
        // A log that nobody reads any more (`liebre 2>&1 | head`) is no reason to stop.
        .log_internal_errors(false);
    match place.is_json {
        true => layer.json().flatten_event(true).with_filter(place.level).boxed(),
        false => layer.with_filter(place.level).boxed(),
    }
}
