//! One object of a file of definitions: its fields, and where it stands.

use std::fmt;

use serde_json::Value;

use super::ImportError;
use crate::{
    http::{HttpError, body::RequestBody, deeds::quoted},
    model::{arguments::Arguments, name::Name},
};

/// An object in one of a file's lists.
#[derive(Debug)]
pub(super) struct Object {
    category: &'static str,
    index: usize,
    pub(super) fields: RequestBody,
}

impl Object {
    /// The objects of a list; none if the file has no such list.
    pub(super) fn list(category: &'static str, list: Option<Value>) -> Result<Vec<Self>, ImportError> {
        let values = match list {
            None => Vec::new(),
            Some(Value::Array(values)) => values,
            Some(_) => {
                return Err(ImportError::Refused {
                    place: category.to_owned(),
                    reason: format!("{category}: not an array").into(),
                });
            }
        };
        let object = |(index, value): (usize, Value)| match value {
            Value::Object(fields) => Ok(Self { category, index, fields: fields.into() }),
            _ => {
                let place = format!("{category}[{index}]");
                let reason = format!("{place}: not an object").into();
                Err(ImportError::Refused { place, reason })
            }
        };
        values.into_iter().enumerate().map(object).collect()
    }

    /// That something is wrong with it.
    pub(super) fn fail(&self, reason: impl Into<Value>) -> ImportError {
        ImportError::Refused { place: self.to_string(), reason: reason.into() }
    }

    /// That it refers to something that is neither in the file nor here.
    pub(super) fn dangle(&self, reason: impl Into<Value>) -> ImportError {
        ImportError::Dangling { place: self.to_string(), reason: reason.into() }
    }

    /// That it is of a kind that is not here.
    pub(super) fn lack(&self, reason: impl Into<Value>) -> ImportError {
        ImportError::Unsupported { place: self.to_string(), reason: reason.into() }
    }

    /// What the API's own way of reading such fields gave.
    pub(super) fn or_fail<T>(&self, result: Result<T, HttpError>) -> Result<T, ImportError> {
        result.map_err(|error| match error {
            HttpError::BadRequest(reason) => self.fail(reason),
            other => self.fail(other.body().map_or(Value::Null, |body| body["reason"].clone())),
        })
    }

    /// Refuses an object in which some of `fields` are missing.
    pub(super) fn require(&self, fields: &[&str]) -> Result<(), ImportError> {
        let missing = fields.iter().find(|field| self.fields.value(field).is_none());
        missing.map_or(Ok(()), |field| Err(self.missing(field)))
    }

    /// A text that has to be there.
    pub(super) fn text(&self, field: &str) -> Result<&str, ImportError> {
        self.or_fail(self.fields.text(field))?.ok_or_else(|| self.missing(field))
    }

    /// A name that has to be there.
    pub(super) fn name(&self, field: &str) -> Result<Name, ImportError> {
        self.to_name(field, self.text(field)?)
    }

    /// A name; an empty one when absent.
    pub(super) fn optional_name(&self, field: &str) -> Result<Name, ImportError> {
        self.to_name(field, self.or_fail(self.fields.text(field))?.unwrap_or_default())
    }

    /// A flag that has to be there.
    pub(super) fn flag(&self, field: &str) -> Result<bool, ImportError> {
        self.require(&[field])?;
        self.or_fail(self.fields.flag(field))
    }

    /// The `arguments`; none when absent.
    pub(super) fn arguments(&self) -> Result<Arguments, ImportError> {
        self.or_fail(self.fields.arguments())
    }

    fn to_name(&self, field: &str, text: &str) -> Result<Name, ImportError> {
        Name::parse(text).map_err(|_| self.fail(format!("{field} is longer than 255 bytes")))
    }

    fn missing(&self, field: &str) -> ImportError {
        self.fail(format!("{self}: the field '{field}' is missing"))
    }
}

/// As an operator finds it: `queues[3] ('orders' in vhost '/')`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |field: &str| self.fields.value(field).and_then(Value::as_str);
        write!(f, "{}[{}]", self.category, self.index)?;
        let name = ["name", "user", "source"].into_iter().find_map(text);
        match (name, text("vhost")) {
            (Some(name), Some(vhost)) => write!(f, " ({} in vhost {})", quoted(name), quoted(vhost)),
            (Some(name), None) => write!(f, " ({})", quoted(name)),
            (None, _) => Ok(()),
        }
    }
}
