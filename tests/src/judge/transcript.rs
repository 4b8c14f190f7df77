//! What came back from a script, step by step, and files of it.
//!
//! ```text
//! # RabbitMQ 3.10.8
//!
//! ## passive-missing
//! a1: queue.declare queue=q passive
//!   a1 channel.close 404 "NOT_FOUND - no queue 'q' in vhost '/'" queue.declare
//! ```

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
};

use super::{Doing, Trouble, catalogue::Catalogue};

/// What came back from one script.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transcript {
    pub steps: Vec<Told>,
}

/// A step, and what came back before the next one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    pub step: String,
    pub lines: Vec<String>,
}

/// The step after the last, for what comes when all connections are closed.
pub const END: &str = "(end)";

impl Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for told in &self.steps {
            writeln!(f, "{}", told.step)?;
            for line in &told.lines {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}

/// The text of a file of recordings: the transcripts of one group of scripts.
pub fn write(product: &str, transcripts: &[(&str, &Transcript)]) -> String {
    let mut text = format!("# {product}\n");
    for (name, transcript) in transcripts {
        text += &format!("\n## {name}\n{transcript}");
    }
    text
}

/// The transcripts in a file of recordings, by the names of their scripts.
pub fn read(text: &str) -> Result<BTreeMap<String, Transcript>, Trouble> {
    let mut transcripts: BTreeMap<String, Transcript> = BTreeMap::new();
    let mut name = None;
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        if let Some(next) = line.strip_prefix("## ") {
            name = Some(next.to_owned());
            transcripts.insert(next.to_owned(), Transcript::default());
            continue;
        }
        let transcript = name.as_ref().and_then(|name| transcripts.get_mut(name));
        let steps = &mut transcript.ok_or_else(|| Trouble::new(format!("no script before {line:?}")))?.steps;
        match line.strip_prefix("  ") {
            None => steps.push(Told { step: line.to_owned(), lines: Vec::new() }),
            Some(heard) => {
                let told =
                    steps.last_mut().ok_or_else(|| Trouble::new(format!("no step before {line:?}")))?;
                told.lines.push(heard.to_owned());
            }
        }
    }
    Ok(transcripts)
}

/// Everything that RabbitMQ said, as far as it was recorded.
pub fn recorded(catalogue: &Catalogue) -> Result<BTreeMap<String, Transcript>, Trouble> {
    let mut all = BTreeMap::new();
    for group in catalogue.groups() {
        let path = Catalogue::dir().join("recorded").join(format!("{group}.txt"));
        if path.exists() {
            let text = std::fs::read_to_string(&path).doing(path.display())?;
            all.append(&mut read(&text).doing(path.display())?);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_survive_a_file() {
        let told = |step: &str, lines: &[&str]| Told {
            step: step.to_owned(),
            lines: lines.iter().map(|&line| line.to_owned()).collect(),
        };
        let one = Transcript { steps: vec![told("a1: tx.commit", &["a1 x", "a closed"]), told(END, &[])] };
        let two = Transcript { steps: vec![told("a: cut", &[])] };
        let text = write("RabbitMQ 3", &[("one", &one), ("two", &two)]);
        assert_eq!(read(&text).unwrap(), BTreeMap::from([("one".to_owned(), one), ("two".to_owned(), two)]));
        assert!(read("  a1 alone").is_err());
    }
}
