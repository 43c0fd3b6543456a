//! A core that does what a test says.
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use kiln::access::{Ownership, Permit, Principal};
use kiln::api::core::{
    CancelError, Captured, Check, Condition, Core, DeleteError, HostFacts, HostUsage, IdempotencyKey, JobFilter,
    JobPage, Load, Phase, ReadError, RemoveError, SHOWN_AT_MOST, Selection, SelfTestError, Stream, SubmitError,
    Submitted,
};
use kiln::base::id::{JobId, LogId};
use kiln::base::time::Timestamp;
use kiln::job::record::{Attempt, Family, Head, PhaseResult, Ran, Record, SCHEMA, Wanted};
use kiln::job::request::Request;
use kiln::job::request::offer::{KnownImage, KnownLanguage, Least, Offer, UsedImage};
use kiln::job::state::State;
use kiln::job::termination::{Reason, Termination};
use kiln::job::usage::Usage;
use kiln::selftest::{Finding, Report};
use kiln::telemetry::times::{Bucket, Times};
use serde_json::{Value, json};

pub(crate) const CREATED: Timestamp = Timestamp(1_672_574_400_250_000);
pub(crate) const NOW: Timestamp = Timestamp(1_672_583_400_000_000);

/// What the core does.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct FakeCore {
    pub refusal: Option<SubmitError>,
    pub ready: Result<(), String>,
    pub ends: bool,
    /// Cancelling does not end it in time.
    pub keeps_running: bool,
    pub panics: bool,
    pub stdout: Vec<u8>,
    pub compiled: bool,
    pub owner: String,
    pub jobs: Mutex<Vec<Record>>,
    pub waited: Mutex<Vec<Duration>>,
    /// What a self-test finds, once.
    pub findings: Result<Vec<Finding>, SelfTestError>,
    pub selftests: Mutex<u32>,
    pub images: Vec<KnownImage>,
    /// Why an image is not removed.
    pub kept: Option<RemoveError>,
    /// What was to be removed.
    pub removed: Mutex<Vec<String>>,
}

impl Default for FakeCore {
    fn default() -> Self {
        Self {
            refusal: None,
            ready: Ok(()),
            ends: true,
            keeps_running: false,
            panics: false,
            stdout: b"Hello, World!\n".to_vec(),
            compiled: false,
            owner: "admin".to_owned(),
            jobs: Mutex::default(),
            waited: Mutex::default(),
            findings: Ok(Vec::new()),
            selftests: Mutex::default(),
            images: Vec::new(),
            kept: None,
            removed: Mutex::default(),
        }
    }
}

pub(crate) fn exited(code: i32) -> Termination {
    Termination { exit_code: Some(code), ..Termination::without_exit(Reason::Exited, None) }
}

fn result(code: i32) -> PhaseResult {
    let usage = Usage { wall_us: Some(150_000), memory_peak_bytes: Some(4096), ..Usage::default() };
    PhaseResult { termination: exited(code), usage, stdout_bytes: 14, stderr_bytes: 0 }
}

impl FakeCore {
    fn record(&self, request: Request) -> Record {
        let ownership = Ownership { owner: self.owner.clone(), grants: Vec::new() };
        let started = Some(Timestamp(CREATED.0 + 500_000));
        let at = Timestamp(CREATED.0 + 1_000_000);
        let ended = State::Ended { started, at, termination: exited(0) };
        let attempt = Attempt {
            number: 1,
            ran: Ran::Yes,
            compile: self.compiled.then(|| result(1)),
            run: Some(result(0)),
            version: Some("3.11.2".to_owned()),
            first_id: Some(0x4000_0000),
        };
        Record {
            head: Head {
                schema: SCHEMA,
                ownership,
                family: Family::Execution,
                node: "here".to_owned(),
                revision: 1,
                created: CREATED,
            },
            id: JobId::new(),
            request,
            wanted: Wanted::Run,
            observed: if self.ends { ended } else { State::Queued },
            attempts: if self.ends { vec![attempt] } else { Vec::new() },
            log: LogId::new(),
        }
    }

