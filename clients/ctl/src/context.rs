//! What a running command has at hand: the broker, its arguments, and the ways to print.

use std::io::{BufRead, Write};

use serde_json::{Value, json};

use crate::api::Broker;
use crate::arguments::Arguments;
use crate::catalogue::{Command, Tool};
use crate::exit::{Code, Failure, Stop};
use crate::format::{Formatter, Table};
use crate::listing::Column;
use crate::password;
use crate::paths;

/// Standard input, output and error, or what stands for them in tests.
#[expect(missing_debug_implementations, reason = "streams and sockets have nothing to show")]
pub struct Streams<'a> {
    /// Where passwords are read from.
    pub input: &'a mut dyn BufRead,
    /// Results.
    pub output: &'a mut dyn Write,
    /// Errors.
    pub errors: &'a mut dyn Write,
    /// Is the input a terminal, so that passwords must not be echoed?
    pub is_input_terminal: bool,
    /// Is the output a terminal, so that headings are bold?
    pub is_output_terminal: bool,
}

/// How results are shown.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The form of results.
    pub formatter: Formatter,
    /// `-q`: without the line that tells what is being done.
    pub is_quiet: bool,
    /// `-s`: moreover without the names of columns.
    pub is_silent: bool,
    /// Are the names of columns shown?
    pub has_headers: bool,
    /// Are headings bold?
    pub is_bold: bool,
}

/// A command, running.
#[expect(missing_debug_implementations, reason = "streams and sockets have nothing to show")]
pub struct Context<'a> {
    /// Whom to speak to.
    pub broker: Broker<'a>,
    /// The options.
    pub options: &'a Arguments,
    /// The arguments after the command's name.
    pub arguments: &'a [String],
    /// The command.
    pub command: &'static Command,
    /// Whose command it is.
    pub tool: Tool,
    /// The name of the program.
    pub script: &'a str,
    /// How to show results.
    pub view: View,
    /// Where to.
    pub streams: Streams<'a>,
}

impl Streams<'_> {
    /// The same streams for a shorter time.
    pub fn reborrow(&mut self) -> Streams<'_> {
        Streams {
            input: &mut *self.input,
            output: &mut *self.output,
            errors: &mut *self.errors,
            is_input_terminal: self.is_input_terminal,
            is_output_terminal: self.is_output_terminal,
        }
    }
}

impl View {
    /// What the options ask for; `usual` is the form when they name none.
    pub fn new(options: &Arguments, usual: Formatter, is_output_terminal: bool) -> Self {
        let is_silent = options.has("silent");
        Self {
            formatter: options.formatter().unwrap_or(usual),
            is_quiet: is_silent || options.has("quiet"),
            is_silent,
            has_headers: !is_silent
                && !options.has("no-table-headers")
                && options.word("table-headers") != Some("false"),
            is_bold: is_output_terminal,
        }
    }

    /// A heading.
    pub fn bold(&self, text: &str) -> String {
        if self.is_bold { format!("\x1b[1m{text}\x1b[0m") } else { text.to_string() }
    }
}

impl Context<'_> {
    /// The argument at that place; the count has been checked before the command runs.
    pub fn argument(&self, at: usize) -> &str {
        self.arguments.get(at).map_or("", String::as_str)
    }

    /// The node's name; the one that it most probably has if nobody is there to tell it.
    pub fn presumed_node(&self) -> String {
        let named = || self.options.word("node").map_or_else(paths::usual_node, String::from);
        self.broker.node().unwrap_or_else(|_| named())
    }

    /// The vhost to work in.
    pub fn vhost(&self) -> &str {
        self.options.vhost()
    }

    /// How long a call may take, in milliseconds.
    pub fn timeout_ms(&self) -> u64 {
        u64::try_from(crate::timeout(self.options).as_millis()).unwrap_or(u64::MAX)
    }

    /// Tells what is about to be done. A dry run ends here.
    pub fn announce(&mut self, text: &str) -> Result<(), Stop> {
        self.tell(text)?;
        if self.options.has("dry-run") { Err(Stop::DryRun) } else { Ok(()) }
    }

    /// Tells what is about to be done, also if nothing of it happens in a dry run.
    pub fn tell(&mut self, text: &str) -> Result<(), Stop> {
        if self.view.is_quiet || self.view.formatter.is_for_machines() { Ok(()) } else { self.line(text) }
    }

    /// Prints a line.
    pub fn line(&mut self, text: &str) -> Result<(), Stop> {
        writeln!(self.streams.output, "{text}")?;
        // what follows may take its time, or be an error on another stream
        Ok(self.streams.output.flush()?)
    }

    /// Ends a command that has nothing to say.
    pub fn done(&mut self) -> Result<(), Stop> {
        if self.view.formatter.is_json() {
            let node = self.broker.node()?;
            return self.line(&json!({"node": node, "result": "ok"}).to_string());
        }
        Ok(())
    }

    /// Ends a command with its result: a text, or an object in the json formatters.
    pub fn finish(&mut self, text: &str, object: Value) -> Result<(), Stop> {
        if self.view.formatter.is_json() { self.line(&object.to_string()) } else { self.line(text) }
    }

    /// Ends a health check that passed: `-s` leaves only the exit code.
    pub fn pass(&mut self, text: &str, object: Value) -> Result<(), Stop> {
        if self.view.is_silent { Ok(()) } else { self.finish(text, object) }
    }

    /// Ends a health check that failed: `-s` leaves only the exit code.
    pub fn fail(&self, text: String, is_headed: bool) -> Stop {
        let message = if self.view.is_silent { String::new() } else { text };
        Stop::Failure(Failure { is_headed, ..Failure::bare(Code::Unavailable, message) })
    }

    /// Prints the columns that were asked for of those objects.
    pub fn list(&mut self, objects: &[Value]) -> Result<(), Stop> {
        let Some(listing) = self.command.listing else { return Ok(()) };
        let columns = self.columns()?;
        self.table(&listing.table(&columns, objects))
    }

    /// Prints a table.
    pub fn table(&mut self, table: &Table) -> Result<(), Stop> {
        let view = self.view;
        Ok(table.write(view.formatter, view.has_headers, view.is_bold, self.streams.output)?)
    }

    /// Is one of the columns asked for?
    pub fn shows(&self, column: &str) -> Result<bool, Stop> {
        Ok(self.columns()?.iter().any(|shown| shown.name == column))
    }

    /// The password: the argument at that place, else a line of the input.
    pub fn password(&mut self, at: usize) -> Result<String, Stop> {
        if let Some(password) = self.arguments.get(at) {
            return Ok(password.clone());
        }
        let failure = || Failure::new(Code::Data, "Password is not provided via argument or stdin");
        let password = password::read(&mut self.streams)?;
        Ok(password.ok_or_else(failure)?)
    }

    fn columns(&self) -> Result<Vec<&'static Column>, Stop> {
        // the arguments of a listing without a choice of columns are not columns
        let names = if self.command.most == usize::MAX { self.arguments } else { &[] };
        Ok(self.command.listing.map(|listing| listing.select(names)).transpose()?.unwrap_or_default())
    }
}
