//! A running `liebre-cat`: something is typed, and what it says is waited for.

use std::{
    fs::File,
    io::{Read, Write},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use liebre_tests::{binaries::binary, broker::Broker, wait};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A running program. Killed with the value.
pub struct Cat {
    child: Child,
    input: Option<File>,
    pub out: Heard,
    pub err: Heard,
}

/// What a stream has said so far.
pub struct Heard {
    text: Arc<Mutex<Vec<u8>>>,
    reading: Option<JoinHandle<()>>,
}

/// How a program ended, and all that it said.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs to its end what needs no input.
pub fn cat(words: &[&str]) -> Ended {
    Cat::start(words).finish()
}

/// Runs with this input to its end.
pub fn cat_with_input(words: &[&str], input: &str) -> Ended {
    let mut cat = Cat::start(words);
    cat.say(input);
    cat.finish()
}

impl Cat {
    /// Starts it against the tests' broker.
    pub fn start(words: &[&str]) -> Cat {
        Cat::start_at(&Broker::shared().url(), words)
    }

    /// Starts it against the broker at `url`.
    pub fn start_at(url: &str, words: &[&str]) -> Cat {
        let mut command = command(url, words);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the program starts");
        let input = child.stdin.take().expect("stdin is piped");
        Cat::watch(child, File::from(std::os::fd::OwnedFd::from(input)))
    }

    /// Starts it with a terminal for its input.
    pub fn start_in_terminal(words: &[&str]) -> Cat {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("the terminal is ours");
        let name = ptsname(&terminal, Vec::new()).expect("the terminal has a name");
        let user_end = File::open(name.to_str().expect("the name is text")).expect("the terminal opens");
        let child =
            command(&Broker::shared().url(), words).stdin(user_end).spawn().expect("the program starts");
        Cat::watch(child, File::from(terminal))
    }

    /// Types or pipes `text` to it.
    pub fn say(&mut self, text: &str) {
        let input = self.input.as_mut().expect("the input is open");
        input.write_all(text.as_bytes()).expect("the program reads");
    }

    /// As a key or a command would.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the program runs");
    }

    /// Nobody reads its output any more.
    pub fn stop_listening(words: &[&str]) -> Ended {
        let mut cat = command(&Broker::shared().url(), words).spawn().expect("the program starts");
        drop(cat.stdout.take());
        Cat::watch(cat, File::open("/dev/null").expect("there is a /dev/null")).finish()
    }

    /// Ends its input and waits for its end.
    pub fn finish(mut self) -> Ended {
        self.input = None;
        let status = wait::until("end of liebre-cat", || self.child.try_wait().expect("it is our child"));
        Ended { code: status.code(), out: self.out.all(), err: self.err.all() }
    }

    fn watch(mut child: Child, input: File) -> Cat {
        let (out, err) = (Heard::read(child.stdout.take()), Heard::read(child.stderr.take()));
        Cat { child, input: Some(input), out, err }
    }
}

impl Drop for Cat {
    fn drop(&mut self) {
        // An error means that it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Heard {
    fn read(stream: Option<impl Read + Send + 'static>) -> Heard {
        let text = Arc::new(Mutex::new(Vec::new()));
        let heard = text.clone();
        let follow = move |mut stream: Box<dyn Read + Send>| {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut piece) {
                heard.lock().unwrap().extend_from_slice(&piece[..length]);
            }
        };
        let reading = stream.map(|stream| thread::spawn(move || follow(Box::new(stream))));
        Heard { text, reading }
    }

    /// Waits until `text` has been said.
    pub fn expect(&self, text: &str) {
        let what = format!("{text:?} from liebre-cat");
        wait::until(&what, || self.so_far().contains(text).then_some(()));
    }

    /// Waits until as many lines have been said.
    pub fn expect_lines(&self, count: usize) {
        wait::until(&format!("{count} lines"), || (self.so_far().lines().count() >= count).then_some(()));
    }

    pub fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    fn all(&mut self) -> String {
        if let Some(reading) = self.reading.take() {
            reading.join().expect("the reader does not panic");
        }
        self.so_far()
    }
}

fn command(url: &str, words: &[&str]) -> Command {
    let mut command = Command::new(binary("liebre-cat", "liebre-cat"));
    command.args(words).env("LIEBRE_URL", url).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
