//! How answers of commands look: tables for people, JSON for scripts, times in RFC 3339.

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Columns as wide as what is in them, under their names.
pub(super) fn table<const COLUMNS: usize>(
    names: [&str; COLUMNS],
    rows: impl Iterator<Item = [String; COLUMNS]>,
) -> String {
    let mut lines = vec![names.map(str::to_owned)];
    lines.extend(rows);
    let mut widths = [0; COLUMNS];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut table = String::new();
    for line in lines {
        let cells = line.iter().zip(widths);
        let padded: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        table.push_str(padded.join("  ").trim_end());
        table.push('\n');
    }
    table
}

/// One JSON document and the end of its line.
pub(super) fn json(answer: &impl Serialize) -> String {
    let mut json = serde_json::to_string_pretty(answer).expect("texts and numbers are always JSON");
    json.push('\n');
    json
}

/// Whole seconds, in UTC.
pub(super) fn moment(moment: Option<OffsetDateTime>) -> Option<String> {
    let whole = moment.and_then(|moment| moment.replace_nanosecond(0).ok());
    whole.and_then(|moment| moment.format(&Rfc3339).ok())
}

/// For a table.
pub(super) fn when(moment: Option<&str>) -> String {
    moment.unwrap_or("-").to_owned()
}
