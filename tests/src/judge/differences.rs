//! The differences that are expected, each with its reason.
//!
//! ```text
//! ## unknown-method
//! why: a peer is told what was wrong
//! a1: frame kind=1 payload=003c00ff
//! - a closed
//! + a connection.close 503 "COMMAND_INVALID - unimplemented method" method 60.255
//!
//! ## ttl-expires
//! not yet: message TTL
//! …
//! ```
//!
//! A block names a script, gives a reason (`why:` for a choice, `not yet:` for a feature that is missing), and then for
//! each step that differs the step's line, what only RabbitMQ says (`-`) and what only Liebre says (`+`). A number in
//! parentheses after a step's line tells steps with the same line apart.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::{
    Doing, Trouble,
    catalogue::Catalogue,
    transcript::{END, Told, Transcript},
};

/// All expected differences.
#[derive(Debug, Default)]
pub struct Differences(Vec<Difference>);

/// A block of the file.
#[derive(Debug, Default)]
struct Difference {
    script: String,
    reason: String,
    is_not_yet: bool,
    changes: Vec<Change>,
}

/// What differs in one step.
#[derive(Debug, Default, PartialEq, Eq)]
struct Change {
    step: String,
    /// Which of the steps with this line, from 1. None for the first that says what is to be taken away.
    number: Option<usize>,
    minus: Vec<String>,
    plus: Vec<String>,
}

impl Differences {
    /// Reads the file.
    pub fn load() -> Result<Differences, Trouble> {
        let path = Catalogue::dir().join("differences.txt");
        let text = std::fs::read_to_string(&path).doing(path.display())?;
        Differences::parse(&text).doing(path.display())
    }

    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Differences, Trouble> {
        let mut all: Vec<Difference> = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
            if let Some(script) = line.strip_prefix("## ") {
                all.push(Difference { script: script.to_owned(), ..Difference::default() });
                continue;
            }
            let wrong = || Trouble::new(format!("out of place: {line}"));
            all.last_mut().ok_or_else(wrong)?.add(line).ok_or_else(wrong)?;
        }
        match all.iter().find(|block| block.reason.is_empty() || block.changes.is_empty()) {
            Some(block) => Err(Trouble::new(format!("{} has no reason or no difference", block.script))),
            None => Ok(Differences(all)),
        }
    }

    /// What Liebre is expected to say where RabbitMQ says `reference`.
    pub fn expected(&self, script: &str, reference: &Transcript) -> Result<Transcript, Trouble> {
        let mut expected = reference.clone();
        for block in self.0.iter().filter(|block| block.script == script) {
            for change in &block.changes {
                change.apply(&mut expected).ok_or_else(|| {
                    Trouble::new(format!("{script}: RabbitMQ does not say what differs at {:?}", change.step))
                })?;
            }
        }
        Ok(expected)
    }

    /// How many scripts differ by choice, and how many because something is not there yet.
    pub fn counts(&self) -> (usize, usize) {
        let scripts = |is_not_yet| {
            let blocks = self.0.iter().filter(|block| block.is_not_yet == is_not_yet);
            blocks.map(|block| &block.script).collect::<BTreeSet<_>>().len()
        };
        (scripts(false), scripts(true))
    }

    /// The reasons and the scripts that they are for, as `broker/docs/compatibility.md` lists them.
    pub fn table(&self) -> String {
        let mut reasons: BTreeMap<(bool, &str), BTreeSet<&str>> = BTreeMap::new();
        for block in &self.0 {
            reasons.entry((block.is_not_yet, &block.reason)).or_default().insert(&block.script);
        }
        let mut table = String::from("| reason | sessions |\n|---|---|\n");
        for ((is_not_yet, reason), scripts) in reasons {
            let scripts: Vec<String> = scripts.into_iter().map(|script| format!("`{script}`")).collect();
            let lead = if is_not_yet { "Not yet: " } else { "" };
            _ = writeln!(table, "| {lead}{reason} | {} |", scripts.join(", "));
        }
        table
    }

    /// Scripts that are in this file and not in the catalogue.
    pub fn strangers(&self, catalogue: &Catalogue) -> Vec<&str> {
        let is_known = |name: &str| catalogue.scripts.iter().any(|script| script.name == name);
        self.0.iter().map(|block| block.script.as_str()).filter(|name| !is_known(name)).collect()
    }
}

impl Difference {
    /// None if the line stands where it means nothing.
    fn add(&mut self, line: &str) -> Option<()> {
        if let Some(reason) = line.strip_prefix("why: ") {
            self.reason = reason.to_owned();
        } else if let Some(feature) = line.strip_prefix("not yet: ") {
            self.reason = feature.to_owned();
            self.is_not_yet = true;
        } else if let Some(minus) = line.strip_prefix("- ") {
            self.changes.last_mut()?.minus.push(minus.to_owned());
        } else if let Some(plus) = line.strip_prefix("+ ").filter(|_| !self.changes.is_empty()) {
            self.changes.last_mut()?.plus.push(plus.to_owned());
        } else {
            self.changes.push(Change::begin(line));
        }
        Some(())
    }
}

