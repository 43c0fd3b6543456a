//! Which job runs when, and running it: first come, first served, within two bounds.
//!
//! ```text
//! submit ─► waiting line ─► place ─► attempt ─► record, durable ─► whoever waits
//!              │ cancel                │ cancel, stop: the sandbox is ended, then as ever
//!              ▼                       ▼
//!            ended                   ended
//! ```
//!
//! A record is changed by one party at a time: by whoever takes the job out of the line (a free
//! place, or its cancelling), then by that attempt alone. An end is shown only once it is durable.
//!
//! SIGKILL takes back nothing that was written. A power loss takes back nothing that [`Queue::wait`]
//! told, of a job that waited, or that ran longer than 10 ms.
//!
//! Not here: who may do what (callers ask `access`), HTTP, how a sandbox is made (`launch`).
mod decide;
mod drain;
mod idempotency;
mod live;
mod outcome;
mod phase;
mod place;
mod program;
mod recover;
mod remove;
mod run;
mod runtimes;
pub mod spec;
mod stopwatches;
mod versions;

#[cfg(test)]
mod test;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::access::{Ownership, Permit, Principal};
use crate::base::digest::Digest;
use crate::base::id::{JobId, LogId};
use crate::base::time::{Clock, instant};
use crate::image::library::Library;
use crate::job::record::{Family, Head, Record, SCHEMA, Wanted};
use crate::job::request::Request;
use crate::job::state::{State, Status};
use crate::job::termination::{Reason, Termination};
use crate::lang::Languages;
use crate::launch::Launcher;
use crate::store::{Claim, Claimed, Held, Store, StoreError};
use crate::telemetry::times::Times;
use decide::{Admission, Bounds, Pace};
use live::Live;
use outcome::Asked;
use place::Entered;
use run::{Execute, SandboxWork};
use stopwatches::Stopwatches;

pub use decide::Load;
pub use idempotency::IdempotencyKey;
pub use live::Progress;
pub use recover::Recovered;
pub use remove::DeleteError;
pub use runtimes::Runtimes;
pub use versions::Versions;

/// The queue's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Jobs that run at the same time.
    pub max_concurrent: usize,
    /// Jobs that wait.
    pub max_queued: usize,
    /// Name of this host, for the records.
    pub node: String,
}

/// What the queue works with.
pub struct Parts {
    /// Where records are.
    pub store: Arc<Store>,
    /// Directory of the logs.
    pub logs: PathBuf,
    /// Makes sandboxes.
    pub launcher: Launcher,
    /// The languages of the host's image.
    pub languages: Arc<Languages>,
    /// Their versions, as they become known.
    pub versions: Versions,
    /// The other images.
    pub images: Arc<Library>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("logs", &self.logs).finish_non_exhaustive()
    }
}

/// A job was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// All places are taken and the line is full.
    #[error("the queue is full")]
    Full {
        /// When there may be room, in seconds.
        retry_after_s: u64,
    },
    /// The job could not be recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The idempotency key stands for another request.
    #[error("the idempotency key was used for another request")]
    KeyTaken,
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
}

/// A job that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Which.
    pub id: JobId,
    /// Whether it was accepted before, under the same key.
    pub again: bool,
}

/// What cancelling did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The job has ended.
    Ended,
    /// The job is being ended; wait for it.
    Ending,
}

/// A job was not cancelled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// There is no such job.
    #[error("there is no such job")]
    Unknown,
    /// It had ended before.
    #[error("the job had ended before: {0:?}")]
    Over(Status),
    /// The end could not be recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The queue of one daemon. Copies are the same queue.
#[derive(Clone)]
pub struct Queue(Arc<Core>);

struct Core {
    config: QueueConfig,
    store: Arc<Store>,
    logs: PathBuf,
    clock: Arc<dyn Clock>,
    work: Arc<dyn Execute>,
    ledger: Mutex<Ledger>,
    watches: Arc<Stopwatches>,
    /// Attempts whose end is not yet durable.
    unsettled: watch::Sender<usize>,
}

/// Who waits and who runs. The lock is never held across an await or a call of the store.
#[derive(Default)]
struct Ledger {
    waiting: VecDeque<JobId>,
    live: HashMap<JobId, Arc<Live>>,
    running: usize,
    /// Jobs that were admitted and are being recorded.
    entering: usize,
    pace: Pace,
    stopping: bool,
}

impl Ledger {
    fn load(&self) -> Load {
        Load { running: self.running, queued: self.waiting.len().saturating_add(self.entering) }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let load = self.load();
        f.debug_struct("Queue").field("config", &self.0.config).field("load", &load).finish()
    }
}

