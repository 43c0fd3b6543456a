//! A job as the execution family shows it (contract rules 5 to 8, 20, 22, 32, 39).
//!
//! Pure: a record and what was captured of its output go in, a body comes out.
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poem_openapi::Object;
use poem_openapi::types::MaybeUndefined;

use crate::api::amount::Amount;
use crate::api::core::Captured;
use crate::api::ending::{TerminationBody, UsageBody};
use crate::base::id::JobId;
use crate::base::time::{Timestamp, go_duration};
use crate::job::record::{Attempt, PhaseResult, Record};
use crate::job::request::Reach;
use crate::job::state::{State, Status};
use crate::job::usage::Usage;

/// A job. What a state does not have yet is absent; what the kernel cannot say is null.
#[derive(Debug, Object)]
#[oai(rename = "Job")]
pub(super) struct JobBody {
    /// Names the job.
    job_id: String,
    /// `pending`, `running`, `completed`, `failed`, `cancelled` or `timeout`.
    status: String,
    /// Language of the source.
    #[oai(skip_serializing_if_is_none)]
    language: Option<String>,
    /// Version of the language that was used.
    #[oai(skip_serializing_if_is_none)]
    version: Option<String>,
    /// Image that the job runs in; `host` are the host's own programs.
    image: String,
    /// SHA-256 of the image; absent for `host`.
    #[oai(skip_serializing_if_is_none)]
    image_digest: Option<String>,
    /// Wall time of the run phase at most, seconds.
    timeout: Amount,
    /// Memory at most, MiB.
    memory_limit: Amount,
    /// `true` where its program may use the network.
    #[oai(skip_serializing_if_is_none)]
    network_access: Option<bool>,
    /// When it was accepted.
    created_at: String,
    /// When its first phase began.
    #[oai(skip_serializing_if_is_none)]
    started_at: Option<String>,
    /// When it ended.
    #[oai(skip_serializing_if_is_none)]
    completed_at: Option<String>,
    /// Wall time of the run phase, as Go writes it.
    #[oai(skip_serializing_if_is_none)]
    duration: Option<String>,
    /// The program's exit code; null where it has none.
    #[oai(nullable)]
    exit_code: MaybeUndefined<i32>,
    /// What the program printed on descriptor 1.
    #[oai(skip_serializing_if_is_none)]
    stdout: Option<String>,
    /// The same, exactly; only where it is not UTF-8.
    #[oai(skip_serializing_if_is_none)]
    stdout_base64: Option<String>,
    /// How many bytes it printed there.
    #[oai(skip_serializing_if_is_none)]
    stdout_bytes: Option<u64>,
    /// Whether the middle is left out.
    #[oai(skip_serializing_if_is_none)]
    stdout_truncated: Option<bool>,
    /// What the program printed on descriptor 2.
    #[oai(skip_serializing_if_is_none)]
    stderr: Option<String>,
    /// The same, exactly; only where it is not UTF-8.
    #[oai(skip_serializing_if_is_none)]
    stderr_base64: Option<String>,
    /// How many bytes it printed there.
    #[oai(skip_serializing_if_is_none)]
    stderr_bytes: Option<u64>,
    /// Whether the middle is left out.
    #[oai(skip_serializing_if_is_none)]
    stderr_truncated: Option<bool>,
    /// How it ended.
    #[oai(skip_serializing_if_is_none)]
    termination: Option<TerminationBody>,
    /// What its run phase used.
    #[oai(skip_serializing_if_is_none)]
    usage: Option<UsageBody>,
    /// The compile phase, where there was one.
    #[oai(skip_serializing_if_is_none)]
    compile: Option<CompileBody>,
    /// What can be done with it now.
    #[oai(rename = "_links")]
    links: Links,
}

