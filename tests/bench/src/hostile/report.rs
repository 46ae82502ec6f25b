//! The table of attacks: what each has cost, beside the bound that it must stay below.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::peer::Codes;
use super::watch::Spent;
use crate::outcome::{Context as _, Outcome};
use crate::stats::float;

/// What stands before and behind the table of a page.
const BEGIN: &str = "<!-- The table begins: written by `make hostile`. -->";
const END: &str = "<!-- The table ends. -->";

/// A figure and its bound.
#[derive(Clone, Debug)]
pub(super) struct Check {
    what: &'static str,
    measured: f64,
    bound: f64,
    unit: &'static str,
    is_floor: bool,
}

impl Check {
    pub(super) fn at_most(
        what: &'static str,
        measured: f64,
        bound: f64,
        unit: &'static str,
    ) -> Self {
        Self {
            what,
            measured,
            bound,
            unit,
            is_floor: false,
        }
    }

    pub(super) fn at_least(
        what: &'static str,
        measured: f64,
        bound: f64,
        unit: &'static str,
    ) -> Self {
        Self {
            is_floor: true,
            ..Self::at_most(what, measured, bound, unit)
        }
    }

    /// Processor time, in milliseconds.
    pub(super) fn cpu(cpu: Duration, most_millis: f64) -> Self {
        Self::at_most("CPU", cpu.as_secs_f64() * 1e3, most_millis, "ms")
    }

    /// Memory above what there was, in bytes, and the bound in MiB.
    pub(super) fn memory(bytes: u64, most_mib: f64) -> Self {
        Self::at_most("memory", mib(bytes), most_mib, "MiB")
    }

    fn is_met(&self) -> bool {
        if self.is_floor {
            self.measured >= self.bound
        } else {
            self.measured <= self.bound
        }
    }

    fn show(&self) -> String {
        let Self {
            what, bound, unit, ..
        } = self;
        let sign = if self.is_floor { "≥" } else { "≤" };
        let verdict = if self.is_met() { "" } else { " **BROKEN**" };
        let space = if unit.is_empty() { "" } else { " " };
        let (measured, bound) = (number(self.measured), number(*bound));
        format!("{what} {measured} {sign} {bound}{space}{unit}{verdict}")
    }
}

/// One attack.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) attack: String,
    pub(super) cpu: Duration,
    /// Bytes above what there was before, at the peak.
    pub(super) memory: u64,
    /// Bytes that came back.
    pub(super) answered: u64,
    /// Until a refusal, or the end of a connection.
    pub(super) refused_after: Option<Duration>,
    pub(super) codes: String,
    /// A neighbour's p99 in quiet and under the attack, in milliseconds.
    pub(super) neighbour: Option<[f64; 2]>,
    pub(super) checks: Vec<Check>,
}

impl Row {
    pub(super) fn new(attack: impl Into<String>, spent: Spent, codes: &Codes) -> Self {
        Self {
            attack: attack.into(),
            cpu: spent.cpu,
            memory: spent.memory,
            codes: codes.show(),
            ..Self::default()
        }
    }

    /// The cells but for the name and the bounds.
    fn cells(&self) -> [String; 6] {
        let neighbour = |[quiet, under]: [f64; 2]| format!("{} → {}", number(quiet), number(under));
        [
            number(self.cpu.as_secs_f64() * 1e3),
            number(mib(self.memory)),
            bytes(self.answered),
            self.refused_after
                .map_or_else(|| "-".to_owned(), |after| number(after.as_secs_f64() * 1e3)),
            self.codes.clone(),
            self.neighbour.map_or_else(|| "-".to_owned(), neighbour),
        ]
    }

    fn bounds(&self) -> String {
        let checks = self.checks.iter().map(Check::show);
        checks.collect::<Vec<_>>().join("; ")
    }
}

/// A group of attacks on one server.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) rows: Vec<Row>,
}

/// How many bounds are broken.
pub(super) fn broken(groups: &[Group]) -> usize {
    let rows = groups.iter().flat_map(|group| &group.rows);
    let checks = rows.flat_map(|row| &row.checks);
    checks.filter(|check| !check.is_met()).count()
}

