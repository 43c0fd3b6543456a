//! From what the kernel, the spawner and the queue itself saw to the words of contract rules 6 and
//! 7. Pure: the truth is in the counters, never guessed from a signal.
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::base::size::ByteSize;
use crate::job::limits::Limits;
use crate::job::termination::{ExceededLimit, LimitHit, Reason, Termination};
use crate::job::usage::Usage;
use crate::launch::{End, EndCause, Exit, LaunchError};
use crate::output::Phase;
use crate::plan::ceiling;
use crate::sys::signal;
use crate::wire::reply::Counters;

/// The limits of one phase that can end it, and how a request names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PhaseLimits {
    pub(super) phase: Phase,
    pub(super) wall: Duration,
    pub(super) cpu_time: Duration,
    pub(super) memory: ByteSize,
    pub(super) output: ByteSize,
}

impl PhaseLimits {
    /// A compiler may use its processors for all of its wall time and is ended by that: `limits.cpu_time`
    /// is the program's.
    pub(super) fn of(phase: Phase, limits: &Limits) -> Self {
        let (wall, cpu_time, memory) = match phase {
            Phase::Compile => {
                let cpus = limits.milli_cpus.div_ceil(1000).max(1);
                let all = limits.compile_wall.saturating_mul(cpus).saturating_add(Duration::from_secs(1));
                let cpu_time = all.min(Duration::from_micros(ceiling::JOB.cpu_time_us));
                (limits.compile_wall, cpu_time, limits.compile_memory)
            }
            Phase::Run => (limits.wall, limits.cpu_time, limits.memory),
        };
        Self { phase, wall, cpu_time, memory, output: limits.output }
    }

    fn wall_name(self) -> &'static str {
        match self.phase {
            Phase::Compile => "limits.compile_timeout",
            Phase::Run => "timeout",
        }
    }

    fn memory_name(self) -> &'static str {
        match self.phase {
            Phase::Compile => "limits.compile_memory",
            Phase::Run => "memory_limit",
        }
    }
}

/// Why somebody in this process wants a job to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Its owner cancelled it.
    Cancel,
    /// The daemon stops.
    Stop,
}

impl Asked {
    pub(super) const fn reason(self) -> Reason {
        match self {
            Self::Cancel => Reason::Cancelled,
            Self::Stop => Reason::DaemonRestart,
        }
    }
}

/// What the queue itself saw of a phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Bytes that came out of both streams, kept or not.
    pub(super) printed: u64,
    /// Whether the end was asked for, and why.
    pub(super) asked: Option<Asked>,
    /// Why output could not be kept.
    pub(super) log_fault: Option<String>,
}

/// How a phase ended.
pub(super) fn judge(end: &End, limits: &PhaseLimits, seen: &Seen) -> Termination {
    let reason = reason(end, limits, seen);
    let (exit_code, signal) = match end.exit {
        Exit::Code(code) => (Some(code), None),
        Exit::Signal(number) => (None, Some(signal_name(number))),
        Exit::Unknown => (None, None),
    };
    let lost = end.cause == EndCause::SpawnerLost;
    // Whatever ended it: what it printed is not all there.
    let fault = seen.log_fault.clone();
    let message = fault.or_else(|| lost.then(|| String::from("the spawner went away while the job ran")));
    let limit = exceeded(reason, end, limits, seen);
    let limits_hit = limits_hit(reason, end);
    Termination { reason, exit_code, signal, limit, limits_hit, message }
}

/// What a phase used. What came before it is added by the caller.
pub(super) fn usage(counters: &Counters, queued: Duration, setup: Duration) -> Usage {
    Usage {
        cpu_user_us: counters.cpu_user_us,
        cpu_system_us: counters.cpu_system_us,
        wall_us: counters.wall_us,
        queue_us: Some(micros(queued)),
        setup_us: Some(micros(setup)),
        memory_peak_bytes: counters.memory_peak,
        processes_peak: counters.processes_peak,
        io_read_bytes: counters.io_read,
        io_write_bytes: counters.io_write,
    }
}

/// How the job ends after its compile phase. Nothing when the program can run.
pub(super) fn after_compile(compile: &Termination) -> Option<Termination> {
    let message = match (compile.reason, compile.exit_code, &compile.signal) {
        (Reason::Exited, Some(0), _) => return None,
        (Reason::Cancelled | Reason::DaemonRestart | Reason::SetupFailed, ..) => {
            return Some(Termination::without_exit(compile.reason, compile.message.clone()));
        }
        (Reason::Exited, Some(code), _) => format!("the compiler exited with code {code}"),
        (Reason::Signaled, _, Some(signal)) => format!("the compiler was ended by {signal}"),
        (reason, ..) => match &compile.message {
            Some(message) => format!("the compiler was ended: {message}"),
            None => format!("the compiler was ended by {}", what_ended(reason)),
        },
    };
    Some(Termination::without_exit(Reason::CompileFailed, Some(message)))
}

