//! Definitions as a file: everything durable but messages, in and out (<https://www.rabbitmq.com/docs/definitions>).
//!
//! ```text
//! text ──> JSON ──> check: every object, against the broker and the file itself ──> apply ──> stable storage
//!                     └─ the first that can't be: nothing has happened
//! ```
//!
//! An import never deletes. Users, permissions, parameters and policies replace those that are there; exchanges and
//! queues that are there stay as they are. What follows from each is what follows from the single change, policies at
//! once included. The changes share few commits; the answer comes when all of them are on stable storage. A crash
//! before that leaves some of them, and the same import again the rest.

mod apply;
mod check;
mod export;
mod multipart;
mod notes;
mod object;
mod rehearsal;
mod unsupported;

use std::{fmt, sync::Arc};

use axum::http::{Method, header};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    HttpError,
    answer::{Answer, Answered},
    auth::Right,
    deeds::one_line,
    request::Request,
};
use crate::{
    connection::registry::Node,
    model::{name::Name, parameter::GlobalParameter},
    server::{
        Loaded, StartError,
        definition_files::{DefinitionFile, DefinitionFiles},
    },
    storage::StoreError,
    vhost::broker::Broker,
};
use check::Checked;
use notes::Notes;
pub use rehearsal::rehearse;

/// The global parameter that says which definitions were imported last. Exports leave it out.
pub(super) const IMPORTED: &str = "imported_definition_hash_value";
/// Of so many things that are wrong each is told.
const SHOWN_MAX: usize = 100;
/// What can be done about what is not supported, over the API and at the start.
const ADVICE: &str = "The rest can be imported without it: skip_unsupported (--skip-unsupported)";
const ADVICE_AT_START: &str = "The rest can be imported without it: definitions.skip_unsupported = true";
/// What is noted besides an import's hash when something was left out.
const IN_PART: &str = " without what is not supported";
/// UTF-8's mark at the beginning of texts from Windows.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How definitions are imported.
#[derive(Clone, Copy, Debug, Default)]
struct Manner {
    /// They are checked, and nothing happens.
    is_dry_run: bool,
    /// What this broker does not have is left out.
    skips_unsupported: bool,
    /// What was imported last is not imported again; of no account in a dry run.
    skips_unchanged: bool,
}

/// What became of definitions.
#[derive(Clone, Debug)]
enum Imported {
    /// They were imported, or can be.
    Done(Notes),
    /// They were imported last time; nothing was done.
    Unchanged,
}

/// Why definitions were not imported, or not all of them.
#[derive(Clone, Debug, PartialEq)]
pub enum ImportError {
    /// The text is no JSON object; holds why not.
    NotDefinitions(String),
    /// Something in it can't be.
    Refused {
        /// Such as `queues[3] ('orders' in vhost '/')`.
        place: String,
        /// RabbitMQ's reason: a text, or JSON such as `["no_such_vhost","v"]`.
        reason: Value,
    },
    /// Something in it refers to something that is neither in it nor here.
    Dangling {
        /// As in [`ImportError::Refused`].
        place: String,
        /// What is missing.
        reason: Value,
    },
    /// Something in it is of a kind that this broker does not have.
    Unsupported {
        /// As in [`ImportError::Refused`].
        place: String,
        /// What it is.
        reason: Value,
    },
    /// Several things in it can't be.
    Several(Vec<ImportError>),
    /// The disk failed.
    NotStored {
        /// The first thing that is not on stable storage.
        place: String,
        /// Why not.
        error: StoreError,
    },
}

/// `liebre/definitions`: an import that can be only a check, or leave out what is not supported, and says what that is.
/// A route of our own, because RabbitMQ would import whatever a query says that it does not know.
pub(super) async fn answer_own(request: &Request) -> Answered {
    request.require(Right::Administrator)?;
    let flags = request.strict_flags(["dry_run", "skip_unsupported", "skip_if_unchanged"])?;
    let [is_dry_run, skips_unsupported, skips_unchanged] = flags;
    let manner = Manner { is_dry_run, skips_unsupported, skips_unchanged };
    Ok(Answer::Object(match import_or_log(request, &request.body, None, manner).await? {
        Imported::Done(notes) => notes.answer(),
        Imported::Unchanged => json!({ "skipped": [], "unchanged": true }),
    }))
}

