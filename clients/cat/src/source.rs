//! Where the messages to be sent come from.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::exit::{Code, Failure};
use crate::status::Status;
use crate::stop::Stop;

/// The largest message, that of the broker's default limit.
const BODY_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// How many messages may be read ahead.
const READ_AHEAD: usize = 16;

/// What ends the interactive mode.
const QUIT: &[u8] = b"q";

/// What the command line says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Lines that somebody types, one at a time.
    Prompt,
    /// The lines of these files; `-` is standard input.
    Lines(Vec<PathBuf>),
    /// These files, each as one message; `-` is standard input.
    Whole(Vec<PathBuf>),
    /// The same text again and again.
    Text { text: String, is_numbered: bool, count: Option<u64>, interval: Duration },
}

/// Gives one body after the other.
#[derive(Debug)]
pub enum Source {
    Prompt { bodies: Bodies, is_prompted: bool, status: Status },
    Files { bodies: Bodies },
    Text { text: String, is_numbered: bool, left: Option<u64>, given: u64, interval: Option<Interval> },
}

/// What the reading thread has read.
type Bodies = Receiver<Result<Vec<u8>, Failure>>;

impl Source {
    /// Begins to read. Nothing is read ahead beyond a few messages. `quit` is asked when whoever types has ended.
    pub fn open(input: Input, status: Status, quit: Arc<Stop>) -> io::Result<Self> {
        Ok(match input {
            Input::Prompt => {
                let bodies = read(vec![PathBuf::from("-")], typed, move || quit.ask())?;
                Self::Prompt { bodies, is_prompted: false, status }
            }
            Input::Lines(paths) => Self::Files { bodies: read(paths, lines, || {})? },
            Input::Whole(paths) => Self::Files { bodies: read(paths, whole, || {})? },
            Input::Text { text, is_numbered, count, interval } => {
                Self::Text { text, is_numbered, left: count, given: 0, interval: ticks(interval) }
            }
        })
    }

    /// The next body; None at the end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, Failure>> {
        match self {
            Self::Files { bodies } => bodies.recv().await,
            Self::Prompt { bodies, is_prompted, status } => loop {
                if !*is_prompted {
                    status.prompt();
                    *is_prompted = true;
                }
                let line = bodies.recv().await;
                *is_prompted = false;
                match line {
                    Some(Ok(line)) if line.is_empty() => continue,
                    Some(Ok(line)) if line == QUIT => return None,
                    line => return line,
                }
            },
            Self::Text { text, is_numbered, left, given, interval } => {
                if *left == Some(0) {
                    return None;
                }
                if let Some(interval) = interval {
                    interval.tick().await;
                }
                *given += 1;
                *left = left.map(|left| left - 1);
                let body = if *is_numbered { format!("{text} {given}") } else { text.clone() };
                Some(Ok(body.into_bytes()))
            }
        }
    }

    /// Reads no more from here on; gives what was read already.
    pub async fn finish(&mut self) -> Vec<Result<Vec<u8>, Failure>> {
        match self {
            Self::Files { bodies } => bodies.close(),
            Self::Prompt { bodies, is_prompted, .. } => {
                bodies.close();
                *is_prompted = true;
            }
            Self::Text { left, .. } => *left = Some(0),
        }
        let mut rest = Vec::new();
        while let Some(body) = self.next().await {
            rest.push(body);
        }
        rest
    }

    /// Forgets that there is a prompt: other lines have been written since.
    pub fn prompt_again(&mut self) {
        if let Self::Prompt { is_prompted, .. } = self {
            *is_prompted = false;
        }
    }
}

/// The first tick is at once; after a delay the next one is a whole period away.
fn ticks(period: Duration) -> Option<Interval> {
    if period.is_zero() {
        return None;
    }
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Some(interval)
}

/// How the bytes of a file become bodies. False if nobody wants more.
type Cutting = fn(&mut dyn BufRead, &Sender<Result<Vec<u8>, Failure>>) -> io::Result<bool>;

/// Reads in a thread of its own, which ends with the process: a read of standard input cannot be called off.
#[allow(clippy::disallowed_methods, reason = "reading standard input must not hold up anything else")]
fn read(paths: Vec<PathBuf>, cut: Cutting, then: impl FnOnce() + Send + 'static) -> io::Result<Bodies> {
    let (sender, bodies) = mpsc::channel(READ_AHEAD);
    let reading = move || {
        for path in paths {
            match read_file(&path, cut, &sender) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    // An error means that nobody wants to know.
                    let _ = sender.blocking_send(Err(unreadable(&path, &error)));
                    return;
                }
            }
        }
    };
    let reading = move || {
        reading();
        then();
    };
    thread::Builder::new().name("input".to_owned()).spawn(reading)?;
    Ok(bodies)
}

fn read_file(path: &Path, cut: Cutting, sender: &Sender<Result<Vec<u8>, Failure>>) -> io::Result<bool> {
    match is_stdin(path) {
        true => cut(&mut io::stdin().lock(), sender),
        false => cut(&mut BufReader::new(File::open(path)?), sender),
    }
}

fn lines(reader: &mut dyn BufRead, sender: &Sender<Result<Vec<u8>, Failure>>) -> io::Result<bool> {
    lines_until(|_| false, reader, sender)
}

fn typed(reader: &mut dyn BufRead, sender: &Sender<Result<Vec<u8>, Failure>>) -> io::Result<bool> {
    lines_until(|line| line == QUIT, reader, sender)
}