/// The compile phase of a job.
#[derive(Debug, Object)]
#[oai(rename = "CompilePhase")]
struct CompileBody {
    /// The compiler's exit code; null where it has none.
    #[oai(nullable)]
    exit_code: Option<i32>,
    /// Its wall time, as Go writes it.
    #[oai(skip_serializing_if_is_none)]
    duration: Option<String>,
    /// What it printed on descriptor 1.
    stdout: String,
    /// The same, exactly; only where it is not UTF-8.
    #[oai(skip_serializing_if_is_none)]
    stdout_base64: Option<String>,
    /// How many bytes it printed there.
    stdout_bytes: u64,
    /// Whether the middle is left out.
    stdout_truncated: bool,
    /// What it printed on descriptor 2.
    stderr: String,
    /// The same, exactly; only where it is not UTF-8.
    #[oai(skip_serializing_if_is_none)]
    stderr_base64: Option<String>,
    /// How many bytes it printed there.
    stderr_bytes: u64,
    /// Whether the middle is left out.
    stderr_truncated: bool,
    /// How it ended.
    termination: TerminationBody,
    /// What it used.
    usage: UsageBody,
}

/// What can be done with a job in its state.
#[derive(Debug, Object)]
#[oai(rename = "JobLinks")]
struct Links {
    /// The job itself.
    #[oai(rename = "self")]
    itself: Link,
    /// What it printed, every byte.
    output: Link,
    /// What is or was in force, in the form of the OCI runtime specification.
    spec: Link,
    /// `DELETE` ends it; only before it has ended.
    #[oai(skip_serializing_if_is_none)]
    cancel: Option<Link>,
    /// `DELETE` removes it with its data; only once it has ended.
    #[oai(skip_serializing_if_is_none)]
    data: Option<Link>,
}

/// Where something is.
#[derive(Debug, Object)]
struct Link {
    /// Path on this server.
    href: String,
    /// Method, where it is not GET.
    #[oai(skip_serializing_if_is_none)]
    method: Option<String>,
}

/// What an ended job printed.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// The program.
    pub(super) run: Streams,
    /// The compiler, where there was one.
    pub(super) compile: Streams,
}

/// Both streams of a phase.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Descriptor 1.
    pub(super) stdout: Captured,
    /// Descriptor 2.
    pub(super) stderr: Captured,
}

/// Path of a job.
pub(super) fn path(id: JobId) -> String {
    format!("/v1/jobs/{}", job_id(id))
}

/// Text of an id in this family.
pub(super) fn job_id(id: JobId) -> String {
    format!("job_{}", id.to_string().replace('-', ""))
}

/// The id that a path names, in any of its forms and any case; nothing when it is none.
pub(super) fn parse_job_id(text: &str) -> Option<JobId> {
    let text = text.to_ascii_lowercase();
    let Some(hex) = text.strip_prefix("job_") else { return text.parse().ok() };
    let is_plain = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    let parts = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)];
    if is_plain { parts.join("-").parse().ok() } else { None }
}

/// A moment in whole seconds, floored (contract rule 39).
pub(super) fn moment(at: Timestamp) -> String {
    let text = at.rfc3339();
    let seconds = text.split('.').next().unwrap_or_default();
    format!("{seconds}Z")
}

/// A job as it stands; `output` only once it has ended.
pub(super) fn job(record: &Record, output: Option<Output>) -> JobBody {
    let (started, ended) = match &record.observed {
        State::Queued => (None, None),
        State::Running { since } => (Some(*since), None),
        State::Ended { started, at, termination } => (*started, Some((*at, termination))),
    };
    let (work, image) = (&record.request.work, &record.request.image);
    let attempt = record.attempts.last();
    let run = attempt.and_then(|attempt| attempt.run.as_ref());
    let Output { run: printed, compile } = output.unwrap_or_default();
    let stdout = ended.map(|_| Text::of(printed.stdout));
    let stderr = ended.map(|_| Text::of(printed.stderr));
    JobBody {
        job_id: job_id(record.id),
        status: status(record.observed.status()).to_owned(),
        language: work.language().map(str::to_owned),
        version: attempt.and_then(|attempt| attempt.version.clone()),
        image: image.name().to_owned(),
        image_digest: image.digest().map(|digest| digest.to_string()),
        timeout: Amount::seconds(record.request.limits.wall),
        memory_limit: Amount::mib(record.request.limits.memory),
        network_access: (record.request.reach == Reach::Outside).then_some(true),
        created_at: moment(record.head.created),
        started_at: started.map(moment),
        completed_at: ended.map(|(at, _)| moment(at)),
        duration: run.and_then(duration),
        exit_code: match ended {
            None => MaybeUndefined::Undefined,
            Some((_, end)) => end.exit_code.map_or(MaybeUndefined::Null, MaybeUndefined::Value),
        },
        stdout_bytes: stdout.as_ref().map(|text| text.bytes),
        stdout_truncated: stdout.as_ref().map(|text| text.truncated),
        stdout_base64: stdout.as_ref().and_then(|text| text.base64.clone()),
        stdout: stdout.map(|text| text.lossy),
        stderr_bytes: stderr.as_ref().map(|text| text.bytes),
        stderr_truncated: stderr.as_ref().map(|text| text.truncated),
        stderr_base64: stderr.as_ref().and_then(|text| text.base64.clone()),
        stderr: stderr.map(|text| text.lossy),
        termination: ended.map(|(_, end)| end.into()),
        usage: ended.map(|_| run.map_or_else(Usage::default, |run| run.usage).into()),
        compile: attempt.and_then(|attempt| compile_phase(attempt, compile)),
        links: links(record),
    }
}

