//! Tables for people: columns as wide as they must be, colours only where they are seen.
use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::cli::answer::harmless;

/// Whether colours are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    /// They are.
    Shown,
    /// They are not.
    None,
}

impl Colours {
    /// On a terminal, unless `NO_COLOR` (no-color.org) or a terminal that knows none says otherwise.
    pub(super) fn of(is_terminal: bool, environment: &BTreeMap<String, String>) -> Self {
        let refused = environment.get("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = environment.get("TERM").is_some_and(|value| value == "dumb");
        if is_terminal && !refused && !dumb { Self::Shown } else { Self::None }
    }

    /// A word that tells how something is, in its colour.
    fn painted(self, word: &str) -> String {
        let code = match (self, word.trim_end()) {
            (Self::Shown, "completed" | "healthy" | "stopped") => "32",
            (Self::Shown, "failed" | "timeout" | "unhealthy" | "got_through") => "31",
            (Self::Shown, "cancelled" | "degraded" | "unexpected" | "not_tried") => "33",
            (Self::Shown, "running" | "pending") => "36",
            (Self::Shown | Self::None, _) => return word.to_owned(),
        };
        format!("\u{1b}[{code}m{word}\u{1b}[0m")
    }
}

/// Lines with a head; two spaces between columns, none at the end of a line.
pub(super) fn table(head: &[&str], rows: &[Vec<String>], colours: Colours) -> String {
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    let clean = |row: &Vec<String>| row.iter().map(|cell| harmless(cell).replace('\n', " ")).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(clean).collect();
    let width = |column: usize| {
        let cells = std::iter::once(&head).chain(&rows).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = line(&head, &widths, Colours::None);
    for row in &rows {
        text.push_str(&line(row, &widths, colours));
    }
    text
}

/// Names and values, one pair a line.
pub(super) fn pairs(pairs: &[(&str, String)], colours: Colours) -> String {
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in pairs {
        text.push_str(&line(&[(*name).to_owned(), harmless(value)], &[width, 0], colours));
    }
    text
}

fn line(cells: &[String], widths: &[usize], colours: Colours) -> String {
    let mut text = String::new();
    let last = cells.iter().rposition(|cell| !cell.is_empty()).unwrap_or(0);
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate().take(last + 1) {
        let width = if index == last { 0 } else { width + 2 };
        // Writing to a String does not fail.
        if write!(text, "{}", colours.painted(&format!("{cell:width$}"))).is_err() {
            text.push('?');
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod test {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [row(&["job_1", "é", "x"]), row(&["j", "running", ""])];
        let expected = "JOB    STATUS   C\njob_1  é        x\nj      running\n";
        assert_eq!(table(&["JOB", "STATUS", "C"], &rows, Colours::None), expected);
    }

    #[test]
    fn colours_do_not_change_the_columns() {
        let painted = table(&["A", "B"], &[row(&["failed", "x"])], Colours::Shown);
        assert_eq!(painted, "A       B\n\u{1b}[31mfailed  \u{1b}[0mx\n");
    }

    #[test]
    fn a_cell_is_one_line_and_steers_no_terminal() {
        let text = table(&["A"], &[row(&["a\nb\u{1b}c"])], Colours::None);
        assert_eq!(text, "A\na b\u{fffd}c\n");
    }

    #[test]
    fn pairs_stand_in_two_columns() {
        assert_eq!(pairs(&[("a", String::from("1")), ("bcd", String::from("2"))], Colours::None), "a    1\nbcd  2\n");
    }

    #[test]
    fn colours_need_a_terminal_that_wants_them() {
        let of = |is_terminal, name: &str, value: &str| {
            Colours::of(is_terminal, &[(name.to_owned(), value.to_owned())].into_iter().collect())
        };
        assert_eq!(of(true, "TERM", "xterm"), Colours::Shown);
        assert_eq!(of(true, "NO_COLOR", ""), Colours::Shown);
        for (is_terminal, name, value) in [(false, "A", ""), (true, "NO_COLOR", "1"), (true, "TERM", "dumb")] {
            assert_eq!(of(is_terminal, name, value), Colours::None);
        }
    }
}
