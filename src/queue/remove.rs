//! Ended jobs: looking through them, and removing them with all that they printed.
use std::sync::Arc;

use super::Queue;
use crate::access::Permit;
use crate::base::id::LogId;
use crate::base::time::Timestamp;
use crate::job::record::Record;
use crate::output;
use crate::store::{EXPIRY_PAGE, JobFilter, Page, Store, StoreError};

/// A job was not removed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    /// It has not ended.
    #[error("the job has not ended")]
    Unfinished,
    /// Its record could not be removed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Queue {
    /// The jobs that fit, newest first.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn jobs(&self, filter: &JobFilter, limit: usize, offset: u64) -> Result<Page, StoreError> {
        self.0.store.list_jobs(filter, limit, offset)
    }

    /// Removes an ended job with its log.
    ///
    /// # Errors
    /// When it has not ended, or the storage fails.
    pub async fn delete(&self, record: &Record, _proof: Permit) -> Result<(), DeleteError> {
        if !record.observed.is_over() {
            return Err(DeleteError::Unfinished);
        }
        let (id, revision) = (record.id, record.head.revision);
        self.blocking(move |store| store.delete_job(id, revision)).await?;
        self.0.store.commit().await?;
        // After the record, which would be a lie without its log. The next start removes what is left here.
        self.remove_log(record.log).await;
        Ok(())
    }

    /// Removes jobs that ended before `moment`; gives how many. It ends at the first fault of the store.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn expire(&self, moment: Timestamp) -> Result<usize, StoreError> {
        let mut removed = 0_usize;
        loop {
            let (found, gone) = self.blocking(move |store| expire_page(store, moment)).await?;
            removed = removed.saturating_add(gone);
            self.0.store.commit().await?;
            for log in &found {
                self.remove_log(*log).await;
            }
            if found.len() < EXPIRY_PAGE {
                return Ok(removed);
            }
        }
    }

    /// Calls the store where blocking is allowed: deleting waits for whoever reads a list.
    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(&self.0.store);
        let called = tokio::task::spawn_blocking(move || call(&store)).await;
        called.map_err(|error| StoreError::Failed { message: error.to_string() })?
    }

    /// Removes the log of a job that is not there any more. One that cannot be removed is left to the next start.
    pub(super) async fn remove_log(&self, log: LogId) {
        let removed = output::remove(self.0.logs.clone(), log).await;
        let removed = removed.map_err(|error| error.to_string());
        let forgotten = removed.and_then(|()| self.0.store.forget_log(log).map_err(|error| error.to_string()));
        if let Err(error) = forgotten {
            tracing::warn!(%error, "queue: the log of a removed job is still there");
        }
    }
}

/// The logs of a page of old jobs, and how many of the jobs were removed here.
fn expire_page(store: &Store, moment: Timestamp) -> Result<(Vec<LogId>, usize), StoreError> {
    let found = store.ended_before(moment)?;
    let mut removed = 0_usize;
    for record in &found {
        match store.delete_job(record.id, record.head.revision) {
            Ok(()) => removed = removed.saturating_add(1),
            // Somebody else removed it.
            Err(StoreError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((found.iter().map(|record| record.log).collect(), removed))
}
