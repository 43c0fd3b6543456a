//! Makes the attempts, one job after another, within a time.
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::attempt::Attempt;
use super::exhaustion::{EXHAUSTION, LIMITS};
use super::judge::judge;
use super::line::lines;
use super::table::BRIEF;
use super::{ALL_BRIEF, Finding, Report, Verdict};
use crate::base::id::JobId;
use crate::base::time::{Clock, instant};
use crate::job::limits::Limits;
use crate::job::request::offer::UsedImage;
use crate::job::request::{Reach, Request, Work};
use crate::job::termination::Termination;

/// The whole self-test. What has not begun by then is not tried: a client waits somewhat longer for an answer.
const LONGEST: Duration = Duration::from_secs(80);

/// Runs jobs as those of any caller are run.
pub trait Runs: Send + Sync {
    /// Runs one to its end, or ends it after `longest`.
    ///
    /// The error says for people why it could not be run.
    fn run(&self, request: Request, longest: Duration) -> BoxFuture<'_, Result<Ran, NotRun>>;
}

/// A job that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Which.
    pub job: JobId,
    /// How it ended.
    pub end: Termination,
    /// What it printed on descriptor 1, or its beginning and its end.
    pub stdout: Vec<u8>,
}

/// A job that has no end to be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRun {
    /// Which, where it was accepted.
    pub job: Option<JobId>,
    /// Why, for people.
    pub reason: String,
}

/// Makes every attempt. `host` are the namespaces that no sandbox may share, as links below /proc/PID/ns say them.
pub async fn run(runs: &impl Runs, clock: &dyn Clock, host: &[String]) -> Report {
    run_within(LONGEST, runs, clock, host).await
}

async fn run_within(longest: Duration, runs: &impl Runs, clock: &dyn Clock, host: &[String]) -> Report {
    let (started, begin) = (clock.now(), instant());
    let mut findings = Vec::new();
    let all = std::iter::once((ALL_BRIEF, &LIMITS, BRIEF.iter().collect::<Vec<_>>()));
    let alone = EXHAUSTION.iter().map(|row| (row.attempt.name, &row.limits, vec![&row.attempt]));
    for (name, limits, attempts) in all.chain(alone) {
        let left = longest.saturating_sub(begin.elapsed());
        let ran = if left.is_zero() {
            let reason = format!("there was no time left: a self-test takes at most {} s", longest.as_secs());
            Err(NotRun { job: None, reason })
        } else {
            runs.run(request(name, limits, host), left).await
        };
        findings.extend(judged(&attempts, &ran));
    }
    Report { started, ended: clock.now(), findings }
}

fn request(attempt: &str, limits: &Limits, host: &[String]) -> Request {
    let work = Work::Probe { attempt: attempt.to_owned() };
    Request {
        work,
        image: UsedImage::Host,
        args: host.to_vec(),
        stdin: Vec::new(),
        environment: Vec::new(),
        limits: *limits,
        reach: Reach::Nothing,
    }
}

fn judged(attempts: &[&'static Attempt], ran: &Result<Ran, NotRun>) -> Vec<Finding> {
    match ran {
        Ok(Ran { job, end, stdout }) => {
            let said = lines(stdout);
            let finding = |attempt: &&'static Attempt| {
                let (verdict, how) = judge(attempt, &said, end);
                Finding { attempt, verdict, how, job: Some(*job) }
            };
            attempts.iter().map(finding).collect()
        }
        Err(NotRun { job, reason }) => {
            let finding = |attempt: &&'static Attempt| Finding {
                attempt,
                verdict: Verdict::NotTried,
                how: reason.clone(),
                job: *job,
            };
            attempts.iter().map(finding).collect()
        }
    }
}

#[cfg(test)]
mod test {
    use std::fmt::Write as _;
    use std::sync::Mutex;

    use futures_util::FutureExt as _;
    use nix::errno::Errno;
    use nix::sys::signal::Signal;

