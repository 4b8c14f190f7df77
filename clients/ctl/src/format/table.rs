//! Rows under named columns, in every formatter's form.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::{Formatter, Term, erlang, pretty};

/// The result of a listing.
#[derive(Clone, Debug)]
pub struct Table {
    /// The names of the columns.
    pub columns: Vec<&'static str>,
    /// A cell per column.
    pub rows: Vec<Vec<Term>>,
    /// Does a table without rows print an empty line? RabbitMQ's tools do so for what they fetch in one piece (users,
    /// vhosts, permissions), and print nothing for what they fetch row by row.
    pub is_whole: bool,
}

impl Table {
    /// Writes the table; `has_headers` is about the line of column names in the tab-separated form.
    pub fn write(
        &self,
        formatter: Formatter,
        has_headers: bool,
        is_bold: bool,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        match formatter {
            Formatter::Table => self.write_tabs(has_headers, out),
            Formatter::PrettyTable => self.write_pretty(is_bold, out),
            Formatter::Json => self.write_json(out),
            Formatter::JsonStream => {
                self.rows.iter().try_for_each(|row| writeln!(out, "{}", self.object(row)))
            }
            Formatter::Csv => self.write_csv(out),
            Formatter::Erlang => self.write_erlang(out),
        }
    }

    fn write_tabs(&self, has_headers: bool, out: &mut dyn Write) -> io::Result<()> {
        if self.is_empty() {
            return if self.is_whole { writeln!(out) } else { Ok(()) };
        }
        if has_headers {
            writeln!(out, "{}", self.columns.join("\t"))?;
        }
        for row in &self.rows {
            writeln!(out, "{}", texts(row).join("\t"))?;
        }
        Ok(())
    }

    fn write_pretty(&self, is_bold: bool, out: &mut dyn Write) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = self.rows.iter().map(|row| texts(row)).collect();
        pretty::write(&self.columns, &rows, is_bold, out)
    }

    fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "[")?;
        for (at, row) in self.rows.iter().enumerate() {
            writeln!(out, "{}{}", if at == 0 { "" } else { "," }, self.object(row))?;
        }
        writeln!(out, "]")
    }

    fn write_csv(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let quoted = |cells: Vec<String>| {
            cells
                .iter()
                .map(|cell| format!("\"{}\"", cell.replace('"', "\"\"")))
                .collect::<Vec<_>>()
                .join(",")
        };
        writeln!(out, "{}", quoted(self.columns.iter().map(|name| name.to_string()).collect()))?;
        self.rows.iter().try_for_each(|row| writeln!(out, "{}", quoted(texts(row))))
    }

    fn write_erlang(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows = self.rows.iter().map(|row| {
            let pairs = self.columns.iter().zip(row);
            let pairs = pairs.map(|(name, term)| format!("{{{},{}}}", erlang::atom(name), term.erlang()));
            format!("[{}]", pairs.collect::<Vec<_>>().join(","))
        });
        writeln!(out, "[{}]", rows.collect::<Vec<_>>().join(",\n "))
    }

    fn object(&self, row: &[Term]) -> Value {
        let fields = self.columns.iter().zip(row).map(|(name, term)| (name.to_string(), term.json()));
        Value::Object(fields.collect::<Map<_, _>>())
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() || self.columns.is_empty()
    }
}

fn texts(row: &[Term]) -> Vec<String> {
    row.iter().map(Term::text).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn check(formatter: Formatter, expected: Expect) {
        let table = Table {
            columns: vec!["name", "messages", "arguments"],
            rows: vec![
                vec![Term::plain(&json!("esp ñ \"q\"")), Term::plain(&json!(0)), Term::arguments(&json!({}))],
                vec![Term::plain(&json!("a")), Term::Empty, Term::arguments(&json!({"x-message-ttl": 1000}))],
            ],
            is_whole: true,
        };
        let mut out = Vec::new();
        table.write(formatter, true, false, &mut out).unwrap();
        expected.assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn every_formatter() {
        check(
            Formatter::Table,
            expect![[r#"
                name	messages	arguments
                esp ñ "q"	0	[]
                a		[{"x-message-ttl",1000}]
            "#]],
        );
        check(
            Formatter::PrettyTable,
            expect![[r#"
                ┌───────────┬──────────┬──────────────────────────┐
                │ name      │ messages │ arguments                │
                ├───────────┼──────────┼──────────────────────────┤
                │ esp ñ "q" │ 0        │ []                       │
                ├───────────┼──────────┼──────────────────────────┤
                │ a         │          │ [{"x-message-ttl",1000}] │
                └───────────┴──────────┴──────────────────────────┘
            "#]],
        );
        check(
            Formatter::Json,
            expect![[r#"
                [
                {"name":"esp ñ \"q\"","messages":0,"arguments":{}}
                ,{"name":"a","messages":"","arguments":{"x-message-ttl":1000}}
                ]
            "#]],
        );
        check(
            Formatter::JsonStream,
            expect![[r#"
                {"name":"esp ñ \"q\"","messages":0,"arguments":{}}
                {"name":"a","messages":"","arguments":{"x-message-ttl":1000}}
            "#]],
        );
        check(
            Formatter::Csv,
            expect![[r#"
                "name","messages","arguments"
                "esp ñ ""q""","0","[]"
                "a","","[{""x-message-ttl"",1000}]"
            "#]],
        );
        check(
            Formatter::Erlang,
            expect![[r#"
                [[{name,<<"esp ñ \"q\""/utf8>>},{messages,0},{arguments,[]}],
                 [{name,<<"a">>},{messages,''},{arguments,[{<<"x-message-ttl">>,long,1000}]}]]
            "#]],
        );
    }

    #[test]
    fn without_rows() {
        let cases = [
            (Formatter::Table, true, "\n"),
            (Formatter::Table, false, ""),
            (Formatter::PrettyTable, true, ""),
            (Formatter::Json, true, "[\n]\n"),
            (Formatter::JsonStream, true, ""),
            (Formatter::Csv, true, ""),
            (Formatter::Erlang, true, "[]\n"),
        ];
        for (formatter, is_whole, expected) in cases {
            let mut out = Vec::new();
            let table = Table { columns: vec!["name"], rows: Vec::new(), is_whole };
            table.write(formatter, true, false, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{formatter:?}");
        }
    }
}