/// The reason in words.
const fn what_ended(reason: Reason) -> &'static str {
    match reason {
        Reason::WallTimeLimit => "its time limit (limits.compile_timeout)",
        Reason::CpuTimeLimit => "its processor time limit",
        Reason::MemoryLimit => "its memory limit (limits.compile_memory)",
        Reason::OutputLimit => "the output limit (limits.output)",
        Reason::SeccompDenied => "a system call that is refused",
        Reason::Exited
        | Reason::Signaled
        | Reason::CompileFailed
        | Reason::Cancelled
        | Reason::Preempted
        | Reason::QueueTimeout
        | Reason::SetupFailed
        | Reason::DaemonRestart => "something else than itself",
    }
}

/// How a job ends whose sandbox could not be made: what is missing and what to do.
pub(super) fn refusal(error: &LaunchError) -> Termination {
    let message = match error {
        LaunchError::Refused { what, asked: 0, ceiling: 0 } => format!("the spawner refuses {what}"),
        LaunchError::Refused { what, asked, ceiling } => {
            format!("the spawner refuses {what}: {asked} was asked, {ceiling} is possible")
        }
        LaunchError::Program { .. } => format!("{error}; check the name of the program and that the image has it"),
        LaunchError::Setup { step, message } => format!(
            "the sandbox could not be made at the step {step}: {message}; `kiln doctor` says what \
             this host lacks"
        ),
        LaunchError::Unavailable => {
            let message = "the spawner went away before the program ran; send the job again once /readyz says that \
                           the daemon is ready";
            return Termination::without_exit(Reason::DaemonRestart, Some(String::from(message)));
        }
    };
    setup_failed(message)
}

/// The end of a job that never ran.
pub(super) const fn setup_failed(message: String) -> Termination {
    Termination::without_exit(Reason::SetupFailed, Some(message))
}

fn reason(end: &End, limits: &PhaseLimits, seen: &Seen) -> Reason {
    let overflowed = seen.printed > limits.output.bytes() || seen.log_fault.is_some();
    match end.cause {
        EndCause::WallTime => Reason::WallTimeLimit,
        EndCause::CpuTime => Reason::CpuTimeLimit,
        EndCause::Memory => Reason::MemoryLimit,
        EndCause::SpawnerLost => Reason::DaemonRestart,
        // What it printed is not all there, even if it was quicker than the order to end.
        EndCause::Program | EndCause::Requested if overflowed => Reason::OutputLimit,
        EndCause::Requested => seen.asked.map_or(Reason::DaemonRestart, Asked::reason),
        EndCause::Program => own_end(end),
    }
}

/// The reason where nobody but the kernel and the program itself had a hand in the end.
fn own_end(end: &End) -> Reason {
    let killed_for_memory = end.counters.oom_kills.is_some_and(|count| count > 0);
    match end.exit {
        Exit::Signal(signal::SIGSYS) => Reason::SeccompDenied,
        Exit::Signal(signal::SIGKILL) | Exit::Unknown if killed_for_memory => Reason::MemoryLimit,
        Exit::Signal(_) => Reason::Signaled,
        Exit::Code(_) => Reason::Exited,
        Exit::Unknown => Reason::DaemonRestart,
    }
}

fn exceeded(reason: Reason, end: &End, limits: &PhaseLimits, seen: &Seen) -> Option<ExceededLimit> {
    let counters = &end.counters;
    let (name, limit, observed) = if reason == Reason::WallTimeLimit {
        (limits.wall_name(), micros(limits.wall), counters.wall_us)
    } else if reason == Reason::CpuTimeLimit {
        let both = counters.cpu_user_us.zip(counters.cpu_system_us);
        let used = both.map(|(user, system)| user.saturating_add(system));
        ("limits.cpu_time", micros(limits.cpu_time), used)
    } else if reason == Reason::MemoryLimit {
        (limits.memory_name(), limits.memory.bytes(), counters.memory_peak)
    } else if reason == Reason::OutputLimit && seen.log_fault.is_none() {
        ("limits.output", limits.output.bytes(), Some(seen.printed))
    } else {
        return None;
    };
    Some(ExceededLimit { name: name.to_owned(), limit, observed })
}

/// Limits that made calls fail; what ended the job is named by the reason.
fn limits_hit(reason: Reason, end: &End) -> Vec<LimitHit> {
    let counters = &end.counters;
    let some = |count: Option<u64>| count.is_some_and(|count| count > 0);
    let memory = some(counters.memory_denied) || some(counters.oom_kills);
    [
        (LimitHit::Memory, memory && reason != Reason::MemoryLimit),
        (LimitHit::Swap, some(counters.swap_denied)),
        (LimitHit::Processes, some(counters.processes_denied)),
        (LimitHit::DiskBytes, counters.disk_free == Some(0)),
        (LimitHit::DiskInodes, counters.inodes_free == Some(0)),
        (LimitHit::FileSize, end.exit == Exit::Signal(signal::SIGXFSZ)),
    ]
    .into_iter()
    .filter_map(|(limit, hit)| hit.then_some(limit))
    .collect()
}