    use super::*;
    use crate::base::time::Timestamp;
    use crate::job::termination::{LimitHit, Reason};
    use crate::selftest::attempt::Stop;
    use crate::selftest::{Conclusion, Verdict};

    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> Timestamp {
            Timestamp(7)
        }
    }

    /// A host on which every attempt is stopped as it should be, but for what a test says.
    #[derive(Default)]
    struct Host {
        /// Of this attempt the probe says this instead.
        but: Option<(&'static str, &'static str)>,
        /// The job of this attempt cannot be run.
        without: Option<&'static str>,
        asked: Mutex<Vec<Request>>,
    }

    impl Runs for Host {
        fn run(&self, request: Request, longest: Duration) -> BoxFuture<'_, Result<Ran, NotRun>> {
            assert!(!longest.is_zero() && longest <= LONGEST);
            let Work::Probe { attempt } = request.work.clone() else { panic!("another work") };
            self.asked.lock().unwrap().push(request);
            if self.without == Some(attempt.as_str()) {
                let not_run = NotRun { job: None, reason: String::from("the queue is full") };
                return std::future::ready(Err(not_run)).boxed();
            }
            let alone = EXHAUSTION.iter().find(|row| row.attempt.name == attempt).map(|row| &row.attempt);
            let attempts = alone.map_or_else(|| BRIEF.iter().collect::<Vec<_>>(), |attempt| vec![attempt]);
            let mut end = Termination::without_exit(Reason::Exited, None);
            let mut text = String::new();
            for attempt in attempts {
                let said = stopped_first(attempt, &mut end);
                let but = self.but.filter(|(name, _)| *name == attempt.name).map(|(_, said)| said.to_owned());
                if let Some(said) = but.or(said) {
                    writeln!(text, "{}\t{said}", attempt.name).unwrap();
                }
            }
            std::future::ready(Ok(Ran { job: JobId::new(), end, stdout: text.into_bytes() })).boxed()
        }
    }

    /// What the probe says, and how the job ends, where the first way that is written down stopped it.
    fn stopped_first(attempt: &Attempt, end: &mut Termination) -> Option<String> {
        let number = |errno: Errno| (1..200).find(|number| Errno::from_raw(*number) == errno).unwrap();
        match *attempt.stops.first().unwrap() {
            Stop::Refused(errno) => Some(format!("refused\t{}", number(errno))),
            Stop::Killed(Signal::SIGSYS) => Some(String::from("killed\t31")),
            Stop::Killed(other) => panic!("{other}"),
            Stop::Hollow(_) => Some(String::from("hollow\t0")),
            Stop::Limited(errno, hit) => {
                end.limits_hit = vec![hit];
                Some(format!("refused\t{}", number(errno)))
            }
            Stop::Ended(reason) => {
                end.reason = reason;
                None
            }
            Stop::Signaled(signal, hit) => {
                *end = Termination { signal: Some(signal.to_string()), limits_hit: vec![hit], ..end.clone() };
                end.reason = Reason::Signaled;
                None
            }
        }
    }

    async fn report(host: &Host) -> Report {
        run(host, &Stopped, &[String::from("net:[1]")]).await
    }

    fn not_well(report: &Report) -> Vec<(&str, Verdict)> {
        let findings = report.findings.iter().filter(|finding| finding.verdict != Verdict::Stopped);
        findings.map(|finding| (finding.attempt.name, finding.verdict)).collect()
    }

    #[tokio::test]
    async fn a_host_that_stops_everything_holds_and_every_attempt_is_told_once() {
        let host = Host::default();
        let report = report(&host).await;
        assert_eq!((not_well(&report), report.conclusion()), (vec![], Conclusion::Holds));
        let mut names: Vec<&str> = report.findings.iter().map(|finding| finding.attempt.name).collect();
        assert_eq!(names.len(), BRIEF.len() + EXHAUSTION.len());
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), BRIEF.len() + EXHAUSTION.len(), "two have one name");
        assert!(report.findings.iter().all(|finding| finding.job.is_some() && !finding.attempt.layers.is_empty()));
        let asked = host.asked.into_inner().unwrap();
        assert_eq!(asked.len(), 1 + EXHAUSTION.len());
        assert!(asked.iter().all(|request| request.args == ["net:[1]"]));
    }

    #[tokio::test]
    async fn one_attempt_that_gets_through_is_enough() {
        for name in BRIEF.iter().chain(EXHAUSTION.iter().map(|row| &row.attempt)).map(|attempt| attempt.name) {
            let report = report(&Host { but: Some((name, "through\t0")), ..Host::default() }).await;
            assert_eq!(not_well(&report), [(name, Verdict::GotThrough)]);
            assert_eq!(report.conclusion(), Conclusion::Broken);
        }
    }

    #[tokio::test]
    async fn a_failure_of_another_kind_proves_nothing() {
        let report = report(&Host { but: Some(("mount", "refused\t22")), ..Host::default() }).await;
        assert_eq!(not_well(&report), [("mount", Verdict::Unexpected)]);
        assert_eq!(report.conclusion(), Conclusion::Unproven);
    }

    #[tokio::test]
    async fn a_job_that_cannot_be_run_proves_nothing_and_the_others_are_made() {
        let report = report(&Host { without: Some("memory"), ..Host::default() }).await;
        assert_eq!(not_well(&report), [("memory", Verdict::NotTried)]);
        let memory = report.findings.iter().find(|finding| finding.attempt.name == "memory").unwrap();
        assert_eq!((memory.how.as_str(), memory.job), ("the queue is full", None));
        assert_eq!(report.conclusion(), Conclusion::Unproven);
    }

    #[tokio::test]
    async fn what_there_is_no_time_for_is_not_tried() {
        let host = Host::default();
        let report = run_within(Duration::ZERO, &host, &Stopped, &[]).await;
        assert_eq!(report.count(Verdict::NotTried), BRIEF.len() + EXHAUSTION.len());
        assert_eq!((report.conclusion(), host.asked.into_inner().unwrap().len()), (Conclusion::Unproven, 0));
    }

    #[test]
    fn a_report_of_nothing_shows_nothing() {
        let report = Report { started: Timestamp(1), ended: Timestamp(2), findings: Vec::new() };
        assert_eq!(report.conclusion(), Conclusion::Unproven);
    }

    #[test]
    fn limits_that_are_hit_are_told_by_the_attempts_that_hit_them() {
        let hits = EXHAUSTION.iter().flat_map(|row| row.attempt.stops).filter_map(|stop| match stop {
            Stop::Limited(_, hit) | Stop::Signaled(_, hit) => Some(*hit),
            Stop::Refused(_) | Stop::Killed(_) | Stop::Hollow(_) | Stop::Ended(_) => None,
        });
        let hits: std::collections::HashSet<LimitHit> = hits.collect();
        for hit in [LimitHit::Processes, LimitHit::DiskBytes, LimitHit::DiskInodes, LimitHit::FileSize] {
            assert!(hits.contains(&hit), "{hit:?}");
        }
    }
}
