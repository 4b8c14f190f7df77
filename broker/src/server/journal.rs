//! The log: what is written to standard error, or to a file, is kept for a while, too, for whoever asks for it over the management API;
//! and how much is logged can be changed while the broker runs.

use std::{
    collections::VecDeque,
    error, fmt,
    io::{self, Write},
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tracing::Subscriber;
use tracing_subscriber::{
    Layer, Registry, filter::LevelFilter, fmt::MakeWriter, layer::SubscriberExt, registry::LookupSpan,
    reload, util::SubscriberInitExt,
};

use crate::limits::{LOG_LINE_MAX, LOG_LINES_MAX};

/// The newest lines of the log, and its level.
#[derive(Debug, Default)]
pub struct Journal {
    lines: Mutex<Lines>,
    /// Where the log goes besides.
    places: Vec<String>,
    /// None in tests that start no log.
    level: OnceLock<reload::Handle<LevelFilter, Registry>>,
}

/// Where the log goes besides.
#[expect(missing_debug_implementations, reason = "a stream has nothing to show")]
pub struct Place {
    /// `<stderr>`, or the file's path.
    pub name: String,
    /// Nothing below this.
    pub level: LevelFilter,
    /// A JSON object a line.
    pub is_json: bool,
    /// For a terminal.
    pub has_colours: bool,
    /// Standard error, or a file.
    pub writer: Box<dyn Write + Send>,
}

/// How much is logged. Parsed from the names that RabbitMQ gives its levels, or Liebre its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(pub LevelFilter);

/// Not a level. Displayed with what is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelError(String);

/// Some lines, and where the next ones begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// Oldest first.
    pub lines: Vec<String>,
    /// The number of the line that comes next.
    pub next: u64,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<String>,
    /// How many were forgotten: the number of the first that is kept.
    forgotten: u64,
}

impl Journal {
    /// Starts the log of this process: from now on `tracing` writes to the journal and these places.
    pub fn start(places: Vec<Place>) -> Arc<Self> {
        let level = places.iter().map(|place| place.level).max().unwrap_or(LevelFilter::INFO);
        let (filter, handle) = reload::Layer::new(level);
        let names = places.iter().map(|place| place.name.clone()).collect();
        let journal =
            Arc::new(Self { lines: Mutex::default(), places: names, level: OnceLock::from(handle) });
        let kept = fmt_layer(Keeper(Arc::clone(&journal)), false, false);
        let others = places.into_iter().map(|place| place.layer(level));
        let layers: Vec<Box<dyn Layer<_> + Send + Sync>> = std::iter::once(kept).chain(others).collect();
        tracing_subscriber::registry().with(filter).with(layers).init();
        journal
    }

    /// Where the log is written to: paths, or `<stderr>`.
    #[must_use]
    pub fn places(&self) -> &[String] {
        &self.places
    }

    /// Logs as much as that from now on.
    pub fn set_level(&self, Level(level): Level) {
        if let Some(handle) = self.level.get() {
            // Fails only when the log is gone, and then nothing is logged anyway.
            let _ = handle.reload(level);
        }
    }

    /// The newest lines.
    #[must_use]
    pub fn newest(&self, count: usize) -> Excerpt {
        let lines = self.lock();
        let skipped = lines.kept.len().saturating_sub(count);
        lines.excerpt(skipped)
    }

    /// The lines from this number on, as far as they are kept.
    #[must_use]
    pub fn since(&self, number: u64) -> Excerpt {
        let lines = self.lock();
        let skipped = usize::try_from(number.saturating_sub(lines.forgotten)).unwrap_or(usize::MAX);
        lines.excerpt(skipped.min(lines.kept.len()))
    }

    fn keep(&self, text: &str) {
        let mut lines = self.lock();
        for line in text.lines() {
            if lines.kept.len() == LOG_LINES_MAX {
                lines.kept.pop_front();
                lines.forgotten += 1;
            }
            lines.kept.push_back(plain(line));
        }
    }

    /// Held while lines are added or copied.
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn excerpt(&self, skipped: usize) -> Excerpt {
        Excerpt {
            lines: self.kept.iter().skip(skipped).cloned().collect(),
            next: self.forgotten + self.kept.len() as u64,
        }
    }
}