/// The name of signal(7); real-time signals count from `SIGRTMIN` as the C library has it (34).
fn signal_name(number: i32) -> String {
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_real_time) if (34..=64).contains(&number) => format!("SIGRTMIN+{}", number - 34),
        Err(_unknown) => format!("SIG{number}"),
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod test {
    use super::*;

    fn limits() -> PhaseLimits {
        PhaseLimits {
            phase: Phase::Run,
            wall: Duration::from_secs(2),
            cpu_time: Duration::from_secs(1),
            memory: ByteSize::mib(64),
            output: ByteSize(100),
        }
    }

    fn end(cause: EndCause, exit: Exit) -> End {
        End { exit, cause, counters: Counters::default() }
    }

    fn judged(end: &End) -> Termination {
        judge(end, &limits(), &Seen::default())
    }

    #[test]
    fn an_exit_is_an_exit_whatever_its_code() {
        let termination = judged(&end(EndCause::Program, Exit::Code(3)));
        assert_eq!((termination.reason, termination.exit_code), (Reason::Exited, Some(3)));
        assert_eq!((termination.signal, termination.limit), (None, None));
    }

    #[test]
    fn a_signal_has_its_name() {
        let of = |number| judged(&end(EndCause::Program, Exit::Signal(number)));
        let crashed = of(signal::SIGSEGV);
        assert_eq!(crashed.reason, Reason::Signaled);
        assert_eq!((crashed.exit_code, crashed.signal.as_deref()), (None, Some("SIGSEGV")));
        assert_eq!(of(signal::SIGSYS).reason, Reason::SeccompDenied);
        assert_eq!(of(signal::SIGSYS).signal.as_deref(), Some("SIGSYS"));
        assert_eq!(of(35).signal.as_deref(), Some("SIGRTMIN+1"));
        assert_eq!(of(33).signal.as_deref(), Some("SIG33"));
    }

    #[test]
    fn memory_is_blamed_by_counters_only() {
        let mut killed = end(EndCause::Program, Exit::Signal(signal::SIGKILL));
        assert_eq!(judged(&killed).reason, Reason::Signaled, "it may have killed itself");
        killed.counters.oom_kills = Some(1);
        killed.counters.memory_peak = Some(64 << 20);
        let termination = judged(&killed);
        assert_eq!(termination.reason, Reason::MemoryLimit);
        assert_eq!(termination.limits_hit, []);
        let limit = termination.limit.unwrap();
        assert_eq!((limit.name.as_str(), limit.limit), ("memory_limit", 64 << 20));
        assert_eq!(limit.observed, Some(64 << 20));
        let mut survived = end(EndCause::Program, Exit::Code(0));
        survived.counters.oom_kills = Some(2);
        let termination = judged(&survived);
        assert_eq!(termination.reason, Reason::Exited, "a child was killed, it went on");
        assert_eq!(termination.limits_hit, [LimitHit::Memory]);
    }

    #[test]
    fn a_fork_bomb_that_ran_out_of_time_hit_the_process_limit_too() {
        let mut bomb = end(EndCause::WallTime, Exit::Signal(signal::SIGKILL));
        bomb.counters.processes_denied = Some(1000);
        bomb.counters.wall_us = Some(2_000_100);
        let termination = judged(&bomb);
        assert_eq!(termination.reason, Reason::WallTimeLimit);
        assert_eq!(termination.limits_hit, [LimitHit::Processes]);
        let limit = termination.limit.unwrap();
        assert_eq!((limit.name.as_str(), limit.limit), ("timeout", 2_000_000));
        assert_eq!(limit.observed, Some(2_000_100));
    }

    #[test]
    fn processor_time_is_the_sum_of_both_or_unknown() {
        let mut spun = end(EndCause::CpuTime, Exit::Signal(signal::SIGKILL));
        spun.counters.cpu_user_us = Some(900_000);
        assert_eq!(judged(&spun).limit.unwrap().observed, None);
        spun.counters.cpu_system_us = Some(150_000);
        let termination = judged(&spun);
        assert_eq!(termination.reason, Reason::CpuTimeLimit);
        assert_eq!(termination.limit.unwrap().observed, Some(1_050_000));
    }

    #[test]
    fn output_over_the_limit_wins_over_a_quick_exit() {
        let seen = Seen { printed: 101, ..Seen::default() };
        for cause in [EndCause::Program, EndCause::Requested] {
            let termination = judge(&end(cause, Exit::Code(0)), &limits(), &seen);
            assert_eq!(termination.reason, Reason::OutputLimit);
            let limit = termination.limit.unwrap();
            assert_eq!((limit.name.as_str(), limit.observed), ("limits.output", Some(101)));
        }
        let exact = Seen { printed: 100, ..Seen::default() };
        let termination = judge(&end(EndCause::Program, Exit::Code(0)), &limits(), &exact);
        assert_eq!(termination.reason, Reason::Exited);
    }

    #[test]
    fn output_that_could_not_be_kept_says_why() {
        let seen = Seen { log_fault: Some(String::from("disk full")), ..Seen::default() };
        let asked = end(EndCause::Requested, Exit::Signal(signal::SIGKILL));
        let termination = judge(&asked, &limits(), &seen);
        assert_eq!(termination.reason, Reason::OutputLimit);
        assert_eq!(termination.message.as_deref(), Some("disk full"));
        assert_eq!(termination.limit, None);
        let compiled = after_compile(&termination).unwrap();
        assert_eq!(compiled.reason, Reason::CompileFailed);
        assert!(compiled.message.unwrap().ends_with("disk full"));
        let late = judge(&end(EndCause::WallTime, Exit::Unknown), &limits(), &seen);
        assert_eq!((late.reason, late.message.as_deref()), (Reason::WallTimeLimit, Some("disk full")));
    }

    #[test]
    fn whoever_asked_for_the_end_gives_the_reason() {
        let asked = end(EndCause::Requested, Exit::Signal(signal::SIGKILL));
        let of = |asked_by| {
            let seen = Seen { asked: Some(asked_by), ..Seen::default() };
            judge(&asked, &limits(), &seen).reason
        };
        assert_eq!(of(Asked::Cancel), Reason::Cancelled);
        assert_eq!(of(Asked::Stop), Reason::DaemonRestart);
        let seen = Seen { asked: Some(Asked::Cancel), ..Seen::default() };
        let quicker = judge(&end(EndCause::Program, Exit::Code(0)), &limits(), &seen);
        assert_eq!(quicker.reason, Reason::Exited, "it had ended before");
    }

    #[test]
    fn a_lost_spawner_is_a_restart() {
        let termination = judged(&end(EndCause::SpawnerLost, Exit::Unknown));
        assert_eq!(termination.reason, Reason::DaemonRestart);
        assert_eq!((termination.exit_code, termination.signal), (None, None));
        assert!(termination.message.is_some());
    }

    #[test]
    fn every_limit_that_was_hit_is_listed() {
        let mut all = end(EndCause::Program, Exit::Signal(signal::SIGXFSZ));
        all.counters = Counters {
            memory_denied: Some(1),
            swap_denied: Some(1),
            processes_denied: Some(1),
            disk_free: Some(0),
            inodes_free: Some(0),
            ..Counters::default()
        };
        let termination = judged(&all);
        assert_eq!(termination.reason, Reason::Signaled);
        let names = serde_json::to_string(&termination.limits_hit).unwrap();
        let expected = r#"["memory","swap","processes","disk_bytes","disk_inodes","file_size"]"#;
        assert_eq!(names, expected);
    }

    #[test]
    fn only_a_clean_compiler_lets_the_program_run() {
        let of = |cause, exit| after_compile(&judged(&end(cause, exit)));
        assert_eq!(of(EndCause::Program, Exit::Code(0)), None);
        let failed = of(EndCause::Program, Exit::Code(1)).unwrap();
        assert_eq!((failed.reason, failed.exit_code), (Reason::CompileFailed, None));
        assert!(failed.message.unwrap().contains("code 1"));
        for cause in [EndCause::WallTime, EndCause::Memory, EndCause::CpuTime] {
            let failed = of(cause, Exit::Signal(signal::SIGKILL)).unwrap();
            assert_eq!(failed.reason, Reason::CompileFailed);
        }
        let cancelled = Termination::without_exit(Reason::Cancelled, None);
        assert_eq!(after_compile(&cancelled), Some(cancelled));
    }

    #[test]
    fn a_refusal_names_limit_asked_and_ceiling() {
        let what = String::from("memory");
        let error = LaunchError::Refused { what, asked: 5, ceiling: 3 };
        let message = refusal(&error).message.unwrap();
        for word in ["memory", "5", "3"] {
            assert!(message.contains(word), "{message}");
        }
        assert_eq!(refusal(&LaunchError::Unavailable).reason, Reason::DaemonRestart);
    }

    #[test]
    fn what_the_kernel_cannot_say_is_absent() {
        let usage = usage(&Counters::default(), Duration::from_micros(5), Duration::ZERO);
        assert_eq!((usage.queue_us, usage.setup_us), (Some(5), Some(0)));
        assert_eq!((usage.wall_us, usage.memory_peak_bytes), (None, None));
    }
}