    fn selected(&self, selection: Selection) -> Vec<u8> {
        match (selection.phase, selection.stream) {
            (Phase::Run, Some(Stream::Stdout) | None) => self.stdout.clone(),
            (Phase::Compile, Some(Stream::Stderr) | None) => b"warning".to_vec(),
            (Phase::Run, Some(Stream::Stderr)) | (Phase::Compile, Some(Stream::Stdout)) => Vec::new(),
        }
    }

    fn find(&self, job: JobId) -> Option<Record> {
        self.jobs.lock().unwrap().iter().find(|record| record.id == job).cloned()
    }
}

impl Core for FakeCore {
    fn submit<'a>(
        &'a self,
        _principal: &'a Principal,
        request: Request,
        key: Option<IdempotencyKey>,
    ) -> BoxFuture<'a, Result<Submitted, SubmitError>> {
        assert!(!self.panics, "a secret reason");
        if let Some(refusal) = self.refusal.clone() {
            return std::future::ready(Err(refusal)).boxed();
        }
        let mut jobs = self.jobs.lock().unwrap();
        let first = jobs.first().filter(|_| key.is_some()).map(|first| (first.id, first.request == request));
        let outcome = match first {
            Some((id, true)) => Ok(Submitted { id, again: true }),
            Some((_, false)) => Err(SubmitError::KeyTaken),
            None => {
                let record = self.record(request);
                let id = record.id;
                jobs.push(record);
                Ok(Submitted { id, again: false })
            }
        };
        std::future::ready(outcome).boxed()
    }

    fn wait(&self, job: JobId, patience: Duration) -> BoxFuture<'_, Result<Record, ReadError>> {
        self.waited.lock().unwrap().push(patience);
        let found = self.find(job).ok_or(ReadError("lost".to_owned()));
        std::future::ready(found).boxed()
    }

    fn job(&self, job: JobId) -> BoxFuture<'_, Result<Option<Record>, ReadError>> {
        std::future::ready(Ok(self.find(job))).boxed()
    }

    fn captured<'a>(
        &'a self,
        _record: &'a Record,
        phase: Phase,
        stream: Stream,
    ) -> BoxFuture<'a, Result<Captured, ReadError>> {
        let mut bytes = match (phase, stream) {
            (Phase::Run, Stream::Stdout) => self.stdout.clone(),
            (Phase::Compile, Stream::Stderr) => b"warning".to_vec(),
            (Phase::Run, Stream::Stderr) | (Phase::Compile, Stream::Stdout) => Vec::new(),
        };
        let total = u64::try_from(bytes.len()).unwrap();
        let truncated = total > SHOWN_AT_MOST.bytes();
        bytes.truncate(usize::try_from(SHOWN_AT_MOST.bytes()).unwrap());
        std::future::ready(Ok(Captured { bytes, total, truncated })).boxed()
    }

    fn selftest<'a>(
        &'a self,
        _principal: &'a Principal,
        _permit: Permit,
    ) -> BoxFuture<'a, Result<Report, SelfTestError>> {
        *self.selftests.lock().unwrap() += 1;
        let report = |findings| Report { started: CREATED, ended: NOW, findings };
        std::future::ready(self.findings.clone().map(report)).boxed()
    }

    fn remove_image(&self, image: String, _permit: Permit) -> BoxFuture<'_, Result<(), RemoveError>> {
        self.removed.lock().unwrap().push(image);
        std::future::ready(self.kept.clone().map_or(Ok(()), Err)).boxed()
    }

    fn load(&self) -> Load {
        Load { running: 5, queued: 2 }
    }

    fn output_bytes<'a>(&'a self, _record: &'a Record, selection: Selection) -> BoxFuture<'a, Result<u64, ReadError>> {
        let bytes = self.selected(selection).len().try_into().unwrap();
        std::future::ready(Ok(bytes)).boxed()
    }

    fn output(
        &self,
        _record: &Record,
        selection: Selection,
        range: Range<u64>,
    ) -> BoxStream<'static, Result<Bytes, ReadError>> {
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        let bytes = Bytes::from(self.selected(selection)).slice(range);
        stream::iter([Ok(bytes)]).boxed()
    }

    fn jobs(&self, filter: JobFilter, limit: usize, offset: u64) -> BoxFuture<'_, Result<JobPage, ReadError>> {
        let fits = |record: &&Record| {
            filter.owner.as_ref().is_none_or(|owner| *owner == record.head.ownership.owner)
                && filter.status.is_none_or(|status| status == record.observed.status())
                && filter.language.as_deref().is_none_or(|language| record.request.work.language() == Some(language))
        };
        let all: Vec<Record> = self.jobs.lock().unwrap().iter().rev().filter(fits).cloned().collect();
        let total = all.len().try_into().unwrap();
        let jobs = all.into_iter().skip(offset.try_into().unwrap()).take(limit).collect();
        std::future::ready(Ok(JobPage { jobs, total })).boxed()
    }

    fn delete<'a>(&'a self, record: &'a Record, _permit: Permit) -> BoxFuture<'a, Result<(), DeleteError>> {
        let ended = matches!(record.observed, State::Ended { .. });
        if ended {
            self.jobs.lock().unwrap().retain(|other| other.id != record.id);
        }
        std::future::ready(if ended { Ok(()) } else { Err(DeleteError::Unfinished) }).boxed()
    }

    fn spec(&self, record: &Record, phase: Phase) -> Result<Option<Value>, String> {
        Ok((phase == Phase::Run).then(|| json!({"hostname": record.head.node})))
    }

    fn cancel(&self, job: JobId, _permit: Permit) -> BoxFuture<'_, Result<(), CancelError>> {
        let mut jobs = self.jobs.lock().unwrap();
        let record = jobs.iter_mut().find(|record| record.id == job).unwrap();
        let termination = Termination::without_exit(Reason::Cancelled, None);
        let ended = record.observed.clone().end(NOW, termination).map_err(|_wrong| CancelError::Over);
        let stays = self.keeps_running;
        let outcome = ended.map(|state| {
            if !stays {
                record.observed = state;
            }
        });
        std::future::ready(outcome).boxed()
    }

    fn checks(&self) -> Vec<Check> {
        let (condition, message) = match &self.ready {
            Ok(()) => (Condition::Healthy, String::from("well")),
            Err(message) => (Condition::Unhealthy, message.clone()),
        };
        let queue = Check { part: "queue", condition: Condition::Degraded, message: String::from("full") };
        vec![Check { part: "sandbox", condition, message }, queue]
    }

    fn host(&self) -> HostFacts {
        let (kernel, cgroups) = (Some(String::from("6.1.0")), String::from("cgroup v2"));
        HostFacts {
            kernel,
            isolation: kiln::plan::isolation::Isolation { cgroups, landlock: Some(7) },
            max_concurrent: 4,
            max_queued: 100,
        }
    }

    fn offer(&self) -> Arc<Offer> {
        let known = |id: &str, version: Option<&str>| KnownLanguage {
            id: id.to_owned(),
            name: id.to_uppercase(),
            aliases: vec![format!("{id}x")],
            version: version.map(str::to_owned),
            file: format!("main.{id}"),
            extensions: vec![format!(".{id}")],
            reserved: (id == "c").then(|| String::from("program")),
            least: Least::default(),
            image: UsedImage::Host,
        };
        let languages = vec![known("python", Some("3.11.2")), known("bash", None), known("c", None)];
        Arc::new(Offer { languages, images: self.images.clone() })
    }

    fn times(&self) -> Vec<(&'static str, Times)> {
        let mut times = Times::default();
        times.add(Bucket { us: 10, count: 3 });
        vec![("setup", times)]
    }

    fn host_usage(&self) -> HostUsage {
        HostUsage { cpu_percent: Some(45.5), memory_mib: Some(1024), disk_mib: None }
    }
}
