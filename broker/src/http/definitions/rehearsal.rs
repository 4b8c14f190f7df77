//! What the import at the start will say, before there is a start.

use super::{ADVICE_AT_START, ImportError, Imported, Manner, import};
use crate::server::{
    Settings,
    rehearsal::{blank_node, is_first_start},
};

/// Tries the files that a start imports. Gives what is worth a line, or all that is wrong.
///
/// What an earlier start has made is not looked at: where there was one, what only refers to that is no mistake.
pub async fn rehearse(settings: &Settings) -> Result<Vec<String>, Vec<String>> {
    let definitions = &settings.definitions;
    let files = definitions.read().map_err(|error| vec![error])?;
    let node = blank_node(settings).map_err(|error| vec![error.to_string()])?;
    let (mut notes, mut mistakes) = (Vec::new(), Vec::new());
    for file in files {
        let path = file.path.display();
        let manner = Manner { skips_unsupported: definitions.skip_unsupported, ..Manner::default() };
        let error = match import(&node, &file.text, None, manner).await {
            Ok(Imported::Done(made)) => {
                notes.extend(made.skipped.iter().map(|line| format!("{path}: not imported: {line}")));
                continue;
            }
            Ok(Imported::Unchanged) => continue,
            Err(error) => error,
        };
        let may_be_there =
            |part: &&ImportError| !is_first_start(settings) && matches!(part, ImportError::Dangling { .. });
        let (open, wrong): (Vec<_>, Vec<_>) = error.parts().iter().partition(may_be_there);
        notes.extend(open.iter().map(|part| format!("{path}: {part}, unless the data directory has it")));
        match open.is_empty() {
            true => mistakes.push(format!("{path}: {}", error.with_advice(ADVICE_AT_START))),
            false => mistakes.extend(wrong.iter().map(|part| format!("{path}: {part}"))),
        }
    }
    if mistakes.is_empty() { Ok(notes) } else { Err(mistakes) }
}

impl ImportError {
    fn parts(&self) -> &[Self] {
        match self {
            Self::Several(parts) => parts,
            one => std::slice::from_ref(one),
        }
    }
}