/// A job as a list shows it: without what it printed.
pub(super) fn listed(record: &Record) -> JobBody {
    JobBody {
        stdout: None,
        stdout_bytes: None,
        stdout_truncated: None,
        stderr: None,
        stderr_bytes: None,
        stderr_truncated: None,
        compile: None,
        ..job(record, None)
    }
}

fn links(record: &Record) -> Links {
    let path = path(record.id);
    let below = |name: &str| format!("{path}/{name}");
    let get = |href: String| Link { href, method: None };
    let delete = |href: String| Link { href, method: Some(String::from("DELETE")) };
    let ended = matches!(record.observed, State::Ended { .. });
    Links {
        output: get(below("output")),
        spec: get(below("spec")),
        cancel: (!ended).then(|| delete(path.clone())),
        data: ended.then(|| delete(below("data"))),
        itself: get(path),
    }
}

fn compile_phase(attempt: &Attempt, printed: Streams) -> Option<CompileBody> {
    let result = attempt.compile.as_ref()?;
    let (stdout, stderr) = (Text::of(printed.stdout), Text::of(printed.stderr));
    Some(CompileBody {
        exit_code: result.termination.exit_code,
        duration: duration(result),
        stdout: stdout.lossy,
        stdout_base64: stdout.base64,
        stdout_bytes: stdout.bytes,
        stdout_truncated: stdout.truncated,
        stderr: stderr.lossy,
        stderr_base64: stderr.base64,
        stderr_bytes: stderr.bytes,
        stderr_truncated: stderr.truncated,
        termination: (&result.termination).into(),
        usage: result.usage.into(),
    })
}

fn duration(phase: &PhaseResult) -> Option<String> {
    phase.usage.wall_us.map(|wall| go_duration(Duration::from_micros(wall)))
}

/// The words of the execution family (contract rule 5).
const fn status(status: Status) -> &'static str {
    match status {
        Status::Queued => "pending",
        Status::Running => "running",
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
        Status::TimedOut => "timeout",
    }
}

/// A stream as JSON shows it.
struct Text {
    lossy: String,
    base64: Option<String>,
    bytes: u64,
    truncated: bool,
}

impl Text {
    fn of(captured: Captured) -> Self {
        let Captured { bytes: shown, total: bytes, truncated } = captured;
        let (lossy, base64) = match String::from_utf8(shown) {
            Ok(text) => (text, None),
            Err(error) => {
                let exact = STANDARD.encode(error.as_bytes());
                (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(exact))
            }
        };
        Self { lossy, base64, bytes, truncated }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn an_id_is_read_in_both_forms_and_any_case() {
        let id = JobId::new();
        for text in [job_id(id), id.to_string(), job_id(id).to_uppercase()] {
            assert_eq!(parse_job_id(&text), Some(id), "{text}");
        }
        for text in ["", "job_", "abc123", "job_+123", &format!("{}0", job_id(id))] {
            assert_eq!(parse_job_id(text), None, "{text}");
        }
        assert_eq!(parse_job_id(&format!("job_{id}")), None);
    }

    #[test]
    fn moments_are_whole_seconds() {
        assert_eq!(moment(Timestamp(1_672_574_400_999_999)), "2023-01-01T12:00:00Z");
    }
}