/// Of the broker's own names for levels, `LIEBRE_LOG` takes all.
impl FromStr for Level {
    type Err = LevelError;

    fn from_str(text: &str) -> Result<Self, LevelError> {
        Ok(Self(match text {
            "none" | "off" => LevelFilter::OFF,
            // What RabbitMQ has above errors is an error here.
            "error" | "critical" | "alert" | "emergency" => LevelFilter::ERROR,
            "warning" | "warn" => LevelFilter::WARN,
            "info" | "notice" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            "trace" => LevelFilter::TRACE,
            _ => return Err(LevelError(text.to_owned())),
        }))
    }
}

impl Default for Level {
    fn default() -> Self {
        Self(LevelFilter::INFO)
    }
}

impl fmt::Display for LevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "level {} is not supported. Try one of debug, info, warning, error, critical, none", self.0)
    }
}

impl error::Error for LevelError {}

impl Place {
    /// Only a place that wants less than `level` filters by itself: the others follow when the level is changed.
    fn layer<S>(self, level: LevelFilter) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let layer = fmt_layer(Mutex::new(self.writer), self.is_json, self.has_colours);
        if self.level < level { layer.with_filter(self.level).boxed() } else { layer }
    }
}

fn fmt_layer<S, W>(writer: W, is_json: bool, has_colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(has_colours)
        .with_target(false)
        // A log that nobody reads any more (`liebre 2>&1 | head`) is no reason to stop.
        .log_internal_errors(false);
    if is_json { layer.json().flatten_event(true).boxed() } else { layer.boxed() }
}

/// Writes to the journal.
struct Keeper(Arc<Journal>);

impl<'a> MakeWriter<'a> for Keeper {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Keeper {
    /// An event comes in one piece.
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.keep(&String::from_utf8_lossy(text));
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line without the colours that a terminal gets, and not longer than [`LOG_LINE_MAX`].
fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len().min(LOG_LINE_MAX));
    let mut parts = line.split("\x1b[");
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, text)| text));
    }
    let mut end = plain.len().min(LOG_LINE_MAX);
    while !plain.is_char_boundary(end) {
        end -= 1;
    }
    plain.truncate(end);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(excerpt: &Excerpt) -> Vec<&str> {
        excerpt.lines.iter().map(String::as_str).collect()
    }

    #[test]
    fn the_newest_lines_are_kept_without_colours() {
        let journal = Journal::default();
        journal.keep("\x1b[2m2026\x1b[0m \x1b[32m INFO\x1b[0m one\n");
        journal.keep("two\nthree\n");
        assert_eq!(texts(&journal.newest(5)), ["2026  INFO one", "two", "three"]);
        assert_eq!(texts(&journal.newest(1)), ["three"]);
        assert_eq!(texts(&journal.newest(0)), [""; 0]);
    }

    #[test]
    fn who_follows_misses_only_what_is_forgotten() {
        let journal = Journal::default();
        let start = journal.newest(0).next;
        journal.keep("a\nb");
        let first = journal.since(start);
        assert_eq!((texts(&first), first.next), (vec!["a", "b"], 2));
        assert_eq!(texts(&journal.since(first.next)), [""; 0]);
        (0..LOG_LINES_MAX).for_each(|number| journal.keep(&number.to_string()));
        let later = journal.since(first.next);
        assert_eq!((later.lines.len(), later.lines[0].as_str()), (LOG_LINES_MAX, "0"));
        // Of another run of the broker.
        assert_eq!(texts(&journal.since(u64::MAX)), [""; 0]);
    }

    #[test]
    fn long_lines_are_cut_between_letters() {
        let line = plain(&"ñ".repeat(LOG_LINE_MAX));
        assert!(line.len() <= LOG_LINE_MAX && line.len() > LOG_LINE_MAX - 2);
    }

    #[test]
    fn levels_have_both_families_names() {
        for (name, level) in
            [("none", LevelFilter::OFF), ("warning", LevelFilter::WARN), ("warn", LevelFilter::WARN)]
        {
            assert_eq!(name.parse(), Ok(Level(level)));
        }
        let error = "loud".parse::<Level>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "level loud is not supported. Try one of debug, info, warning, error, critical, none"
        );
    }
}
