//! Doing a piece of work: the seam between the queue, which knows places and records, and what
//! knows how. Here: the phases of a job in sandboxes of this host. Later: a remote command.
//!
//! ```text
//! ask for a tree ─► compile, where there is one ─► run ─► drop tree
//! ```
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::live::Live;
use super::outcome::{self, PhaseLimits, refusal, setup_failed};
use super::phase::PhaseRun;
use super::program::{self, Prepared};
use super::runtimes::Runtimes;
use super::stopwatches::Stopwatches;
use crate::base::id::{JobId, LogId};
use crate::base::time::{Clock, Instant};
use crate::job::limits::{Limits, inodes_of};
use crate::job::record::{Attempt, PhaseResult, Ran};
use crate::job::request::{Reach, Request};
use crate::job::state::status_of;
use crate::job::termination::Termination;
use crate::launch::{InputFile, Launcher, Program, SandboxLimits, SandboxRequest, Tree};
use crate::output::{AttemptLog, Mark, Phase};
use crate::plan::Network;

/// An end before the program ran.
type Early = Box<Termination>;

/// Knows how to do a piece of work.
pub(super) trait Execute: Send + Sync {
    /// Does it to the end: nothing of it runs any more, and all of its output is in the log. The record says already
    /// that the job runs, and would after the end of this process.
    fn execute(self: Arc<Self>, task: Task) -> BoxFuture<'static, Outcome>;

    /// Whether anything can be begun.
    fn is_able(&self) -> bool;
}

/// One attempt at a job that has a place.
pub(super) struct Task {
    pub(super) id: JobId,
    pub(super) log: LogId,
    pub(super) request: Request,
    /// Counts from 1.
    pub(super) number: u32,
    /// How long it waited for its place.
    pub(super) queued: Duration,
    /// When it got it.
    pub(super) place_taken: Instant,
    pub(super) live: Arc<Live>,
    pub(super) watches: Arc<Stopwatches>,
}

/// What came of an attempt.
pub(super) struct Outcome {
    pub(super) attempt: Attempt,
    pub(super) termination: Termination,
}

/// Work in sandboxes of this host.
pub(super) struct SandboxWork {
    pub(super) launcher: Launcher,
    pub(super) runtimes: Runtimes,
    pub(super) logs: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
}

/// The program and files of one phase.
struct Step {
    phase: Phase,
    program: Program,
    files: Vec<InputFile>,
    stdin: Vec<u8>,
    limits: Limits,
}

/// A job in the middle of its attempt.
struct Attempting<'a> {
    work: &'a SandboxWork,
    task: &'a Task,
    log: AttemptLog,
    attempt: &'a mut Attempt,
}

impl Execute for SandboxWork {
    fn execute(self: Arc<Self>, task: Task) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let mut attempt = Attempt {
                number: task.number,
                ran: Ran::No,
                compile: None,
                run: None,
                version: self.runtimes.version(&task.request),
                first_id: None,
            };
            let ended = self.attempt(&task, &mut attempt).await;
            Outcome { attempt, termination: ended.unwrap_or_else(|early| *early) }
        })
    }

    fn is_able(&self) -> bool {
        !self.launcher.is_lost()
    }
}

impl SandboxWork {
    /// The whole attempt.
    async fn attempt(&self, task: &Task, attempt: &mut Attempt) -> Result<Termination, Early> {
        let (image, disk) = (&task.request.image, task.request.limits.disk);
        let languages = self.runtimes.languages(image).map_err(early)?;
        let prepared = program::prepare(&task.request, &languages).map_err(early)?;
        self.runtimes.check(image).await.map_err(early)?;
        // Before anything is asked of the spawner.
        let log = self.open_log(task)?;
        let tree = self.launcher.make_tree(disk, inodes_of(disk), image.root()).await;
        let tree = tree.map_err(|error| Box::new(refusal(&error)))?;
        task.watches.prepare.record(task.place_taken.elapsed());
        let mut attempting = Attempting { work: self, task, log, attempt };
        let ended = attempting.phases(prepared, &tree).await;
        attempting.note_end(&ended);
        // Told before anything of its sandboxes: why there was none, where there was none.
        attempt.first_id = Some(tree.first_id().await.map_err(|error| Box::new(refusal(&error)))?);
        ended
    }

    /// A short piece of file work: nothing is made yet.
    fn open_log(&self, task: &Task) -> Result<AttemptLog, Early> {
        let log = AttemptLog::begin(&self.logs, task.log, Mark::Attempt { number: task.number }, self.clock.now());
        log.map_err(|error| early(format!("the output could not be kept: {error}; look at the data disk")))
    }
}

