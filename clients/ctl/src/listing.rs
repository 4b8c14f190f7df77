//! Commands that list: their columns, and rows out of the API's objects.

use serde_json::Value;

use crate::exit::UsageError;
use crate::format::{Table, Term};

/// A column and where the API has its value.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The name on the command line and above the column.
    pub name: &'static str,
    /// The field of the API's object, with dots between levels.
    pub field: &'static str,
    /// What kind of term the value is.
    pub term: fn(&Value) -> Term,
}

/// What a command can list.
#[derive(Clone, Copy, Debug)]
pub struct Listing {
    /// All columns.
    pub columns: &'static [Column],
    /// The columns shown when none are named.
    pub shown: &'static [&'static str],
    /// Are columns always shown in the order of `columns`, whatever the order on the command line?
    pub is_ordered: bool,
    /// See [`Table::is_whole`].
    pub is_whole: bool,
}

impl Column {
    /// A column of text, numbers or booleans, in the field of the same name.
    pub const fn plain(name: &'static str) -> Self {
        Self { name, field: name, term: Term::plain }
    }

    /// A column of names: a state, a type, tags.
    pub const fn atoms(name: &'static str) -> Self {
        Self { name, field: name, term: Term::atoms }
    }

    /// A column of AMQP arguments.
    pub const fn arguments(name: &'static str) -> Self {
        Self { name, field: name, term: Term::arguments }
    }

    /// The same column, out of another field.
    pub const fn from(mut self, field: &'static str) -> Self {
        self.field = field;
        self
    }

    fn cell(&self, object: &Value) -> Term {
        let value = self.field.split('.').try_fold(object, |value, name| value.get(name));
        (self.term)(value.unwrap_or(&Value::Null))
    }
}

impl Listing {
    /// The columns named on the command line, each once; names may also be joined by commas.
    pub fn select(&self, names: &[String]) -> Result<Vec<&'static Column>, UsageError> {
        let named: Vec<&str> =
            names.iter().flat_map(|name| name.split([',', ' '])).filter(|n| !n.is_empty()).collect();
        let mut unknown: Vec<&str> = named.iter().copied().filter(|name| self.find(name).is_none()).collect();
        if !unknown.is_empty() {
            unknown.sort_unstable();
            unknown.dedup();
            return Err(UsageError::new(format!("Info key(s) {} are not supported", unknown.join(","))));
        }
        let wanted = if names.is_empty() { self.shown } else { &named[..] };
        if self.is_ordered {
            return Ok(self.columns.iter().filter(|column| wanted.contains(&column.name)).collect());
        }
        let mut columns: Vec<&'static Column> = Vec::new();
        for column in wanted.iter().filter_map(|name| self.find(name)) {
            if columns.iter().all(|other| other.name != column.name) {
                columns.push(column);
            }
        }
        Ok(columns)
    }

    /// A row per object.
    pub fn table(&self, columns: &[&'static Column], objects: &[Value]) -> Table {
        let row = |object: &Value| columns.iter().map(|column| column.cell(object)).collect();
        Table {
            columns: columns.iter().map(|column| column.name).collect(),
            rows: objects.iter().map(row).collect(),
            is_whole: self.is_whole,
        }
    }

    /// The names of all columns in alphabetical order, for the help.
    pub fn names(&self) -> String {
        let mut names: Vec<_> = self.columns.iter().map(|column| column.name).collect();
        names.sort_unstable();
        names.join(", ")
    }

    fn find(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: Listing = Listing {
        columns: &[
            Column::plain("name"),
            Column::plain("count").from("stats.count"),
            Column::plain("policy"),
        ],
        shown: &["name"],
        is_ordered: false,
        is_whole: false,
    };

    fn select(listing: &Listing, names: &[&str]) -> Result<Vec<&'static str>, String> {
        let names: Vec<_> = names.iter().map(|name| name.to_string()).collect();
        let columns = listing.select(&names).map_err(|error| error.problem)?;
        Ok(columns.iter().map(|column| column.name).collect())
    }

    #[test]
    fn columns_are_selected_once_in_the_order_named() {
        assert_eq!(select(&LISTING, &[]).unwrap(), ["name"]);
        assert_eq!(
            select(&LISTING, &["policy,count", "name", "policy"]).unwrap(),
            ["policy", "count", "name"]
        );
        let ordered = Listing { is_ordered: true, ..LISTING };
        assert_eq!(select(&ordered, &["policy", "name"]).unwrap(), ["name", "policy"]);
        assert_eq!(select(&LISTING, &["z", "name", "a"]).unwrap_err(), "Info key(s) a,z are not supported");
        assert!(select(&LISTING, &[""]).unwrap().is_empty());
    }

    #[test]
    fn values_come_from_fields_and_may_be_missing() {
        let columns = LISTING.select(&["name".into(), "count".into(), "policy".into()]).unwrap();
        let object = serde_json::json!({"name": "q", "stats": {"count": 3}});
        let table = LISTING.table(&columns, &[object]);
        let texts: Vec<_> = table.rows[0].iter().map(Term::text).collect();
        assert_eq!(texts, ["q", "3", ""]);
    }
}
