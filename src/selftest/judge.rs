//! From what was seen of an attempt to what it means. Pure.
use std::fmt::Debug;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde::Serialize;

use super::Verdict;
use super::attempt::{Attempt, Stop};
use super::line::{Line, Outcome};
use crate::job::termination::{LimitHit, Reason, Termination};

/// Judges an attempt by what the probe said and by how its job ended. The second is what was seen, for people.
pub fn judge(attempt: &Attempt, said: &[Line], end: &Termination) -> (Verdict, String) {
    let mut outcomes = said.iter().filter(|line| line.name == attempt.name).map(|line| line.outcome);
    let (first, second) = (outcomes.next(), outcomes.next());
    match (first, second) {
        (Some(Outcome::Through(given)), _) | (_, Some(Outcome::Through(given))) => {
            (Verdict::GotThrough, format!("nothing stopped it: the call gave {given}"))
        }
        (Some(_), Some(_)) => (Verdict::Unexpected, String::from("it was told twice what came of it")),
        (Some(outcome), None) => by_outcome(attempt, outcome, end),
        (None, _) => by_end(attempt, end),
    }
}

fn by_outcome(attempt: &Attempt, outcome: Outcome, end: &Termination) -> (Verdict, String) {
    if let Some(how) = attempt.stops.iter().find_map(|stop| stopped(*stop, outcome, end)) {
        return (Verdict::Stopped, how);
    }
    let instead = match outcome {
        Outcome::Untried(errno) => return (Verdict::NotTried, format!("it could not be tried: {}", errno_name(errno))),
        Outcome::Refused(errno) => format!("refused by {}", errno_name(errno)),
        Outcome::Killed(signal) => format!("killed by {}", signal_name(signal)),
        Outcome::Hollow => String::from("allowed, and nothing gained"),
        Outcome::Through(given) => return (Verdict::GotThrough, format!("nothing stopped it: the call gave {given}")),
    };
    (Verdict::Unexpected, format!("{instead}, {}", expected(attempt)))
}

/// How this stop shows itself in what the probe said, if it does.
fn stopped(stop: Stop, outcome: Outcome, end: &Termination) -> Option<String> {
    match (stop, outcome) {
        (Stop::Refused(wanted), Outcome::Refused(errno)) if is_errno(wanted, errno) => {
            Some(format!("refused by {wanted:?}"))
        }
        (Stop::Limited(wanted, hit), Outcome::Refused(errno))
            if is_errno(wanted, errno) && end.limits_hit.contains(&hit) =>
        {
            Some(format!("refused by {wanted:?}, limit hit: {}", word(hit)))
        }
        (Stop::Killed(wanted), Outcome::Killed(signal)) if is_signal(wanted, signal) => {
            Some(format!("killed by {wanted}"))
        }
        (Stop::Hollow(why), Outcome::Hollow) => Some(why.to_owned()),
        _ => None,
    }
}

/// The probe said nothing of it.
fn by_end(attempt: &Attempt, end: &Termination) -> (Verdict, String) {
    for stop in attempt.stops {
        match *stop {
            Stop::Ended(reason) if reason == end.reason => {
                return (Verdict::Stopped, format!("ended by {}", word(reason)));
            }
            Stop::Signaled(signal, hit) if is_end_by(end, signal, hit) => {
                return (Verdict::Stopped, format!("killed by {signal}, limit hit: {}", word(hit)));
            }
            Stop::Refused(_)
            | Stop::Killed(_)
            | Stop::Hollow(_)
            | Stop::Limited(..)
            | Stop::Ended(_)
            | Stop::Signaled(..) => {}
        }
    }
    let ended = match &end.message {
        Some(message) => format!("its job ended by {}: {message}", word(end.reason)),
        None => format!("its job ended by {}", word(end.reason)),
    };
    match end.reason {
        Reason::CompileFailed
        | Reason::Cancelled
        | Reason::Preempted
        | Reason::QueueTimeout
        | Reason::SetupFailed
        | Reason::DaemonRestart => (Verdict::NotTried, ended),
        Reason::Exited => (Verdict::NotTried, String::from("the program ended and said nothing of it")),
        Reason::Signaled
        | Reason::CpuTimeLimit
        | Reason::WallTimeLimit
        | Reason::MemoryLimit
        | Reason::OutputLimit
        | Reason::SeccompDenied => (Verdict::Unexpected, format!("{ended}, {}", expected(attempt))),
    }
}