impl Attempting<'_> {
    async fn phases(&mut self, prepared: Prepared, tree: &Tree) -> Result<Termination, Early> {
        let Prepared { mut files, compile, run } = prepared;
        let request = &self.task.request;
        if let Some(compile) = compile {
            let processes = request.limits.processes.max(compile.needs.processes);
            // Of this phase only /tmp: the size of /work was given to its tree.
            let disk = request.limits.disk.max(compile.needs.disk);
            let step = Step {
                phase: Phase::Compile,
                program: compile.program,
                files: std::mem::take(&mut files),
                stdin: Vec::new(),
                limits: Limits { processes, disk, ..request.limits },
            };
            let result = self.step(step, tree).await?;
            let over = outcome::after_compile(&result.termination);
            self.attempt.compile = Some(result);
            over.map_or(Ok(()), |over| Err(Box::new(over)))?;
        }
        let (stdin, limits) = (request.stdin.clone(), request.limits);
        let step = Step { phase: Phase::Run, program: run, files, stdin, limits };
        let result = self.step(step, tree).await?;
        self.attempt.ran = Ran::Yes;
        let termination = result.termination.clone();
        self.attempt.run = Some(result);
        Ok(termination)
    }

    /// Runs one phase, unless the end was asked for before.
    async fn step(&mut self, step: Step, tree: &Tree) -> Result<PhaseResult, Early> {
        if let Some(asked) = self.task.live.asked() {
            return Err(Box::new(Termination::without_exit(asked.reason(), None)));
        }
        let limits = PhaseLimits::of(step.phase, &step.limits);
        let request = SandboxRequest {
            label: label(self.task.id, self.task.number, step.phase),
            root: self.task.request.image.root(),
            network: network_of(step.phase, self.task.request.reach),
            program: step.program,
            files: step.files,
            stdin: step.stdin,
            work: tree,
            limits: sandbox_limits(&limits, &step.limits),
        };
        let phase = PhaseRun {
            launcher: &self.work.launcher,
            clock: self.work.clock.as_ref(),
            live: &self.task.live,
            log: &mut self.log,
            limits,
            queued: self.task.queued,
            watches: &self.task.watches,
        };
        phase.run(request).await.map_err(|error| Box::new(refusal(&error)))
    }

    /// The log's last entry. The record says the same: a log without it is not wrong, and a job that printed nothing
    /// has no log.
    fn note_end(&mut self, ended: &Result<Termination, Early>) {
        let reason = match ended {
            Ok(termination) => termination.reason,
            Err(termination) => termination.reason,
        };
        let mark = Mark::Ended { status: status_of(reason) };
        match self.log.end(mark, self.work.clock.now()) {
            Ok(()) => self.task.live.printed(self.log.seq()),
            Err(error) => tracing::warn!(job = %self.task.id, %error, "queue: no mark at the end"),
        }
    }
}

fn early(message: String) -> Early {
    Box::new(setup_failed(message))
}

/// A compiler reaches nothing, whatever its program may.
pub(super) const fn network_of(phase: Phase, reach: Reach) -> Network {
    match (phase, reach) {
        (Phase::Run, Reach::Outside) => Network::Egress,
        (Phase::Compile, _) | (Phase::Run, Reach::Nothing) => Network::Isolated,
    }
}

pub(super) fn sandbox_limits(phase: &PhaseLimits, limits: &Limits) -> SandboxLimits {
    SandboxLimits {
        wall: phase.wall,
        cpu_time: phase.cpu_time,
        milli_cpus: limits.milli_cpus,
        memory: phase.memory,
        processes: limits.processes,
        open_files: limits.open_files,
        file_size: limits.file_size,
        disk: limits.disk,
        disk_inodes: inodes_of(limits.disk),
    }
}

/// What the spawner keeps for us: kind, record, attempt and phase, filled up with zeros.
fn label(id: JobId, number: u32, phase: Phase) -> [u8; 64] {
    let phase = match phase {
        Phase::Compile => 'c',
        Phase::Run => 'r',
    };
    let mut label = [0; 64];
    for (to, from) in label.iter_mut().zip(format!("job {id} {number} {phase}").bytes()) {
        *to = from;
    }
    label
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::queue::test::request;

    #[test]
    fn a_label_is_whole_for_the_largest_attempt() {
        let label = label(JobId::new(), u32::MAX, Phase::Compile);
        assert!(label.ends_with(b"\0"));
        assert!(label.trim_ascii_end().starts_with(b"job "));
    }

    #[test]
    fn only_the_program_itself_reaches_the_outside() {
        assert_eq!(network_of(Phase::Run, Reach::Outside), Network::Egress);
        assert_eq!(network_of(Phase::Compile, Reach::Outside), Network::Isolated);
        assert_eq!(network_of(Phase::Run, Reach::Nothing), Network::Isolated);
    }

    #[test]
    fn a_compiler_has_limits_of_its_own() {
        let limits = request().limits;
        let compile = PhaseLimits::of(Phase::Compile, &limits);
        let of = sandbox_limits(&compile, &limits);
        assert_eq!((of.wall, of.memory), (limits.compile_wall, limits.compile_memory));
        assert!(of.cpu_time >= limits.compile_wall);
        let run = sandbox_limits(&PhaseLimits::of(Phase::Run, &limits), &limits);
        assert_eq!((run.wall, run.cpu_time), (limits.wall, limits.cpu_time));
    }
}
