//! One phase of one job: a fresh sandbox, its output into the log, its end judged.
use std::pin::pin;
use std::time::Duration;

use super::drain::Drain;
use super::live::Live;
use super::outcome::{self, PhaseLimits, Seen};
use super::stopwatches::Stopwatches;
use crate::base::time::{Clock, instant};
use crate::job::record::PhaseResult;
use crate::launch::{End, EndWaiter, LaunchError, Launcher, Sandbox, SandboxRequest};
use crate::output::AttemptLog;

/// How long output may still come after the sandbox ended and nobody is left to print.
const GRACE: Duration = Duration::from_secs(2);

/// What a phase works with.
pub(super) struct PhaseRun<'a> {
    pub(super) launcher: &'a Launcher,
    pub(super) clock: &'a dyn Clock,
    pub(super) live: &'a Live,
    pub(super) log: &'a mut AttemptLog,
    pub(super) limits: PhaseLimits,
    /// How long the job waited for its place.
    pub(super) queued: Duration,
    pub(super) watches: &'a Stopwatches,
}

impl PhaseRun<'_> {
    /// Runs the phase to its end: the process is reaped and its output drained.
    pub(super) async fn run(self, request: SandboxRequest<'_>) -> Result<PhaseResult, LaunchError> {
        let Self { launcher, clock, live, log, limits, queued, watches } = self;
        let begun = instant();
        let sandbox = launcher.start(request).await?;
        let Sandbox { stdout, stderr, ender, end: waiter, setup, .. } = sandbox;
        let over = || ender.end();
        let mut drain =
            Drain { log, phase: limits.phase, limit: limits.output, clock, live, end: &over, printed: 0, fault: None };
        let end = {
            let mut work = pin!(to_end(drain.both(stdout, stderr), waiter));
            tokio::select! {
                end = work.as_mut() => end,
                () = live.until_asked() => {
                    ender.end();
                    work.await
                }
            }
        };
        note(watches, begun.elapsed(), setup, &end);
        let (printed, log_fault) = (drain.printed, drain.fault);
        let seen = Seen { printed, asked: live.asked(), log_fault };
        let counts = log.counts(limits.phase);
        Ok(PhaseResult {
            termination: outcome::judge(&end, &limits, &seen),
            usage: outcome::usage(&end.counters, queued, setup),
            stdout_bytes: counts.stdout_bytes,
            stderr_bytes: counts.stderr_bytes,
        })
    }
}

/// What the spawner did not measure is the rest of what we waited.
fn note(watches: &Stopwatches, whole: Duration, setup: Duration, end: &End) {
    let Some(run) = end.counters.wall_us.map(Duration::from_micros) else { return };
    watches.setup.record(setup);
    watches.run.record(run);
    watches.reap.record(whole.saturating_sub(setup).saturating_sub(run));
}

/// Waits for the end of the sandbox and of its output.
async fn to_end(drain: impl Future<Output = ()>, waiter: EndWaiter) -> End {
    let mut drain = pin!(drain);
    let mut ended = pin!(waiter.wait());
    tokio::select! {
        () = drain.as_mut() => ended.await,
        end = ended.as_mut() => {
            if tokio::time::timeout(GRACE, drain).await.is_err() {
                tracing::warn!("queue: a pipe stayed open after its sandbox had ended");
            }
            end
        }
    }
}