impl Queue {
    /// A queue that runs its work in sandboxes. Nothing starts before [`Queue::recover`] or
    /// [`Queue::submit`].
    pub fn new(config: QueueConfig, parts: Parts) -> Self {
        let Parts { store, logs, launcher, languages, versions, images, clock } = parts;
        let runtimes = Runtimes { languages, versions, images };
        let work = SandboxWork { launcher, runtimes, logs: logs.clone(), clock: Arc::clone(&clock) };
        Self::with_work(config, store, logs, clock, Arc::new(work))
    }

    fn with_work(
        config: QueueConfig,
        store: Arc<Store>,
        logs: PathBuf,
        clock: Arc<dyn Clock>,
        work: Arc<dyn Execute>,
    ) -> Self {
        let (ledger, watches, unsettled) = (Mutex::default(), Arc::default(), watch::Sender::new(0));
        Self(Arc::new(Core { config, store, logs, clock, work, ledger, watches, unsettled }))
    }

    /// Accepts a job, or finds the one that was accepted under this key. It survives the end of this process when this
    /// returns, and a power loss when [`Queue::wait`] has.
    ///
    /// # Errors
    /// When there is no room, the key stands for another request, the daemon is stopping, or the job
    /// cannot be recorded.
    pub async fn submit(
        &self,
        principal: &Principal,
        request: Request,
        key: Option<IdempotencyKey>,
    ) -> Result<Submitted, SubmitError> {
        let arrived = instant();
        let claim = key.map(|key| idempotency::claim(principal, &key, &request, self.0.clock.now())).transpose()?;
        if let Some(claim) = &claim
            && let Some(held) = self.0.store.held(&claim.scope, &claim.key)?
        {
            return self.again(claim, &held).await;
        }
        self.admit()?;
        let record = self.new_record(principal, request);
        let id = record.id;
        let created = match &claim {
            None => self.0.store.create_job(&record).map(|()| Claimed::New),
            Some(claim) => self.0.store.create_job_keyed(&record, claim),
        };
        let new = matches!(created, Ok(Claimed::New)).then_some(record);
        let entered = self.enter(new);
        if let (Claimed::Taken(held), Some(claim)) = (created?, &claim) {
            return self.again(claim, &held).await;
        }
        match entered {
            Entered::Begun => {}
            Entered::Waits => {
                self.start_waiting();
                self.0.store.commit().await?;
            }
        }
        self.0.watches.accept.record(arrived.elapsed());
        Ok(Submitted { id, again: false })
    }

    /// The job that somebody with this key made before, once it is durable.
    async fn again(&self, claim: &Claim, held: &Held) -> Result<Submitted, SubmitError> {
        match held.job {
            Some(id) if held.value == claim.value => {
                self.0.store.commit().await?;
                Ok(Submitted { id, again: true })
            }
            Some(_) | None => Err(SubmitError::KeyTaken),
        }
    }