impl Change {
    fn begin(line: &str) -> Change {
        let numbered = line.strip_suffix(')').and_then(|line| line.rsplit_once(" ("));
        let numbered = numbered.and_then(|(step, number)| Some((step, number.parse().ok()?)));
        let (step, number) = numbered.map_or((line, None), |(step, number)| (step, Some(number)));
        Change { step: step.to_owned(), number, ..Change::default() }
    }

    /// None if no such step says what is to be taken away.
    fn apply(&self, transcript: &mut Transcript) -> Option<()> {
        if self.step == END && transcript.steps.last().is_none_or(|told| told.step != END) {
            transcript.steps.push(Told { step: END.to_owned(), lines: Vec::new() });
        }
        let steps = transcript.steps.iter_mut().filter(|told| told.step == self.step);
        let (told, at) = (1..).zip(steps).find_map(|(number, told)| {
            let is_meant = self.number.is_none_or(|meant| meant == number);
            let at = self.position(&told.lines).filter(|_| is_meant)?;
            Some((told, at))
        })?;
        told.lines.splice(at..at + self.minus.len(), self.plus.iter().cloned());
        transcript.steps.retain(|told| told.step != END || !told.lines.is_empty());
        Some(())
    }

    /// Where the lines to be taken away stand. The end if there are none, unless the new ones are there already.
    fn position(&self, lines: &[String]) -> Option<usize> {
        if self.minus.is_empty() {
            return (!lines.ends_with(&self.plus)).then_some(lines.len());
        }
        lines.windows(self.minus.len()).position(|window| window == self.minus)
    }
}

/// What differs between two transcripts, in this file's form; without a reason.
pub fn describe(name: &str, reference: &Transcript, actual: &Transcript) -> String {
    let mut text = format!("## {name}\nwhy: \n");
    let empty = Told::default();
    for index in 0..reference.steps.len().max(actual.steps.len()) {
        let left = reference.steps.get(index).unwrap_or(&empty);
        let right = actual.steps.get(index).unwrap_or(&empty);
        if left.lines != right.lines {
            let longer = if right.step.is_empty() { reference } else { actual };
            let step = &longer.steps[index].step;
            let number = longer.steps[..=index].iter().filter(|told| told.step == *step).count();
            let number = if number > 1 { format!(" ({number})") } else { String::new() };
            writeln!(text, "{step}{number}").ok();
            describe_lines(&mut text, &left.lines, &right.lines);
        }
    }
    text
}

/// From the first line that differs to the last.
fn describe_lines(text: &mut String, left: &[String], right: &[String]) {
    let begin = left.iter().zip(right).take_while(|(l, r)| l == r).count();
    let (l, r) = (&left[begin..], &right[begin..]);
    let mut same_at_end = l.iter().rev().zip(r.iter().rev()).take_while(|(l, r)| l == r).count();
    if l.len() == same_at_end {
        // Something must say where the new lines go, unless it is the end.
        same_at_end = same_at_end.saturating_sub(1);
    }
    for (mark, lines) in [("-", &l[..l.len() - same_at_end]), ("+", &r[..r.len() - same_at_end])] {
        for line in lines {
            writeln!(text, "{mark} {line}").ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(steps: &[(&str, &[&str])]) -> Transcript {
        let told = |(step, lines): &(&str, &[&str])| Told {
            step: (*step).to_owned(),
            lines: lines.iter().map(|&line| line.to_owned()).collect(),
        };
        Transcript { steps: steps.iter().map(told).collect() }
    }

    #[test]
    fn a_described_difference_is_an_expected_one() {
        let reference =
            transcript(&[("a1: x", &["one", "two"]), ("a1: y", &["three"]), ("a1: y", &["four", "five"])]);
        let others = [
            transcript(&[("a1: x", &["one", "2"]), ("a1: y", &["three"]), ("a1: y", &["4", "five"])]),
            transcript(&[
                ("a1: x", &["zero", "one", "two"]),
                ("a1: y", &[]),
                ("a1: y", &["four", "five", "six"]),
            ]),
            transcript(&[
                ("a1: x", &["one", "two"]),
                ("a1: y", &["three"]),
                ("a1: y", &["four", "five"]),
                (END, &["x"]),
            ]),
        ];
        for other in others {
            let text = describe("s", &reference, &other).replace("why: ", "why: because");
            let differences = Differences::parse(&text).unwrap();
            assert_eq!(differences.expected("s", &reference).unwrap(), other, "{text}");
            assert_eq!(differences.expected("t", &reference).unwrap(), reference);
        }
    }

    #[test]
    fn a_difference_that_is_not_there_is_found() {
        let text = "## s\nnot yet: TTL\na1: x\n- two\n";
        let differences = Differences::parse(text).unwrap();
        assert!(differences.expected("s", &transcript(&[("a1: x", &["one"])])).is_err());
        assert_eq!(differences.counts(), (0, 1));
        for wrong in ["why: x", "## s\na1: x\n- y", "## s\nwhy: z\n", "## s\nwhy: z\n- y"] {
            assert!(Differences::parse(wrong).is_err(), "{wrong}");
        }
    }
}
