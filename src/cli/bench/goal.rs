//! The ratios that kiln is to reach: each the median of its rounds, in which both sides were measured right after each
//! other. Pure.
use crate::cli::bench::load::Load;
use crate::cli::bench::measure::{Cell, Contestant};
use crate::cli::bench::peer::Peer;
use crate::cli::bench::sample::{Slice, median};
use crate::cli::bench::workload::Workload;

/// A ratio that was measured, and what it should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Goal {
    pub(super) name: &'static str,
    pub(super) bound: Bound,
    /// The median of all rounds.
    pub(super) ratio: f64,
    /// The smallest and the largest of a round.
    pub(super) range: (f64, f64),
}

/// What a ratio should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// One side of a ratio.
#[derive(Clone, Copy)]
struct Side {
    workload: Workload,
    load: fn(Load) -> bool,
    who: Contestant,
    figure: fn(&Slice) -> Option<f64>,
}

struct Row {
    name: &'static str,
    bound: Bound,
    of: Side,
    to: Side,
}

const BWRAP: Contestant = Contestant::Peer(Peer::Bwrap);
const BARE: Contestant = Contestant::Peer(Peer::Bare);

const fn kiln(workload: Workload, load: fn(Load) -> bool, figure: fn(&Slice) -> Option<f64>) -> Side {
    Side { workload, load, who: Contestant::Kiln, figure }
}

const TRUE: Side = kiln(Workload::True, one_client, p50);
const PYTHON: Side = kiln(Workload::Python, one_client, p50);
const EIGHT: Side = kiln(Workload::True, eight_clients, Slice::rate);
const STEADY: Side = kiln(Workload::True, at_a_rate, p50);

const ROWS: [Row; 5] = [
    Row {
        name: "true: p50, to that of bubblewrap",
        bound: Bound::AtMost(0.35),
        of: TRUE,
        to: Side { who: BWRAP, ..TRUE },
    },
    Row {
        name: "true: p50 after idleness, to that without",
        bound: Bound::AtMost(2.0),
        of: Side { load: idle, ..TRUE },
        to: TRUE,
    },
    Row {
        name: "true: jobs/s of 8 clients, to those of bubblewrap",
        bound: Bound::AtLeast(3.0),
        of: EIGHT,
        to: Side { who: BWRAP, ..EIGHT },
    },
    Row {
        name: "python: p50, to that of a bare process",
        bound: Bound::AtMost(1.15),
        of: PYTHON,
        to: Side { who: BARE, ..PYTHON },
    },
    Row {
        name: "true: p99 to p50, at half load",
        bound: Bound::AtMost(4.0),
        of: Side { figure: p99, ..STEADY },
        to: STEADY,
    },
];

const fn one_client(load: Load) -> bool {
    matches!(load, Load::Clients(1))
}

const fn eight_clients(load: Load) -> bool {
    matches!(load, Load::Clients(8))
}

const fn idle(load: Load) -> bool {
    matches!(load, Load::Idle(_))
}

const fn at_a_rate(load: Load) -> bool {
    matches!(load, Load::Rate(_))
}

fn p50(slice: &Slice) -> Option<f64> {
    slice.percentile_ms(50)
}

fn p99(slice: &Slice) -> Option<f64> {
    slice.percentile_ms(99)
}

impl Goal {
    /// Whether the ratio is as it should be.
    pub(super) fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost(most) => self.ratio <= most,
            Bound::AtLeast(least) => self.ratio >= least,
        }
    }
}

impl Bound {
    /// In a table.
    pub(super) fn text(self) -> String {
        match self {
            Self::AtMost(most) => format!("at most {most}"),
            Self::AtLeast(least) => format!("at least {least}"),
        }
    }
}

/// Every goal both of whose sides were measured.
pub(super) fn judge(cells: &[Cell]) -> Vec<Goal> {
    let goal = |row: &Row| {
        let pairs = figures(cells, &row.of)?.into_iter().zip(figures(cells, &row.to)?);
        let ratios: Vec<f64> = pairs.filter_map(|(of, to)| Some(of? / to?)).filter(|ratio| ratio.is_finite()).collect();
        let range =
            ratios.iter().fold((f64::MAX, 0.0_f64), |(least, most), ratio| (least.min(*ratio), most.max(*ratio)));
        Some(Goal { name: row.name, bound: row.bound, ratio: median(&ratios)?, range })
    };
    ROWS.iter().filter_map(goal).collect()
}

/// One figure for each round; nothing where this was not measured.
fn figures(cells: &[Cell], side: &Side) -> Option<Vec<Option<f64>>> {
    let fits = |cell: &&Cell| cell.workload == side.workload && cell.who == side.who && (side.load)(cell.load);
    Some(cells.iter().find(fits)?.slices.iter().map(side.figure).collect())
}

#[cfg(test)]
mod test {
    use std::time::Duration;

    use super::*;

    fn cell(who: Contestant, load: Load, rounds: &[u64]) -> Cell {
        let slice = |milli: &u64| Slice {
            latencies: vec![Duration::from_millis(*milli)],
            elapsed: Duration::from_millis(*milli),
            ..Slice::default()
        };
        Cell { workload: Workload::True, load, who, slices: rounds.iter().map(slice).collect() }
    }

    #[test]
    fn a_ratio_is_the_median_of_those_of_the_rounds() {
        let one = Load::Clients(1);
        let goals = judge(&[cell(Contestant::Kiln, one, &[2, 9, 3]), cell(BWRAP, one, &[8, 10, 10])]);
        let [goal] = goals.as_slice() else { panic!("{goals:?}") };
        assert!((goal.ratio - 0.3).abs() < 1e-9 && goal.is_met(), "{goal:?}");
        assert!((goal.range.0 - 0.25).abs() < 1e-9 && (goal.range.1 - 0.9).abs() < 1e-9, "{goal:?}");
    }

    #[test]
    fn more_is_better_where_jobs_are_counted() {
        let eight = Load::Clients(8);
        let goals = judge(&[cell(Contestant::Kiln, eight, &[2]), cell(BWRAP, eight, &[5])]);
        assert!((goals[0].ratio - 2.5).abs() < 1e-9 && !goals[0].is_met());
    }

    #[test]
    fn kiln_is_compared_with_itself_after_idleness_and_at_half_load() {
        let cells = [
            cell(Contestant::Kiln, Load::Clients(1), &[4]),
            cell(Contestant::Kiln, Load::Idle(Duration::from_secs(1)), &[12]),
            cell(Contestant::Kiln, Load::Rate(9.0), &[5]),
        ];
        let goals = judge(&cells);
        let found: Vec<(f64, bool)> = goals.iter().map(|goal| (goal.ratio, goal.is_met())).collect();
        assert_eq!(found, [(3.0, false), (1.0, true)]);
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        assert!(judge(&[cell(Contestant::Kiln, Load::Clients(1), &[2])]).is_empty());
        assert!(judge(&[cell(Contestant::Kiln, Load::Clients(1), &[]), cell(BWRAP, Load::Clients(1), &[])]).is_empty());
    }
}