fn lines_until(
    is_last: fn(&[u8]) -> bool,
    reader: &mut dyn BufRead,
    sender: &Sender<Result<Vec<u8>, Failure>>,
) -> io::Result<bool> {
    loop {
        let mut line = Vec::new();
        // Room for the line's end.
        reader.take(BODY_BYTES_MAX + 2).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(true);
        }
        let end = line.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line).len());
        line.truncate(end.unwrap_or(line.len()));
        check_size(&line)?;
        let is_last = is_last(&line);
        if sender.blocking_send(Ok(line)).is_err() {
            return Ok(false);
        }
        if is_last {
            return Ok(true);
        }
    }
}

fn whole(reader: &mut dyn BufRead, sender: &Sender<Result<Vec<u8>, Failure>>) -> io::Result<bool> {
    let mut body = Vec::new();
    reader.take(BODY_BYTES_MAX + 1).read_to_end(&mut body)?;
    check_size(&body)?;
    Ok(sender.blocking_send(Ok(body)).is_ok())
}

fn check_size(body: &[u8]) -> io::Result<()> {
    if body.len() as u64 > BODY_BYTES_MAX { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(()) }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let name = if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() };
    match error.kind() {
        io::ErrorKind::FileTooLarge => {
            Failure::new(Code::Data, format!("{name}: a message is larger than {BODY_BYTES_MAX} bytes"))
        }
        _ if is_stdin(path) => Failure::new(Code::Io, format!("cannot read {name}: {error}")),
        _ => Failure::new(Code::NoInput, format!("cannot read {name}: {error}")),
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(cutting: Cutting, input: &[u8]) -> Vec<String> {
        let (sender, mut bodies) = mpsc::channel(READ_AHEAD);
        assert!(cutting(&mut &*input, &sender).unwrap());
        let text = |body: Result<Vec<u8>, Failure>| String::from_utf8(body.unwrap()).unwrap();
        std::iter::from_fn(|| bodies.try_recv().ok()).map(text).collect()
    }

    #[test]
    fn lines_end_as_on_either_system() {
        assert_eq!(cut(lines, "uno\ndos\r\n\ntrés".as_bytes()), ["uno", "dos", "", "trés"]);
        assert_eq!(cut(lines, b"a\rb\n"), ["a\rb"]);
        assert_eq!(cut(lines, b""), [""; 0]);
    }

    #[test]
    fn what_is_typed_ends_at_q() {
        assert_eq!(cut(typed, b"uno\nq\ntarde\n"), ["uno", "q"]);
    }

    #[tokio::test]
    async fn the_end_gives_what_was_read() {
        let (sender, bodies) = mpsc::channel(READ_AHEAD);
        for line in ["b", "", "c"] {
            sender.send(Ok(line.as_bytes().to_vec())).await.unwrap();
        }
        let mut source = Source::Prompt { bodies, is_prompted: false, status: Status { is_quiet: true } };
        assert_eq!(source.finish().await, [Ok(b"b".to_vec()), Ok(b"c".to_vec())]);
        assert!(sender.send(Ok(b"tarde".to_vec())).await.is_err());
        assert_eq!(source.next().await, None);
    }

    #[test]
    fn a_whole_file_keeps_its_lines() {
        assert_eq!(cut(whole, b"uno\ndos\n"), ["uno\ndos\n"]);
        assert_eq!(cut(whole, b""), [""]);
    }

    #[test]
    fn nobody_wants_more() {
        let (sender, bodies) = mpsc::channel(1);
        drop(bodies);
        assert!(!lines(&mut &b"uno\n"[..], &sender).unwrap());
        assert!(!whole(&mut &b"uno\n"[..], &sender).unwrap());
    }

    #[test]
    fn failures_name_the_file() {
        let missing = unreadable(Path::new("no.txt"), &io::ErrorKind::NotFound.into());
        assert_eq!(missing.code, Code::NoInput);
        assert!(missing.message.contains("no.txt"));
        let large = unreadable(Path::new("-"), &io::ErrorKind::FileTooLarge.into());
        assert_eq!(large.code, Code::Data);
        assert!(large.message.contains("standard input"));
    }

    #[tokio::test]
    async fn text_is_numbered_and_counted() {
        let input = |is_numbered, count| Input::Text {
            text: "hola".to_owned(),
            is_numbered,
            count,
            interval: Duration::ZERO,
        };
        assert_eq!(all(input(true, Some(3))).await, ["hola 1", "hola 2", "hola 3"]);
        assert_eq!(all(input(false, Some(1))).await, ["hola"]);
    }

    async fn all(input: Input) -> Vec<String> {
        let mut source = Source::open(input, Status { is_quiet: true }, Arc::default()).unwrap();
        let mut texts = Vec::new();
        while let Some(body) = source.next().await {
            texts.push(String::from_utf8(body.unwrap()).unwrap());
        }
        texts
    }

    #[tokio::test]
    async fn the_prompt_ends_at_q() {
        let (sender, bodies) = mpsc::channel(READ_AHEAD);
        for line in ["hola", "", "queso", "q", "tarde"] {
            sender.send(Ok(line.as_bytes().to_vec())).await.unwrap();
        }
        let mut source = Source::Prompt { bodies, is_prompted: false, status: Status { is_quiet: true } };
        assert_eq!(source.next().await, Some(Ok(b"hola".to_vec())));
        assert_eq!(source.next().await, Some(Ok(b"queso".to_vec())));
        assert_eq!(source.next().await, None);
    }
}