/// The names of the columns but for the first and the last.
const COLUMNS: [&str; 6] = [
    "CPU ms",
    "memory MiB",
    "answered",
    "refused after ms",
    "codes",
    "neighbour's p99 ms",
];

/// The table for a terminal.
pub(super) fn text(groups: &[Group]) -> Outcome<String> {
    let mut out = String::new();
    for Group { title, rows } in groups {
        let [cpu, memory, answered, after, codes, p99] = COLUMNS;
        write!(out, "\n{title:<50}{cpu:>10}{memory:>12}{answered:>12}")?;
        writeln!(out, "{after:>18}  {codes:<40}{p99:>20}  bounds")?;
        for row in rows {
            let [cpu, memory, answered, after, codes, p99] = row.cells();
            write!(out, "{:<50}{cpu:>10}{memory:>12}{answered:>12}", row.attack)?;
            writeln!(out, "{after:>18}  {codes:<40}{p99:>20}  {}", row.bounds())?;
        }
    }
    Ok(out)
}

/// Writes the tables into a page, in the place of those that it has.
pub(super) fn write_page(page: &Path, groups: &[Group], machine: &str) -> Outcome<()> {
    let text = std::fs::read_to_string(page).context(format_args!("no page {}", page.display()))?;
    let parts = text.split_once(BEGIN);
    let parts = parts.and_then(|(head, rest)| Some((head, rest.split_once(END)?.1)));
    let (head, foot) = parts.context("the page has no place for the table")?;
    let mut table = format!("\n{machine}\n");
    for Group { title, rows } in groups {
        write!(
            table,
            "\n### {title}\n\n| attack | {} | bounds |\n",
            COLUMNS.join(" | ")
        )?;
        table.push_str("|---|--:|--:|--:|--:|---|--:|---|\n");
        for row in rows {
            let cells = row.cells().join(" | ");
            writeln!(table, "| {} | {cells} | {} |", row.attack, row.bounds())?;
        }
    }
    let text = format!("{head}{BEGIN}\n{table}\n{END}{foot}");
    std::fs::write(page, text).context(format_args!("cannot write {}", page.display()))
}

/// A byte count in MiB.
pub(super) fn mib(bytes: u64) -> f64 {
    float(bytes) / f64::from(1 << 20)
}

fn bytes(count: u64) -> String {
    match count {
        0..=9_999 => format!("{count} B"),
        10_000..=9_999_999 => format!("{:.0} kB", float(count) / 1e3),
        _ => format!("{:.1} MB", float(count) / 1e6),
    }
}

/// To three digits, more or less.
fn number(value: f64) -> String {
    if value.fract() == 0.0 || value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(measured: f64) -> Vec<Group> {
        vec![Group {
            title: "Documents",
            rows: vec![Row {
                attack: "a bomb".into(),
                answered: 12_345,
                codes: "TIMEOUT".into(),
                checks: vec![
                    Check::at_most("CPU", measured, 1.0, "ms"),
                    Check::at_least("accepted", 1.0, 1.0, ""),
                ],
                ..Row::default()
            }],
        }]
    }

    #[test]
    fn a_broken_bound_is_counted_and_shown() {
        assert_eq!(broken(&groups(1.0)), 0);
        assert_eq!(broken(&groups(1.01)), 1);
        let text = text(&groups(1.01)).unwrap();
        assert!(
            text.contains("CPU 1.01 ≤ 1 ms **BROKEN**; accepted 1 ≥ 1"),
            "{text}"
        );
    }

    #[test]
    fn a_page_s_table_is_replaced_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("page.md");
        std::fs::write(&page, format!("before\n{BEGIN}\nold\n{END}\nbehind\n")).unwrap();
        for _ in 0..2 {
            write_page(&page, &groups(0.5), "2 cores").unwrap();
            let text = std::fs::read_to_string(&page).unwrap();
            assert!(
                text.starts_with("before\n") && text.ends_with("\nbehind\n"),
                "{text}"
            );
            assert!(text.contains("| a bomb | 0 | 0 | 12 kB | - | TIMEOUT | - | CPU 0.50 ≤ 1 ms"));
            assert!(!text.contains("old"));
            assert_eq!(text.matches("### Documents").count(), 1);
        }
        std::fs::write(&page, "no place").unwrap();
        assert!(write_page(&page, &groups(0.5), "").is_err());
    }
}
