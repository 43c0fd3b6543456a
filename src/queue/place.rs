//! A job that got a place: its attempt is made, recorded, and the place given on.
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::live::Live;
use super::run::{Outcome, Task};
use super::{Queue, decide};
use crate::base::id::JobId;
use crate::base::time::{Instant, instant};
use crate::job::record::{Attempt, Ran, Record, Wanted};
use crate::job::state::{State, Status};
use crate::job::termination::{Reason, Termination};
use crate::store::StoreError;

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
            let place = Place { queue: self.clone(), held: true };
            let queue = self.clone();
            drop(runtime.spawn(async move { queue.hold(place, id, live).await }));
        }
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
        ledger.running = ledger.running.saturating_add(1);
        self.0.unsettled.send_modify(|count| *count = count.saturating_add(1));
        Some((id, live))
    }

    async fn hold(&self, mut place: Place, id: JobId, live: Arc<Live>) {
        let ended = self.attempt(&mut place, id, &live).await;
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
    async fn attempt(&self, place: &mut Place, id: JobId, live: &Arc<Live>) -> Result<Status, StoreError> {
        let mut record = self.job(id)?.ok_or(StoreError::Missing { id })?;
        let (begun, place_taken) = (self.0.clock.now(), instant());
        let created = record.head.created;
        let queued = begun.since(created);
        self.0.watches.queue.record(queued);
        self.record_start(&mut record)?;
        live.reached(Status::Running);
        let Outcome { attempt, termination } = self.execute(&record, (queued, place_taken), live).await;
        let done = instant();
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
        let store = Arc::clone(&self.0.store);
        let recorded = Box::pin(async move { store.commit().await });
        let work = Arc::clone(&self.0.work).execute(task, recorded);
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