    /// The job as it is recorded, if there is one.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn job(&self, id: JobId) -> Result<Option<Record>, StoreError> {
        self.0.store.job(id)
    }

    /// Follows a job that has not ended.
    pub fn watch(&self, id: JobId) -> Option<watch::Receiver<Progress>> {
        self.ledger().live.get(&id).map(|live| live.watch())
    }

    /// The job once it has ended, or as it is when the time is up. What is told is durable. Any number may wait.
    ///
    /// # Errors
    /// When the record cannot be read, or the end of the job could not be recorded.
    pub async fn wait(&self, id: JobId, longest: Duration) -> Result<Option<Record>, StoreError> {
        let mut durable = false;
        if let Some(mut progress) = self.watch(id) {
            let over = progress.wait_for(Progress::is_over);
            if let Ok(Ok(last)) = tokio::time::timeout(longest, over).await {
                last.fault.clone().map_or(Ok(()), Err)?;
                durable = true;
            }
        }
        let record = self.job(id)?;
        if !durable {
            self.0.store.commit().await?;
        }
        Ok(record)
    }

    /// Ends a job: at once when it waits, else its sandbox is asked to end.
    ///
    /// # Errors
    /// When there is no such job, it had ended, or its end cannot be recorded.
    pub async fn cancel(&self, id: JobId, _proof: Permit) -> Result<Cancelled, CancelError> {
        let (waited, live) = {
            let mut ledger = self.ledger();
            let place = ledger.waiting.iter().position(|waiting| *waiting == id);
            let waited = place.and_then(|place| ledger.waiting.remove(place)).is_some();
            (waited, ledger.live.get(&id).cloned())
        };
        match live {
            Some(live) if waited => {
                let ended = self.end_waiting(id, &live).await;
                self.ledger().live.remove(&id);
                ended.map(|()| Cancelled::Ended).map_err(CancelError::Store)
            }
            Some(live) => {
                live.ask(Asked::Cancel);
                Ok(Cancelled::Ending)
            }
            None => {
                let record = self.job(id)?.ok_or(CancelError::Unknown)?;
                Err(CancelError::Over(record.observed.status()))
            }
        }
    }

    /// Whether a job that has not ended is to run in this image.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn has_use_for(&self, image: Digest) -> Result<bool, StoreError> {
        let alive: Vec<JobId> = self.ledger().live.keys().copied().collect();
        for id in alive {
            // A job whose end is recorded stays in the ledger until that is durable.
            let waits_for = |record: Record| !record.observed.is_over() && record.request.image.digest() == Some(image);
            if self.job(id)?.is_some_and(waits_for) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Why nothing can be made durable any more, where that is so.
    pub fn store_fault(&self) -> Option<StoreError> {
        self.0.store.fault()
    }

    /// How many jobs may run at once, and how many may wait.
    pub fn capacity(&self) -> (usize, usize) {
        (self.0.config.max_concurrent, self.0.config.max_queued)
    }

    /// How long the parts of a job took since the start, by their names.
    pub fn times(&self) -> Vec<(&'static str, Times)> {
        self.0.watches.times()
    }

    /// How many jobs run and wait.
    pub fn load(&self) -> Load {
        self.ledger().load()
    }

    /// Stops: nothing new is accepted or started, running jobs are ended with `daemon_restart` and
    /// recorded, waiting ones stay recorded for the next start. Gives the number of jobs that had
    /// not ended when the time was up; the next start ends those.
    pub async fn stop(&self, longest: Duration) -> usize {
        let running: Vec<_> = {
            let mut ledger = self.ledger();
            ledger.stopping = true;
            let waiting: Vec<_> = ledger.waiting.drain(..).collect();
            for id in waiting {
                ledger.live.remove(&id);
            }
            ledger.live.values().cloned().collect()
        };
        for live in running {
            live.ask(Asked::Stop);
        }
        let mut unsettled = self.0.unsettled.subscribe();
        let settled = unsettled.wait_for(|count| *count == 0);
        match tokio::time::timeout(longest, settled).await {
            Ok(_none_left) => 0,
            Err(_late) => *self.0.unsettled.borrow(),
        }
    }

    /// Takes a place for a job that is about to be recorded.
    fn admit(&self) -> Result<(), SubmitError> {
        let mut ledger = self.ledger();
        if ledger.stopping {
            return Err(SubmitError::Stopping);
        }
        match decide::admit(ledger.load(), self.bounds(), ledger.pace) {
            Admission::Full { retry_after_s } => Err(SubmitError::Full { retry_after_s }),
            Admission::Accepted => {
                ledger.entering = ledger.entering.saturating_add(1);
                Ok(())
            }
        }
    }

    fn new_record(&self, principal: &Principal, request: Request) -> Record {
        let ownership = Ownership { owner: principal.name.clone(), grants: Vec::new() };
        Record {
            head: Head {
                schema: SCHEMA,
                ownership,
                family: Family::Execution,
                node: self.0.config.node.clone(),
                revision: 1,
                created: self.0.clock.now(),
            },
            id: JobId::new(),
            request,
            wanted: Wanted::Run,
            observed: State::Queued,
            attempts: Vec::new(),
            log: LogId::new(),
        }
    }

    /// Records the end of a job that was taken out of the line.
    async fn end_waiting(&self, id: JobId, live: &Live) -> Result<(), StoreError> {
        let mut record = self.job(id)?.ok_or(StoreError::Missing { id })?;
        record.wanted = Wanted::Cancel;
        let termination = Termination::without_exit(Reason::Cancelled, None);
        let ended = self.record_end(record, termination);
        let ended = match ended {
            Ok(status) => self.0.store.commit().await.map(|()| status),
            Err(error) => Err(error),
        };
        match ended {
            Ok(status) => live.reached(status),
            Err(ref error) => live.lost(error.clone()),
        }
        ended.map(drop)
    }

    /// Writes the end of a job; it is not durable yet.
    fn record_end(&self, mut record: Record, termination: Termination) -> Result<Status, StoreError> {
        let ended = record.observed.end(self.0.clock.now(), termination);
        // Nobody else changes the record of a job that has not ended.
        record.observed = ended.map_err(|error| StoreError::Damaged {
            record: format!("job {}", record.id),
            message: error.to_string(),
        })?;
        record.head.revision = record.head.revision.saturating_add(1);
        self.0.store.update_job(&record)?;
        Ok(record.observed.status())
    }

    fn bounds(&self) -> Bounds {
        let QueueConfig { max_concurrent, max_queued, .. } = self.0.config;
        Bounds { max_concurrent, max_queued }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Every change under the lock is complete or not begun: a panic leaves nothing half done.
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
