//! What came of a campaign, for the reader and for the ledger.

use std::{
    fmt,
    fs::OpenOptions,
    io::Write,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    history::{Totals, Violation},
    trouble::{Doing, Trouble},
};
use crate::binaries::workspace_root;

/// The ledger's place in the repository.
const LEDGER: &str = "tests/campaigns.tsv";

/// The outcome of one campaign.
#[derive(Debug)]
pub struct Report {
    /// Crashes or rounds.
    pub count: u32,
    pub totals: Totals,
    pub violation_count: u64,
    /// The first of them.
    pub violations: Vec<Violation>,
    pub notes: Vec<String>,
    pub took: Duration,
}

impl Report {
    /// Adds a line to the ledger.
    pub fn enter(&self, campaign: &str, seed: u64) -> Result<(), Trouble> {
        let path = workspace_root().join(LEDGER);
        let mut ledger = OpenOptions::new().append(true).open(path).doing("opening the ledger")?;
        let date = date(SystemTime::now());
        let (commit, notes) = (commit()?, self.notes.join("; "));
        let line = format!(
            "{date}\t{commit}\t{campaign}\t{seed}\t{}\t{}\t{}\t{} s; {notes}\n",
            self.count,
            self.totals.confirmed,
            self.violation_count,
            self.took.as_secs()
        );
        ledger.write_all(line.as_bytes()).doing("writing to the ledger")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "VIOLATION {violation}")?;
        }
        let totals = &self.totals;
        writeln!(f, "{} faults in {} s", self.count, self.took.as_secs())?;
        writeln!(
            f,
            "messages: {} published, {} confirmed, {} refused; {} deliveries, {} of them again; {} acks; {} commits",
            totals.published,
            totals.confirmed,
            totals.nacked,
            totals.delivered,
            totals.redelivered,
            totals.acked,
            totals.committed
        )?;
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        write!(f, "violations: {}", self.violation_count)
    }
}

/// The commit that is checked out; `+` if something was changed since.
fn commit() -> Result<String, Trouble> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(workspace_root()).args(arguments).output();
        output.doing("git").map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    // The ledger itself changes with each campaign.
    let changes =
        git(&["status", "--porcelain", "--untracked-files=no", "--", ".", ":!tests/campaigns.tsv"])?;
    Ok(if changes.is_empty() { commit } else { format!("{commit}+") })
}

/// Year, month and day in UTC.
fn date(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let days = i64::try_from(since.as_secs() / 86_400).unwrap_or_default();
    // Howard Hinnant's civil_from_days: years begin in March, so that the leap day is the last.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        for (days, written) in [(0, "1970-01-01"), (789, "1972-02-29"), (20_779, "2026-11-22")] {
            assert_eq!(date(UNIX_EPOCH + Duration::from_secs(days * 86_400 + 5)), written);
        }
    }
}
