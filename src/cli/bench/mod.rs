//! `kiln bench`: how long jobs take and how many a daemon does, beside other ways to run the same.
//!
//! It measures what a client sees, over HTTP and connections that are kept; the daemon tells how long the parts of its
//! jobs took. It writes nothing. Not here: what the figures of one machine are (`docs/PERFORMANCE.md`).
mod arguments;
mod daemon;
mod goal;
mod load;
mod measure;
mod peer;
mod process;
mod report;
mod sample;
mod workload;

use std::path::Path;

use crate::cli::answer::{complain, printed};
use crate::cli::exit::Exit;
use crate::cli::interrupt::Interrupts;
use crate::cli::job::print_json;
use crate::cli::remote::{self, RemoteError};
use crate::cli::surroundings::Surroundings;
use crate::cli::table::Colours;

pub(super) use arguments::BenchArguments;
use measure::{Bench, Cell};
use peer::Folder;

pub(super) fn run(arguments: &BenchArguments, surroundings: &Surroundings, colours: Colours) -> Exit {
    remote::asking(async {
        // Before anything is made: it is removed also where somebody does not wait for the end.
        let mut interrupts = Interrupts::listen().map_err(|error| RemoteError::Host(error.to_string()))?;
        let bench = prepare(arguments, surroundings)?;
        let cells = tokio::select! {
            cells = Box::pin(bench.run(arguments)) => cells?,
            signal = interrupts.next() => return Ok(ended_by(signal)),
        };
        let shown =
            if arguments.json { print_json(&report::json(&cells)) } else { printed(&report::text(&cells, colours)) };
        Ok(if shown == Exit::Ok { verdict(&cells) } else { shown })
    })
}

/// As a shell tells it.
fn ended_by(signal: i32) -> Exit {
    complain(&format!("ended by signal {signal}"), Exit::Program(u8::try_from(128 + signal).unwrap_or(u8::MAX)))
}

fn prepare(arguments: &BenchArguments, surroundings: &Surroundings) -> Result<Bench, RemoteError> {
    let client = arguments.remote.client(surroundings)?;
    let parent = surroundings.environment.get("TMPDIR").filter(|parent| !parent.is_empty());
    let parent = parent.map_or("/tmp", String::as_str);
    let folder = Folder::make(Path::new(parent), &arguments.workload);
    let folder = folder.map_err(|error| RemoteError::Host(format!("{parent}: {error}")))?;
    Ok(Bench { client, folder })
}

/// A job that failed is said once for each measurement.
fn verdict(cells: &[Cell]) -> Exit {
    let mut exit = Exit::Ok;
    for cell in cells {
        let whole = sample::Slice::joined(&cell.slices);
        if let Some(fault) = whole.fault {
            let (who, name, load) = (cell.who.name(), cell.workload.name(), cell.load.text());
            exit =
                complain(&format!("{who}, {name}, {load}: {} failed, the first: {fault}", whole.failed), Exit::Refused);
        }
    }
    exit
}
