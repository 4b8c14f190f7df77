//! A program under test whose output is waited for, line by line.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::Instant,
};

use crate::{PATIENCE, wait};

/// A running program. Killed with the value.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Program {
    /// Starts `command`; its errors go to the test's own.
    pub fn spawn(mut command: Command) -> Program {
        let name = format!("{command:?}");
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                sender.send(line).ok();
            }
        });
        Program { name, child, lines, seen: Vec::new() }
    }

    /// Waits for the next line that holds `text`; lines before it are skipped.
    pub fn expect_line(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("{} did not print {text:?}; it printed {:#?}", self.name, self.seen)
            };
            self.seen.push(line.clone());
            if line.contains(text) {
                return;
            }
        }
    }

    /// Waits for the next line, whatever it says.
    pub fn next_line(&mut self) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        line.unwrap_or_else(|_| panic!("{} printed nothing more; it printed {:#?}", self.name, self.seen))
    }

    /// Waits for the program to end well.
    pub fn finish(mut self) {
        let what = format!("end of {}", self.name);
        let status = wait::until(&what, || self.child.try_wait().expect("the program is our child"));
        assert!(status.success(), "{} ended with {status}", self.name);
    }

    /// `kill -9`: no farewell to the broker.
    pub fn kill9(mut self) {
        self.end();
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
