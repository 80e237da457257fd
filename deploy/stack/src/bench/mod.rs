//! Measurements of `cargo stack bench`, one module for each service: what was measured, what it is to be, and whether it
//! is. Ratios are of one run, because the machine does other things, too.

mod caller;
mod connection;
mod counterpart;
mod cryptography;
pub(crate) mod journal;
mod load;
mod questions;
pub(crate) mod vault;

use std::fmt::Write as _;

/// What was measured, in the order in which it was.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

struct Row {
    what: String,
    measured: String,
    target: String,
    /// `None`: there is no target.
    reached: Option<bool>,
}

impl Table {
    /// A number that has to be in some range.
    pub(crate) fn judge(&mut self, what: &str, measured: String, target: &str, reached: bool) {
        self.add(what, measured, target, Some(reached));
    }

    /// A number for those who read it.
    pub(crate) fn tell(&mut self, what: &str, measured: String) {
        self.add(what, measured, "", None);
    }

    fn add(&mut self, what: &str, measured: String, target: &str, reached: Option<bool>) {
        self.0.push(Row {
            what: what.to_owned(),
            measured,
            target: target.to_owned(),
            reached,
        });
    }

    pub(crate) fn is_reached(&self) -> bool {
        self.0.iter().all(|row| row.reached != Some(false))
    }

    pub(crate) fn shown(&self) -> String {
        let width = |of: fn(&Row) -> &str| {
            let widths = self.0.iter().map(|row| of(row).chars().count());
            widths.max().unwrap_or_default()
        };
        let (what, measured) = (width(|row| &row.what), width(|row| &row.measured));
        let target = width(|row| &row.target);
        let mut shown = String::from("\n");
        for row in &self.0 {
            let verdict = match row.reached {
                Some(true) => "reached",
                Some(false) => "MISSED",
                None => "",
            };
            let line = format!(
                "{:<what$}  {:>measured$}  {:<target$}  {verdict}",
                row.what, row.measured, row.target
            );
            let _ = writeln!(shown, "{}", line.trim_end());
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_missed_target_is_enough_and_numbers_without_one_miss_none() {
        let mut table = Table::default();
        table.tell("singles", "1 /s".to_owned());
        table.judge("wrap", "1.5 µs".to_owned(), "<= 2 µs", true);
        assert!(table.is_reached());
        table.judge("memory", "31.0 MiB".to_owned(), "<= 30 MiB", false);
        assert!(!table.is_reached());
        let lines: Vec<_> = table.shown().lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "",
                "singles      1 /s",
                "wrap       1.5 µs  <= 2 µs    reached",
                "memory   31.0 MiB  <= 30 MiB  MISSED",
            ]
        );
    }
}
