//! Plays many scripts at once, and judges what came back.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    Trouble,
    catalogue::{Catalogue, Script},
    differences::{Differences, describe},
    player::play,
    target::Target,
    transcript::Transcript,
};

/// Transcripts by the names of their scripts.
pub type Transcripts = BTreeMap<String, Transcript>;

/// How a broker stands against the judge.
#[derive(Debug, Default)]
pub struct Verdict {
    /// How many scripts were played.
    pub script_count: usize,
    /// What is not explained, in the form of the file of differences, or what is wrong with that file.
    pub unexplained: Vec<String>,
    /// How many scripts differ by choice, and how many because something is not there yet.
    expected_counts: (usize, usize),
}

/// Plays all scripts, `jobs` at once, after those that want to be alone; `guide` says what is to come back, if that is known.
pub fn play_all(
    catalogue: &Catalogue,
    target: &Target,
    jobs: usize,
    guide: impl Fn(&Script) -> Option<Transcript> + Sync,
) -> Result<Transcripts, Trouble> {
    let (alone, others): (Vec<&Script>, Vec<&Script>) =
        catalogue.scripts.iter().partition(|script| script.is_alone());
    let mut told = Transcripts::new();
    for script in alone {
        told.insert(script.name.clone(), play(script, target, guide(script).as_ref())?);
    }
    let next = AtomicUsize::new(0);
    let played = Mutex::new(Ok(told));
    let work = || {
        while let Some(&script) = others.get(next.fetch_add(1, Ordering::Relaxed)) {
            let transcript = play(script, target, guide(script).as_ref());
            let mut played = played.lock().unwrap();
            match (played.as_mut(), transcript) {
                (Ok(all), Ok(transcript)) => drop(all.insert(script.name.clone(), transcript)),
                (Ok(_), Err(trouble)) => *played = Err(trouble),
                (Err(_), _) => return,
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(work);
        }
    });
    target.remove_users()?;
    played.into_inner().unwrap()
}

/// Plays all scripts against `target`; it must answer as `references` say, but for the expected differences.
pub fn judge(
    catalogue: &Catalogue,
    references: &Transcripts,
    differences: &Differences,
    target: &Target,
    jobs: usize,
) -> Result<Verdict, Trouble> {
    let mut verdict = Verdict {
        script_count: catalogue.scripts.len(),
        expected_counts: differences.counts(),
        ..Verdict::default()
    };
    let mut expected = Transcripts::new();
    for script in &catalogue.scripts {
        let told = references
            .get(&script.name)
            .ok_or_else(|| Trouble::new(format!("{} is not recorded: `judge record`", script.name)))?;
        if !is_of(told, script) {
            return Err(Trouble::new(format!("{} has changed since: `judge record`", script.name)));
        }
        match differences.expected(&script.name, told) {
            Ok(transcript) => drop(expected.insert(script.name.clone(), transcript)),
            Err(trouble) => {
                verdict.unexplained.push(trouble.to_string());
                expected.insert(script.name.clone(), told.clone());
            }
        }
    }
    let actual = play_all(catalogue, target, jobs, |script| expected.get(&script.name).cloned())?;
    for script in &catalogue.scripts {
        let (Some(expected), Some(actual)) = (expected.get(&script.name), actual.get(&script.name)) else {
            continue;
        };
        if expected != actual {
            let mut text = describe(&script.name, &references[&script.name], actual);
            if *expected != references[&script.name] {
                text += "# An expected difference of this script has changed or is gone.\n";
            }
            verdict.unexplained.push(text);
        }
    }
    Ok(verdict)
}

/// Whether the transcript has the script's steps.
fn is_of(transcript: &Transcript, script: &Script) -> bool {
    let told = transcript.steps.iter().map(|told| told.step.as_str());
    let steps = script.steps.iter().map(|step| step.text.as_str());
    told.take(script.steps.len()).eq(steps)
}

impl Verdict {
    /// Whether all that differs is expected, and all that is expected differs.
    pub fn is_good(&self) -> bool {
        self.unexplained.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for text in &self.unexplained {
            writeln!(f, "{text}")?;
        }
        let (chosen, not_yet) = self.expected_counts;
        write!(
            f,
            "{} scripts, {} with unexplained differences; expected differences: {chosen} scripts by choice, \
             {not_yet} not yet",
            self.script_count,
            self.unexplained.len()
        )
    }
}
