//! Processes instead of jobs: a thread for each client, which starts one after another and waits.
use std::io;
use std::process::Command;
use std::sync::Barrier;
use std::thread;

use crate::cli::bench::load::{Bound, Load, Pace, Turns};
use crate::cli::bench::sample::Slice;

/// Measures what `command` makes, until it makes nothing.
pub(super) fn measure(command: impl Fn() -> Option<Command> + Sync, load: Load, usual: Bound) -> io::Result<Slice> {
    let ready = Barrier::new(usize::from(load.clients()).saturating_add(1));
    let begun = std::sync::OnceLock::new();
    let work = || {
        ready.wait();
        let pace: &Pace = begun.get_or_init(|| Pace::begin(load.bound(usual)));
        one_after_another(&command, load, pace.turns())
    };
    let slices: io::Result<Vec<Slice>> = thread::scope(|scope| {
        let start = |_client| thread::Builder::new().name(String::from("kiln-bench")).spawn_scoped(scope, work);
        let workers: Vec<_> = (0..load.clients()).map(start).collect::<io::Result<_>>()?;
        ready.wait();
        let panicked = |_panic| io::Error::other("a thread of the measurement panicked");
        workers.into_iter().map(|worker| worker.join().map_err(panicked)).collect()
    });
    let elapsed = begun.get().map(Pace::elapsed).unwrap_or_default();
    Ok(Slice { elapsed, ..Slice::joined(&slices?) })
}

fn one_after_another(command: impl Fn() -> Option<Command>, load: Load, mut turns: Turns<'_>) -> Slice {
    let mut slice = Slice::default();
    while turns.next() {
        let Some(mut command) = command() else { break };
        thread::sleep(load.gap());
        let begin = turns.sent(load);
        // Both streams are read to their ends, as kiln does.
        let output = command.output();
        let took = begin.elapsed();
        slice.note(took, judge(&command, output));
    }
    slice
}

fn judge(command: &Command, output: io::Result<std::process::Output>) -> Result<(), String> {
    let name = command.get_program().to_string_lossy();
    let output = output.map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name}: {}: {}", output.status, told.trim()))
}

#[cfg(test)]
mod test {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "what is measured is a process")]
    fn command(name: &'static str) -> impl Fn() -> Option<Command> + Sync {
        move || Some(Command::new(name))
    }

    #[test]
    fn every_process_is_measured() {
        let slice = measure(command("/bin/true"), Load::Clients(2), Bound::Jobs(5)).unwrap();
        assert_eq!((slice.latencies.len(), slice.failed), (5, 0));
        assert!(slice.latencies.iter().all(|latency| !latency.is_zero() && *latency <= slice.elapsed));
        let burst = measure(command("/bin/true"), Load::Burst(4), Bound::Jobs(1)).unwrap();
        assert_eq!(burst.latencies.len(), 4);
    }

    #[test]
    fn one_that_fails_or_cannot_be_started_is_no_measurement() {
        for name in ["/bin/false", "/nowhere/program"] {
            let slice = measure(command(name), Load::Clients(1), Bound::Jobs(2)).unwrap();
            assert_eq!((slice.latencies.len(), slice.failed), (0, 2));
            assert!(slice.fault.unwrap().starts_with(name));
        }
    }
}
