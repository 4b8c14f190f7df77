//! A table with lines drawn around its cells.

use std::io::{self, Write};

/// Writes the head and the rows, a line between any two.
pub fn write(columns: &[&str], rows: &[Vec<String>], is_bold: bool, out: &mut dyn Write) -> io::Result<()> {
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.chain([columns[at].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    writeln!(out, "{}", line(&widths, ["┌", "┬", "┐"]))?;
    let names: Vec<_> = columns.iter().map(|name| name.to_string()).collect();
    writeln!(out, "{}", cells(&names, &widths, is_bold))?;
    for row in rows {
        writeln!(out, "{}", line(&widths, ["├", "┼", "┤"]))?;
        writeln!(out, "{}", cells(row, &widths, false))?;
    }
    writeln!(out, "{}", line(&widths, ["└", "┴", "┘"]))
}

fn line(widths: &[usize], [left, middle, right]: [&str; 3]) -> String {
    let parts: Vec<_> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
    format!("{left}{}{right}", parts.join(middle))
}

fn cells(texts: &[String], widths: &[usize], is_bold: bool) -> String {
    let (on, off) = if is_bold { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let cell = |(text, width): (&String, &usize)| {
        let filling = " ".repeat(width - text.chars().count());
        format!(" {on}{text}{off}{filling} ")
    };
    let cells: Vec<_> = texts.iter().zip(widths).map(cell).collect();
    format!("│{}│", cells.join("│"))
}
