//! What is measured in which order: all contestants of one load right after each other, in every round in another order,
//! because the speed of a machine changes while it is measured.
use crate::cli::bench::arguments::BenchArguments;
use crate::cli::bench::load::{Bound, Load};
use crate::cli::bench::peer::{Folder, Peer};
use crate::cli::bench::sample::{Slice, median};
use crate::cli::bench::workload::Workload;
use crate::cli::bench::{daemon, process};
use crate::cli::remote::RemoteError;
use crate::client::Client;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contestant {
    /// The daemon, over HTTP.
    Kiln,
    /// A process that is started here.
    Peer(Peer),
}

/// One contestant at one piece of work under one load: a slice for each round.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) workload: Workload,
    pub(super) load: Load,
    pub(super) who: Contestant,
    pub(super) slices: Vec<Slice>,
}

/// What is needed to measure.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) client: Client,
    pub(super) folder: Folder,
}

impl Contestant {
    /// Its name in answers.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Kiln => "kiln",
            Self::Peer(peer) => peer.name(),
        }
    }
}

impl Cell {
    const fn new(workload: Workload, load: Load, who: Contestant) -> Self {
        Self { workload, load, who, slices: Vec::new() }
    }
}

impl Bench {
    /// Measures all that is asked for.
    pub(super) async fn run(&self, asked: &BenchArguments) -> Result<Vec<Cell>, RemoteError> {
        let mut cells = cells(asked);
        self.check(&cells).await?;
        self.rounds(&mut cells, asked).await?;
        if asked.half_load {
            let mut at_half = at_half_load(&cells);
            self.rounds(&mut at_half, asked).await?;
            cells.extend(at_half);
        }
        Ok(cells)
    }

    /// Everybody does every piece of work once: it must go well, and files are in memory afterwards.
    async fn check(&self, cells: &[Cell]) -> Result<(), RemoteError> {
        for cell in cells {
            let slice = self.slice(&Cell { load: Load::Clients(1), ..cell.clone() }, Bound::Jobs(1)).await?;
            if let Some(fault) = slice.fault {
                let (who, name) = (cell.who.name(), cell.workload.name());
                let remedy = "leave one of both out: --workload, --against";
                return Err(RemoteError::Usage(format!("{who} cannot be measured at {name}: {fault}; {remedy}")));
            }
        }
        Ok(())
    }

    async fn rounds(&self, cells: &mut [Cell], asked: &BenchArguments) -> Result<(), RemoteError> {
        for round in 0..usize::from(asked.rounds) {
            for group in cells.chunk_by_mut(|one, other| (one.workload, one.load) == (other.workload, other.load)) {
                let first = round.checked_rem(group.len()).unwrap_or(0);
                let (late, early) = group.split_at_mut(first);
                for cell in early.iter_mut().chain(late) {
                    let slice = self.slice(cell, asked.bound()).await?;
                    cell.slices.push(slice);
                }
            }
        }
        Ok(())
    }

    /// A process keeps this thread until the end of the slice: nothing else is to run then.
    async fn slice(&self, cell: &Cell, bound: Bound) -> Result<Slice, RemoteError> {
        match cell.who {
            Contestant::Kiln => Ok(daemon::measure(&self.client, cell.workload, cell.load, bound).await?),
            Contestant::Peer(peer) => {
                let command = || peer.command(cell.workload, &self.folder);
                process::measure(command, cell.load, bound).map_err(|error| RemoteError::Host(error.to_string()))
            }
        }
    }
}

/// Contestants of one load stand side by side.
fn cells(asked: &BenchArguments) -> Vec<Cell> {
    let mut cells = Vec::new();
    for workload in &asked.workload {
        for load in asked.loads() {
            cells.push(Cell::new(*workload, load, Contestant::Kiln));
            if *workload != Workload::Http {
                let peers = asked.against.iter().map(|peer| Cell::new(*workload, load, Contestant::Peer(*peer)));
                cells.extend(peers);
            }
        }
    }
    cells
}

/// Half of the highest rate that kiln reached, for each piece of work.
fn at_half_load(cells: &[Cell]) -> Vec<Cell> {
    let mut half: Vec<Cell> = Vec::new();
    for cell in cells.iter().filter(|cell| cell.who == Contestant::Kiln && cell.workload != Workload::Http) {
        let Load::Clients(_) = cell.load else { continue };
        let rates: Vec<f64> = cell.slices.iter().filter_map(Slice::rate).collect();
        let Some(rate) = median(&rates).map(|rate| rate / 2.0) else { continue };
        match half.iter_mut().find(|known| known.workload == cell.workload) {
            Some(Cell { load: Load::Rate(known), .. }) => *known = known.max(rate),
            _ => half.push(Cell::new(cell.workload, Load::Rate(rate), Contestant::Kiln)),
        }
    }
    half
}

#[cfg(test)]
mod test {
    use std::time::Duration;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: BenchArguments,
    }

    fn planned(words: &str) -> Vec<Cell> {
        let words = std::iter::once("bench").chain(words.split_whitespace());
        cells(&Line::try_parse_from(words).unwrap().arguments)
    }

    fn with_rate(clients: u16, jobs: usize) -> Cell {
        let slice = Slice {
            latencies: vec![Duration::from_millis(1); jobs],
            elapsed: Duration::from_secs(1),
            ..Slice::default()
        };
        Cell { slices: vec![slice], ..Cell::new(Workload::True, Load::Clients(clients), Contestant::Kiln) }
    }

    #[test]
    fn contestants_of_one_load_stand_side_by_side() {
        let names: Vec<&str> =
            planned("--workload true --clients 1,2 --against bwrap,bare").iter().map(|cell| cell.who.name()).collect();
        assert_eq!(names, ["kiln", "bwrap", "bare", "kiln", "bwrap", "bare"]);
    }

    #[test]
    fn http_has_nobody_to_compare_with() {
        let cells = planned("--workload http --clients 1 --against bwrap");
        assert_eq!((cells.len(), cells[0].who), (1, Contestant::Kiln));
    }

    #[test]
    fn half_load_is_half_of_the_best_rate() {
        let half = at_half_load(&[with_rate(1, 100), with_rate(8, 600), with_rate(32, 500)]);
        assert_eq!((half.len(), half[0].load), (1, Load::Rate(300.0)));
        assert!(at_half_load(&[]).is_empty());
    }
}