fn is_end_by(end: &Termination, signal: Signal, hit: LimitHit) -> bool {
    end.reason == Reason::Signaled && end.signal.as_deref() == Some(signal.as_str()) && end.limits_hit.contains(&hit)
}

fn expected(attempt: &Attempt) -> String {
    let ways = attempt.stops.iter().map(|stop| match stop {
        Stop::Refused(errno) => format!("{errno:?}"),
        Stop::Killed(signal) => format!("{signal}"),
        Stop::Hollow(why) => (*why).to_owned(),
        Stop::Limited(errno, hit) => format!("{errno:?} with the limit {}", word(hit)),
        Stop::Ended(reason) => word(reason),
        Stop::Signaled(signal, hit) => format!("{signal} with the limit {}", word(hit)),
    });
    format!("expected: {}", ways.collect::<Vec<_>>().join(" or "))
}

fn is_errno(wanted: Errno, number: i32) -> bool {
    wanted == Errno::from_raw(number)
}

fn is_signal(wanted: Signal, number: i32) -> bool {
    Signal::try_from(number) == Ok(wanted)
}

fn errno_name(number: i32) -> String {
    let errno = Errno::from_raw(number);
    if errno == Errno::UnknownErrno { format!("error {number}") } else { format!("{errno:?}") }
}

fn signal_name(number: i32) -> String {
    Signal::try_from(number).map_or_else(|_unknown| format!("signal {number}"), |signal| signal.to_string())
}

