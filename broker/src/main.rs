//! The server binary: `liebre`.

mod cli;

use std::{
    fs::{self, OpenOptions},
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use liebre::{
    config::{Configuration, log::LogSettings, page},
    http,
    server::{
        Base, Loaded, Process, Server, Settings, StartError,
        http::runtime as http_runtime,
        journal::{Journal, Place},
    },
};

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    let checks_config = arguments.checks_config;
    let configuration = match Configuration::read(arguments.config, arguments.options) {
        Ok(configuration) => configuration,
        Err(mistakes) => {
            let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            return complain(&mistakes.join("\nliebre: "));
        }
    };
    if checks_config {
        return check(configuration).unwrap_or_else(|mistakes| complain(&mistakes.join("\nliebre: ")));
    }
    let journal = match places(&configuration.log) {
        Ok(places) => Journal::start(places),
        Err(error) => return complain(&error),
    };
    for file in &configuration.files {
        tracing::info!("configuration read from {}", file.display());
    }
    for note in &configuration.notes {
        tracing::warn!("{note}");
    }
    match run(configuration.settings, journal, configuration.files) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Says what would be in force, if the definitions can be imported, too.
fn check(mut configuration: Configuration) -> Result<ExitCode, Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| vec![format!("cannot start the runtime: {error}")])?;
    let notes = runtime.block_on(http::definitions::rehearse(&configuration.settings))?;
    configuration.notes.extend(notes);
    let shown = io::stdout().write_all(page::in_force(&configuration).as_bytes());
    Ok(if shown.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(settings: Settings, journal: Arc<Journal>, config_files: Vec<PathBuf>) -> Result<(), String> {
    let refused = |error| format!("cannot start the runtime: {error}");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(refused)?;
    let http = http_runtime().map_err(refused)?;
    let process = Process { journal, http: http.handle().clone(), config_files };
    let ended = runtime.block_on(serve(settings, process));
    // Whoever still waits for an answer does not keep the process.
    http.shutdown_background();
    ended.map_err(|error| error.to_string())
}

/// Until the process is to end. In between an operator may stop the broker and start it again.
async fn serve(settings: Settings, process: Process) -> Result<(), StartError> {
    let mut base = Base::open(settings, process)?;
    loop {
        let loaded = Loaded::load(base)?;
        http::definitions::import_at_start(&loaded).await?;
        let (mut server, doors) = Server::start(loaded).await?;
        http::start(&mut server, doors);
        let Some(stopped) = server.run().await else { return Ok(()) };
        let Some(again) = http::wait_for_start(stopped).await? else { return Ok(()) };
        base = again;
    }
}

/// Before there is a log.
fn complain(error: &str) -> ExitCode {
    // Where nobody reads standard error, nobody is to be told.
    let _ = writeln!(io::stderr(), "liebre: {error}");
    ExitCode::FAILURE
}

/// Where the log goes.
fn places(settings: &LogSettings) -> Result<Vec<Place>, String> {
    let mut places = Vec::new();
    if let Some(place) = settings.console {
        let has_colours = io::stderr().is_terminal();
        let writer = Box::new(io::stderr());
        let name = "<stderr>".to_owned();
        places.push(Place { name, level: place.level, is_json: place.is_json, has_colours, writer });
    }
    if let Some((path, place)) = &settings.file {
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        let opened = made.and_then(|()| OpenOptions::new().create(true).append(true).open(path));
        let file = opened.map_err(|error| format!("cannot write the log to {}: {error}", path.display()))?;
        let writer = Box::new(file);
        let name = path.display().to_string();
        let (level, is_json) = (place.level, place.is_json);
        places.push(Place { name, level, is_json, has_colours: false, writer });
    }
    Ok(places)
}
