//! A program under test whose output is waited for, line by line.

use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{PATIENCE, wait};

/// A running program. Killed with the value.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    keyboard: ChildStdin,
    output: Receiver<Vec<u8>>,
    errors: Receiver<Vec<u8>>,
    /// All that has come of the output, and how much of it was asked for.
    printed: Vec<u8>,
    seen: usize,
}

impl Program {
    /// Starts `command`.
    pub fn spawn(mut command: Command) -> Program {
        let name = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let keyboard = child.stdin.take().expect("stdin is piped");
        let output = follow(child.stdout.take().expect("stdout is piped"));
        let errors = follow(child.stderr.take().expect("stderr is piped"));
        Program { name, child, keyboard, output, errors, printed: Vec::new(), seen: 0 }
    }

    /// Waits for the next line that holds `text`; lines before it are skipped.
    pub fn expect_line(&mut self, text: &str) {
        while !self.take_until("\n", text).contains(text) {}
    }

    /// Waits for the next line, whatever it says.
    pub fn next_line(&mut self) -> String {
        self.take_until("\n", "a line")
    }

    /// Waits for `text`, which need not end a line, as a prompt does not; what is before it is skipped.
    pub fn expect_text(&mut self, text: &str) {
        self.take_until(text, text);
    }

    /// Types a line on the program's keyboard.
    pub fn type_line(&mut self, line: &str) {
        writeln!(self.keyboard, "{line}").expect("the program reads its keyboard");
    }

    /// Ctrl-C.
    pub fn interrupt(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("the program is still there");
    }

    /// SIGTERM: what a system says to a program that it wants to end.
    pub fn terminate(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("the program is still there");
    }

    /// Waits for the program to end well.
    pub fn finish(mut self) {
        let status = self.wait_end();
        assert!(status.success(), "{} ended with {status}\n{}", self.name, self.told());
    }

    /// Waits for the program to fail with exit code 1; what it says on stderr.
    pub fn fail(mut self) -> String {
        let status = self.wait_end();
        let told = self.told();
        assert_eq!(status.code(), Some(1), "{} ended with {status}\n{told}", self.name);
        told
    }

    /// `kill -9`: no farewell to the broker.
    pub fn kill9(mut self) {
        self.end();
    }

    /// The output up to the next `end`, which is taken, too, but not given.
    fn take_until(&mut self, end: &str, wanted: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let rest = &self.printed[self.seen..];
            let found = rest.windows(end.len()).position(|bytes| bytes == end.as_bytes());
            if let Some(length) = found {
                let text = String::from_utf8_lossy(&rest[..length]).into_owned();
                self.seen += length + end.len();
                return text;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.printed.extend(bytes),
                Err(_) => {
                    let printed = String::from_utf8_lossy(&self.printed).into_owned();
                    self.end();
                    panic!("{} did not print {wanted:?}; it printed\n{printed}{}", self.name, self.told())
                }
            }
        }
    }

    /// What an ended program has said on stderr.
    fn told(&self) -> String {
        let told: Vec<u8> = self.errors.iter().flatten().collect();
        String::from_utf8_lossy(&told).into_owned()
    }

    fn wait_end(&mut self) -> ExitStatus {
        let what = format!("end of {}", self.name);
        wait::until(&what, || self.child.try_wait().expect("the program is our child"))
    }

    fn end(&mut self) {
        // An error means that it has ended already.
        self.child.kill().ok();
        self.child.wait().expect("a child can be waited for");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads all that comes, as it comes.
fn follow(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut bytes) {
            // Nobody listens any more once the test has ended.
            sender.send(bytes[..length].to_owned()).ok();
        }
    });
    receiver
}