/// `definitions`, `definitions/{vhost}`, `all-configuration`
pub(super) async fn answer(request: &Request, names: &[&str]) -> Answered {
    request.require(Right::Administrator)?;
    match (names, &request.method) {
        ([], &Method::GET) => {
            let node = Arc::clone(&request.api.node);
            Ok(download(request, request.aside(move || export::all(&node)).await?))
        }
        ([vhost], &Method::GET) => {
            let vhost = request.broker().vhost(vhost);
            let vhost = vhost.ok_or_else(|| HttpError::bad_request("vhost_not_found"))?;
            let node = Arc::clone(&request.api.node);
            Ok(download(request, request.aside(move || export::of_vhost(&node.broker, &vhost)).await?))
        }
        ([], &Method::POST) => upload(request, None).await,
        ([vhost], &Method::POST) => {
            let vhost = request.broker().vhost(vhost);
            let vhost = vhost.ok_or_else(|| HttpError::NotFound("vhost_not_found".to_owned()))?;
            upload(request, Some(vhost.name())).await
        }
        _ => Err(HttpError::ObjectNotFound),
    }
}

/// Imports files before anybody can reach the broker, one after another; each as a whole or not at all.
pub async fn import_at_start(loaded: &Loaded) -> Result<(), StartError> {
    let definitions = loaded.definition_files();
    let files = definitions.read().map_err(StartError::Definitions)?;
    let imported = import_files(loaded.node(), &files, definitions).await;
    imported.map_err(StartError::Definitions)
}

/// The error names the file.
async fn import_files(node: &Node, files: &[DefinitionFile], of: &DefinitionFiles) -> Result<(), String> {
    let hash = hash(files.iter().map(|file| file.text.as_slice()));
    if files.is_empty() || of.skip_if_unchanged && is_imported(&node.broker, &hash, of.skip_unsupported) {
        return Ok(());
    }
    let mut is_in_part = false;
    for DefinitionFile { path, text } in files {
        let path = path.display();
        let manner = Manner { skips_unsupported: of.skip_unsupported, ..Manner::default() };
        let imported = import(node, text, None, manner).await;
        let imported = imported.map_err(|error| format!("{path}: {}", error.with_advice(ADVICE_AT_START)))?;
        if let Imported::Done(notes) = imported {
            notes.warn(&path.to_string());
            is_in_part |= !notes.skipped.is_empty();
            tracing::info!("imported definitions of {path} ({})", notes.counts);
        }
    }
    match of.skip_if_unchanged {
        true => note_imported(&node.broker, &hash, is_in_part).await.map_err(|error| error.to_string()),
        false => Ok(()),
    }
}

/// Imports a text, as a whole or not at all.
async fn import(
    node: &Node,
    text: &[u8],
    target: Option<&Name>,
    manner: Manner,
) -> Result<Imported, ImportError> {
    let looks_for_changes = manner.skips_unchanged && !manner.is_dry_run;
    let hash = looks_for_changes.then(|| hash(std::iter::once(text)));
    let is_last = |hash: &str| is_imported(&node.broker, hash, manner.skips_unsupported);
    if hash.as_deref().is_some_and(is_last) {
        return Ok(Imported::Unchanged);
    }
    let (checked, notes) = Checked::check(node, parse(text)?, target, manner.skips_unsupported)?;
    if manner.is_dry_run {
        return Ok(Imported::Done(notes));
    }
    checked.apply(node).await?;
    if let Some(hash) = hash {
        note_imported(&node.broker, &hash, !notes.skipped.is_empty()).await?;
    }
    Ok(Imported::Done(notes))
}

fn hash<'a>(texts: impl Iterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    format!("{:x}", hash.finalize())
}

/// Whether these were imported last: in part is enough for who does not want more.
fn is_imported(broker: &Broker, hash: &str, in_part: bool) -> bool {
    let imported = broker.global_parameter(IMPORTED);
    let imported = imported.and_then(|value| serde_json::from_str::<String>(&value).ok());
    imported.is_some_and(|imported| match imported.strip_suffix(IN_PART) {
        Some(imported) => in_part && imported == hash,
        None => imported == hash,
    })
}

async fn note_imported(broker: &Broker, hash: &str, in_part: bool) -> Result<(), ImportError> {
    let hash = format!("{hash}{}", if in_part { IN_PART } else { "" });
    let parameter = GlobalParameter { name: Name::literal(IMPORTED), value: Value::from(hash).to_string() };
    let (_, ticket) = broker.put_global_parameter(parameter);
    apply::stored(ticket).await
}

