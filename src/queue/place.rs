//! A job that got a place: its attempt is made, recorded, and the place given on.
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::live::Live;
use super::run::{Outcome, Task};
use super::{Ledger, Queue, decide};
use crate::base::id::JobId;
use crate::base::time::{Instant, instant};
use crate::job::record::{Attempt, Ran, Record, Wanted};
use crate::job::state::{State, Status};
use crate::job::termination::{Reason, Termination};
use crate::store::StoreError;

/// A job that runs no longer is on the disk with its end only.
const SHORT: Duration = Duration::from_millis(10);

/// What became of a job that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// It has a place.
    Begun,
    /// It waits for one, or for the next start of the daemon.
    Waits,
}

/// Where a job comes from that gets a place.
enum Waited {
    /// From its submission, with its record.
    Not(Box<Record>),
    /// From the line, which knows names only.
    InLine(JobId),
}

impl Waited {
    const fn id(&self) -> JobId {
        match self {
            Self::Not(record) => record.id,
            Self::InLine(id) => *id,
        }
    }
}

/// A taken place. It is given on when this is dropped, whatever happened.
struct Place {
    queue: Queue,
    held: bool,
}

impl Place {
    fn give_on(&mut self) {
        if std::mem::replace(&mut self.held, false) {
            let mut ledger = self.queue.ledger();
            ledger.running = ledger.running.saturating_sub(1);
            drop(ledger);
            self.queue.start_waiting();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give_on();
        self.queue.0.unsettled.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Queue {
    /// Starts waiting jobs while there are free places.
    pub(super) fn start_waiting(&self) {
        // Without a runtime the process is ending, and the next start takes the jobs up.
        let Ok(runtime) = Handle::try_current() else { return };
        while let Some((id, live)) = self.next_waiting() {
            self.begin(&runtime, Waited::InLine(id), live);
        }
    }

    /// Starts a job that has taken a place.
    fn begin(&self, runtime: &Handle, job: Waited, live: Arc<Live>) {
        let place = Place { queue: self.clone(), held: true };
        let queue = self.clone();
        drop(runtime.spawn(async move { queue.hold(place, job, live).await }));
    }

    /// Lets a job in that was admitted: it begins at once where a place is free and nobody waits. Nothing enters
    /// where the job was not recorded after all.
    pub(super) fn enter(&self, recorded: Option<Record>) -> Entered {
        let runtime = Handle::try_current();
        let begun = {
            let mut ledger = self.ledger();
            ledger.entering = ledger.entering.saturating_sub(1);
            let Some(record) = recorded.filter(|_| !ledger.stopping) else { return Entered::Waits };
            let (id, live) = (record.id, Arc::new(Live::queued()));
            ledger.live.insert(id, Arc::clone(&live));
            let load = decide::Load { queued: 1, running: ledger.running };
            let free = ledger.waiting.is_empty() && decide::may_start(load, self.bounds()) && self.0.work.is_able();
            match runtime {
                Ok(runtime) if free => {
                    self.take_place(&mut ledger);
                    (runtime, record, live)
                }
                Ok(_) | Err(_) => {
                    ledger.waiting.push_back(id);
                    return Entered::Waits;
                }
            }
        };
        let (runtime, record, live) = begun;
        self.begin(&runtime, Waited::Not(Box::new(record)), live);
        Entered::Begun
    }

    fn take_place(&self, ledger: &mut Ledger) {
        ledger.running = ledger.running.saturating_add(1);
        self.0.unsettled.send_modify(|count| *count = count.saturating_add(1));
    }

    /// Takes the job that waits longest out of the line, if it may start. Without a spawner it goes on waiting: the
    /// daemon is about to stop, and the next start runs it.
    fn next_waiting(&self) -> Option<(JobId, Arc<Live>)> {
        if !self.0.work.is_able() {
            return None;
        }
        let mut ledger = self.ledger();
        let load = decide::Load { queued: ledger.waiting.len(), ..ledger.load() };
        if ledger.stopping || !decide::may_start(load, self.bounds()) {
            return None;
        }
        let id = ledger.waiting.pop_front()?;
        let live = ledger.live.get(&id).cloned()?;
        self.take_place(&mut ledger);
        Some((id, live))
    }

    async fn hold(&self, mut place: Place, job: Waited, live: Arc<Live>) {
        let id = job.id();
        let ended = self.attempt(&mut place, job, &live).await;
        match ended {
            Ok(status) => live.reached(status),
            Err(error) => {
                tracing::error!(job = %id, %error, "queue: a job's end could not be recorded");
                live.lost(error);
            }
        }
        self.ledger().live.remove(&id);
    }

    /// Makes one attempt and records its end, durably.
    async fn attempt(&self, place: &mut Place, job: Waited, live: &Arc<Live>) -> Result<Status, StoreError> {
        let mut record = match job {
            Waited::Not(record) => *record,
            Waited::InLine(id) => self.job(id)?.ok_or(StoreError::Missing { id })?,
        };
        let (begun, place_taken) = (self.0.clock.now(), instant());
        let created = record.head.created;
        let queued = begun.since(created);
        self.0.watches.queue.record(queued);
        self.record_start(&mut record)?;
        live.reached(Status::Running);
        let outcome = self.executed(&record, (queued, place_taken), live).await;
        let (Outcome { attempt, termination }, done) = (outcome, instant());
        if termination.reason == Reason::Cancelled {
            record.wanted = Wanted::Cancel;
        }
        if let Some(last) = record.attempts.last_mut() {
            *last = attempt;
        }
        let status = self.record_end(record, termination)?;
        {
            let mut ledger = self.ledger();
            ledger.pace = ledger.pace.after(place_taken.elapsed());
        }
        place.give_on();
        self.0.store.commit().await?;
        self.0.watches.record.record(done.elapsed());
        self.0.watches.total.record(self.0.clock.now().since(created));
        Ok(status)
    }

    fn record_start(&self, record: &mut Record) -> Result<(), StoreError> {
        let observed = std::mem::replace(&mut record.observed, State::Queued);
        record.observed = observed.start(self.0.clock.now()).map_err(|error| {
            let record = format!("job {}", record.id);
            StoreError::Damaged { record, message: error.to_string() }
        })?;
        let number = u32::try_from(record.attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
        record.attempts.push(begun(number));
        record.head.revision = record.head.revision.saturating_add(1);
        self.0.store.update_job(record)
    }

    /// Does the work. What goes on longer than [`SHORT`] is on the disk before its end is.
    async fn executed(&self, record: &Record, waited: (Duration, Instant), live: &Arc<Live>) -> Outcome {
        let mut work = pin!(self.execute(record, waited, live));
        if let Ok(outcome) = tokio::time::timeout(SHORT, work.as_mut()).await {
            return outcome;
        }
        // A disk that fails is told with the end.
        let (outcome, _committed) = tokio::join!(work, self.0.store.commit());
        outcome
    }

    /// Does the work. A fault of our own ends this job and no other.
    async fn execute(&self, record: &Record, (queued, place_taken): (Duration, Instant), live: &Arc<Live>) -> Outcome {
        let attempt = record.attempts.last().cloned().unwrap_or_else(|| begun(1));
        let task = Task {
            id: record.id,
            log: record.log,
            request: record.request.clone(),
            number: attempt.number,
            queued,
            place_taken,
            live: Arc::clone(live),
            watches: Arc::clone(&self.0.watches),
        };
        let work = Arc::clone(&self.0.work).execute(task);
        tokio::spawn(work).await.unwrap_or_else(|error| {
            tracing::error!(job = %record.id, %error, "queue: an attempt panicked");
            let message = Some(String::from("a fault of the daemon ended the attempt"));
            let termination = Termination::without_exit(Reason::DaemonRestart, message);
            Outcome { attempt: Attempt { ran: Ran::Unknown, ..attempt }, termination }
        })
    }
}

/// An attempt of which nothing is known yet.
const fn begun(number: u32) -> Attempt {
    Attempt { number, ran: Ran::No, compile: None, run: None, version: None, first_id: None }
}