/// The word that the API has for it.
fn word(of: impl Serialize + Debug) -> String {
    let value = serde_json::to_value(&of).ok();
    value.as_ref().and_then(|value| value.as_str()).map_or_else(|| format!("{of:?}"), str::to_owned)
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::selftest::Layer;

    const MOUNT: Attempt = Attempt {
        name: "mount",
        tries: "mount a tmpfs",
        layers: &[Layer::Seccomp],
        stops: &[Stop::Refused(Errno::EPERM), Stop::Killed(Signal::SIGSYS), Stop::Hollow("empty")],
    };
    const FORKS: Attempt = Attempt {
        name: "forks",
        tries: "start processes",
        layers: &[Layer::ControlGroup],
        stops: &[Stop::Limited(Errno::EAGAIN, LimitHit::Processes)],
    };
    const MEMORY: Attempt = Attempt {
        name: "memory",
        tries: "use memory",
        layers: &[Layer::ControlGroup],
        stops: &[Stop::Ended(Reason::MemoryLimit)],
    };
    const FILE: Attempt = Attempt {
        name: "file",
        tries: "make a long file",
        layers: &[Layer::ResourceLimits],
        stops: &[Stop::Signaled(Signal::SIGXFSZ, LimitHit::FileSize)],
    };

    fn end(reason: Reason) -> Termination {
        Termination::without_exit(reason, None)
    }

    fn said(name: &str, outcome: Outcome) -> Vec<Line> {
        vec![Line { name: name.to_owned(), outcome }]
    }

    #[track_caller]
    fn expect(attempt: &Attempt, said: &[Line], end: &Termination, verdict: Verdict, how: &str) {
        assert_eq!(judge(attempt, said, end), (verdict, how.to_owned()));
    }

    #[test]
    fn each_way_that_is_written_down_is_well() {
        let exited = end(Reason::Exited);
        expect(&MOUNT, &said("mount", Outcome::Refused(1)), &exited, Verdict::Stopped, "refused by EPERM");
        expect(&MOUNT, &said("mount", Outcome::Killed(31)), &exited, Verdict::Stopped, "killed by SIGSYS");
        expect(&MOUNT, &said("mount", Outcome::Hollow), &exited, Verdict::Stopped, "empty");
        expect(&MEMORY, &[], &end(Reason::MemoryLimit), Verdict::Stopped, "ended by memory_limit");
    }

    #[test]
    fn what_went_well_got_through_whatever_else_was_seen() {
        let through = Outcome::Through(7);
        let how = "nothing stopped it: the call gave 7";
        expect(&MOUNT, &said("mount", through), &end(Reason::Exited), Verdict::GotThrough, how);
        expect(&MEMORY, &said("memory", through), &end(Reason::MemoryLimit), Verdict::GotThrough, how);
        let twice = [said("mount", Outcome::Refused(1)), said("mount", through)].concat();
        expect(&MOUNT, &twice, &end(Reason::Exited), Verdict::GotThrough, how);
    }

    #[test]
    fn another_failure_is_not_the_wall_that_was_meant() {
        let exited = end(Reason::Exited);
        let expected = "expected: EPERM or SIGSYS or empty";
        let otherwise = |outcome, how: &str| {
            let how = format!("{how}, {expected}");
            expect(&MOUNT, &said("mount", outcome), &exited, Verdict::Unexpected, &how);
        };
        otherwise(Outcome::Refused(22), "refused by EINVAL");
        otherwise(Outcome::Refused(4000), "refused by error 4000");
        otherwise(Outcome::Killed(11), "killed by SIGSEGV");
        let how = "its job ended by wall_time_limit, expected: memory_limit";
        expect(&MEMORY, &[], &end(Reason::WallTimeLimit), Verdict::Unexpected, how);
        let twice = [said("mount", Outcome::Refused(1)), said("mount", Outcome::Killed(31))].concat();
        expect(&MOUNT, &twice, &exited, Verdict::Unexpected, "it was told twice what came of it");
    }

    #[test]
    fn a_limit_must_be_seen_by_the_job_as_well() {
        let refused = said("forks", Outcome::Refused(11));
        let hit = Termination { limits_hit: vec![LimitHit::Processes], ..end(Reason::Exited) };
        expect(&FORKS, &refused, &hit, Verdict::Stopped, "refused by EAGAIN, limit hit: processes");
        let how = "refused by EAGAIN, expected: EAGAIN with the limit processes";
        expect(&FORKS, &refused, &end(Reason::Exited), Verdict::Unexpected, how);
        let signaled = |signal: &str, limits_hit| {
            let signal = Some(signal.to_owned());
            judge(&FILE, &[], &Termination { signal, limits_hit, ..end(Reason::Signaled) }).0
        };
        assert_eq!(signaled("SIGXFSZ", vec![LimitHit::FileSize]), Verdict::Stopped);
        assert_eq!(signaled("SIGXFSZ", Vec::new()), Verdict::Unexpected);
        assert_eq!(signaled("SIGSEGV", vec![LimitHit::FileSize]), Verdict::Unexpected);
    }

    #[test]
    fn what_was_not_made_is_not_well() {
        let exited = end(Reason::Exited);
        let untried = said("mount", Outcome::Untried(11));
        expect(&MOUNT, &untried, &exited, Verdict::NotTried, "it could not be tried: EAGAIN");
        let silent = "the program ended and said nothing of it";
        expect(&MOUNT, &said("umount", Outcome::Refused(1)), &exited, Verdict::NotTried, silent);
        expect(&MEMORY, &[], &exited, Verdict::NotTried, silent);
        let failed = Termination::without_exit(Reason::SetupFailed, Some(String::from("no cgroup")));
        expect(&MOUNT, &[], &failed, Verdict::NotTried, "its job ended by setup_failed: no cgroup");
        for reason in [Reason::Cancelled, Reason::DaemonRestart, Reason::QueueTimeout, Reason::Preempted] {
            assert_eq!(judge(&MEMORY, &[], &end(reason)).0, Verdict::NotTried);
        }
    }
}
