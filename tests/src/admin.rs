//! The admin tools as a user runs them: a command line in, what is printed and the exit code out.

use std::process::{Command, Output, Stdio};

use crate::{binaries::binary, broker::Broker, program::Program};

/// What differs from run to run, each with the name that stands for it: in transcripts, and in command lines too.
#[derive(Debug)]
pub struct Admin {
    data_dir: String,
    masks: Vec<(String, &'static str)>,
}

impl Broker {
    /// The admin tools on this broker, through its control socket. None for an external broker's, which is elsewhere.
    pub fn admin(&self) -> Option<Admin> {
        let data_dir = self.data_dir()?.display().to_string();
        let mut admin = Admin { data_dir: data_dir.clone(), masks: Vec::new() };
        admin.mask(&format!("rabbit@{}", host_name()), "rabbit@host");
        admin.mask(&data_dir, "DATA_DIR");
        let (amqp, http) = (self.amqp.port(), self.http?.port());
        admin.mask(&amqp.to_string(), "AMQP_PORT");
        admin.mask(&http.to_string(), "HTTP_PORT");
        // Lists are sorted by number, and which of the two is the smaller one is chance.
        admin.mask(&format!("{}, {}", amqp.min(http), amqp.max(http)), "PORTS");
        Some(admin)
    }
}

impl Admin {
    /// The admin tools where no broker has ever been.
    pub fn without_broker() -> Admin {
        Admin { data_dir: "/nowhere".to_owned(), masks: Vec::new() }
    }

    /// From now on `name` stands for `text`.
    pub fn mask(&mut self, text: &str, name: &'static str) {
        self.masks.push((text.to_owned(), name));
    }

    /// Runs command lines one after the other and tells how each went: standard output, standard error after `! `, the
    /// exit code unless it is 0. Words may stand in quotes.
    pub fn transcript(&self, lines: &[&str]) -> String {
        lines.iter().map(|line| self.told(line)).collect()
    }

    /// Runs one command line that must go well; what it prints, as it is.
    pub fn output(&self, line: &str) -> String {
        let output = self.run(line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {}\n{errors}", output.status);
        String::from_utf8(output.stdout).expect("the tools print UTF-8")
    }

    fn told(&self, line: &str) -> String {
        let output = self.run(line);
        let mut told = format!("$ {line}\n{}", String::from_utf8_lossy(&output.stdout));
        for error in String::from_utf8_lossy(&output.stderr).lines() {
            told += &format!("! {error}\n");
        }
        if !output.status.success() {
            told += &match output.status.code() {
                Some(code) => format!("exit {code}\n"),
                None => format!("{}\n", output.status),
            };
        }
        // The latest first: it may hold what an earlier one stands for.
        self.masks.iter().rev().fold(told, |told, (text, name)| replace_whole(&told, text, name))
    }

    /// Starts one command line that goes on until it is ended.
    pub fn start(&self, line: &str) -> Program {
        Program::spawn(self.command(line))
    }

    fn run(&self, line: &str) -> Output {
        let mut command = self.command(line);
        command.stdin(Stdio::null());
        command.output().unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn command(&self, line: &str) -> Command {
        let line = self.masks.iter().fold(line.to_owned(), |line, (text, name)| line.replace(name, text));
        let words = words(&line);
        let (name, arguments) = words.split_first().expect("a command line names its program");
        let mut command = Command::new(binary("liebrectl", name));
        command.args(arguments).env("LIEBRE_DATA_DIR", &self.data_dir);
        command
    }
}

/// The words of a command line, as a shell would part them; a word in quotes has nothing before or after them.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '\'' | '"' => rest[1..].split_once(first).expect("a quote is closed"),
            _ => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

/// Replaces `text` where it is not part of a longer number.
pub(crate) fn replace_whole(all: &str, text: &str, name: &str) -> String {
    let mut replaced = String::new();
    let mut rest = all;
    while let Some((before, after)) = rest.split_once(text) {
        let is_digit = |c: char| c.is_ascii_digit();
        let is_part = text.starts_with(is_digit) && before.ends_with(is_digit)
            || text.ends_with(is_digit) && after.starts_with(is_digit);
        replaced += before;
        replaced += if is_part { text } else { name };
        rest = after;
    }
    replaced + rest
}

/// The host's name as it stands in the node's.
pub(crate) fn host_name() -> String {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}
