//! Rows of named columns in any of the formats.

use std::io::{self, Write};

use serde_json::Value;

use super::{Format, escaped};

/// Rows by which the width of a table's columns is measured, before the first is written.
const ROWS_MEASURED: usize = 200;
/// Widest column of a table but the last, which is never cut: an id or a hash.
const COLUMN_CHARS_MAX: usize = 64;

/// Writes rows as they come.
pub(crate) struct Sheet<'a> {
    out: &'a mut dyn Write,
    format: Format,
    columns: &'a [&'a str],
    /// Rows of a table that are not yet written.
    waiting: Vec<Vec<String>>,
    widths: Vec<usize>,
    rows: u64,
}

impl<'a> Sheet<'a> {
    pub(crate) fn new(out: &'a mut dyn Write, format: Format, columns: &'a [&'a str]) -> io::Result<Self> {
        let mut sheet = Self { out, format, columns, waiting: Vec::new(), widths: Vec::new(), rows: 0 };
        match format {
            Format::Csv => {
                let header: Vec<Value> = columns.iter().map(|name| Value::from(*name)).collect();
                sheet.csv(&header)?;
            }
            Format::Table => {
                sheet.waiting.push(columns.iter().map(|name| name.to_uppercase().replace('_', " ")).collect());
            }
            Format::Json => sheet.out.write_all(b"[")?,
            Format::Jsonl => {}
        }
        Ok(sheet)
    }

    /// A row: a value for each column.
    pub(crate) fn row(&mut self, values: &[Value]) -> io::Result<()> {
        self.rows = self.rows.saturating_add(1);
        match self.format {
            Format::Csv => self.csv(values),
            Format::Json => {
                self.out.write_all(if self.rows == 1 { b"\n" } else { b",\n" })?;
                self.object(values)
            }
            Format::Jsonl => {
                self.object(values)?;
                self.out.write_all(b"\n")
            }
            Format::Table => {
                self.waiting.push(values.iter().map(|value| escaped(&cell(value))).collect());
                if self.waiting.len() >= ROWS_MEASURED || !self.widths.is_empty() {
                    self.write_waiting()
                } else {
                    Ok(())
                }
            }
        }
    }

    fn object(&mut self, values: &[Value]) -> io::Result<()> {
        // in the order of the columns
        for (at, (name, value)) in self.columns.iter().zip(values).enumerate() {
            write!(self.out, "{}\"{name}\":{value}", if at == 0 { "{" } else { "," })?;
        }
        self.out.write_all(b"}")
    }

    fn csv(&mut self, values: &[Value]) -> io::Result<()> {
        let mut writer = csv::WriterBuilder::new()
            .terminator(csv::Terminator::CRLF)
            .quote_style(csv::QuoteStyle::Always)
            .from_writer(Vec::new());
        let cells = values.iter().map(|value| {
            let text = cell(value);
            let is_formula = value.is_string() && text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
            if is_formula { format!("'{text}") } else { text }
        });
        writer.write_record(cells).map_err(io::Error::from)?;
        let row = writer.into_inner().map_err(|error| io::Error::from(error.error().kind()))?;
        self.out.write_all(&row)
    }

    fn write_waiting(&mut self) -> io::Result<()> {
        let rows = std::mem::take(&mut self.waiting);
        if self.widths.is_empty() {
            let widest = |column: usize| {
                rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
            };
            self.widths = (0..self.columns.len()).map(|column| widest(column).min(COLUMN_CHARS_MAX)).collect();
            if let Some(last) = self.widths.last_mut() {
                *last = usize::MAX;
            }
        }
        for row in rows {
            let padded: Vec<String> = row.iter().zip(&self.widths).map(|(cell, width)| fitted(cell, *width)).collect();
            writeln!(self.out, "{}", padded.join("  ").trim_end())?;
        }
        Ok(())
    }

    /// Writes what is waiting, and the end.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        match self.format {
            Format::Table if self.rows > 0 => self.write_waiting(),
            Format::Json => self.out.write_all(if self.rows == 0 { b"]\n" } else { b"\n]\n" }),
            Format::Table | Format::Jsonl | Format::Csv => Ok(()),
        }
    }
}

/// As wide as its column: filled with blanks, or cut, with a sign that there is more. The last column has no width.
fn fitted(cell: &str, width: usize) -> String {
    if width == usize::MAX {
        return cell.to_owned();
    }
    if cell.chars().count() > width {
        return cell.chars().take(width.saturating_sub(1)).chain(['…']).collect();
    }
    format!("{cell:width$}")
}

/// A value as a cell: a text is itself, a list its parts.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(parts) => {
            parts.iter().map(|(name, value)| format!("{name}: {}", cell(value))).collect::<Vec<_>>().join(", ")
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