/// Nothing at all is no definitions.
fn parse(text: &[u8]) -> Result<Map<String, Value>, ImportError> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    if text.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(ImportError::NotDefinitions("not a JSON object".to_owned())),
        Err(error) => Err(ImportError::NotDefinitions(format!("not JSON: {error}"))),
    }
}

fn download(request: &Request, object: Value) -> Answer {
    let name = request.parameter("download");
    let name = name.filter(|name| name.bytes().all(is_of_token));
    Answer::Download(object, name)
}

/// What the name of a downloaded file may have in it (RFC 9110's tokens).
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The body is the definitions, or a form with the part `file`.
async fn upload(request: &Request, target: Option<&Name>) -> Answered {
    let content_type =
        request.headers.get(header::CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or(""));
    let form = multipart::boundary(content_type).map(|boundary| multipart::parts(&request.body, boundary));
    let part = |name: &str| form.as_ref().and_then(|parts| parts.iter().find(|part| part.name == name));
    let text = match &form {
        None => &request.body[..],
        Some(_) => part("file").ok_or_else(not_json)?.body,
    };
    let manner = Manner { skips_unchanged: request.has_flag("skip_if_unchanged"), ..Manner::default() };
    import_or_log(request, text, target, manner).await?;
    match part("redirect").and_then(|part| std::str::from_utf8(part.body).ok()) {
        Some(location) => Ok(Answer::SeeOther(location.to_owned())),
        None => Ok(Answer::Done),
    }
}

/// What became of it is in the log, too.
async fn import_or_log(
    request: &Request,
    text: &[u8],
    target: Option<&Name>,
    manner: Manner,
) -> Result<Imported, HttpError> {
    let imported = import(request.node(), text, target, manner).await.map_err(|error| {
        tracing::error!("definitions not imported: {error} (by {})", request.asker());
        match error {
            ImportError::NotDefinitions(_) => not_json(),
            ImportError::NotStored { .. } => HttpError::Internal(error.to_string()),
            _ => HttpError::bad_request(error.with_advice(ADVICE)),
        }
    })?;
    if let (Imported::Done(notes), false) = (&imported, manner.is_dry_run) {
        notes.warn("definitions");
        tracing::info!("imported definitions ({}) (by {})", notes.counts, request.asker());
    }
    Ok(imported)
}

fn not_json() -> HttpError {
    HttpError::bad_request("failed_to_parse_json")
}

impl ImportError {
    /// Whether all that is wrong is that this broker lacks something.
    fn is_unsupported(&self) -> bool {
        match self {
            Self::Unsupported { .. } => true,
            Self::Several(errors) => errors.iter().all(Self::is_unsupported),
            _ => false,
        }
    }

    /// With what can be done about it, if that is of use here.
    fn with_advice(&self, advice: &str) -> String {
        match (self.is_unsupported(), self) {
            (true, Self::Several(_)) => format!("{self}\n{advice}"),
            (true, _) => format!("{self}. {advice}"),
            (false, _) => self.to_string(),
        }
    }

    /// Without advice.
    fn line(&self) -> String {
        match self {
            Self::NotDefinitions(reason) => reason.clone(),
            Self::NotStored { place, error } => one_line(&format!("{place} is not stored: {error}")),
            Self::Refused { place, reason }
            | Self::Dangling { place, reason }
            | Self::Unsupported { place, reason } => {
                let text = match (reason.as_str(), reason[0].as_str(), reason[1].as_str()) {
                    (Some(text), ..) => text.replace("\n\n", ": ").replace('\n', " "),
                    (None, Some("no_such_vhost"), Some(vhost)) => format!("there is no vhost '{vhost}'"),
                    (None, Some("no_such_user"), Some(user)) => format!("there is no user '{user}'"),
                    _ => reason.to_string(),
                };
                // Where the reason is ours it says so itself.
                let place =
                    if text.starts_with(place.as_str()) { String::new() } else { format!("{place}: ") };
                one_line(&format!("{place}{}", text.trim()))
            }
            Self::Several(errors) => {
                let mut lines: Vec<String> = errors.iter().take(SHOWN_MAX).map(Self::line).collect();
                if errors.len() > SHOWN_MAX {
                    lines.push(format!("and {} more", errors.len() - SHOWN_MAX));
                }
                format!("{} of the definitions can't be imported:\n{}", errors.len(), lines.join("\n"))
            }
        }
    }
}

/// For logs: a line, or one for each thing that is wrong.
impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())
    }
}
