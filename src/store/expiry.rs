//! Jobs that are kept long enough.
use super::Store;
use super::fault::StoreError;
use super::jobs::outline_of;
use super::trees::id_of;
use crate::base::id::JobId;
use crate::base::time::Timestamp;
use crate::job::record::Record;
use crate::job::state::State;

/// Jobs that one call of [`Store::ended_before`] gives at most.
pub const EXPIRY_PAGE: usize = 200;

impl Store {
    /// Jobs that ended before `moment`, the first made first, [`EXPIRY_PAGE`] at most; without code and
    /// standard input. A record that cannot be read is not among them. Reads every older record.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn ended_before(&self, moment: Timestamp) -> Result<Vec<Record>, StoreError> {
        self.settler.settle()?;
        self.health.guarded(|| {
            // Ids sort by the time they were made, and no job ends before it is made.
            let end = JobId::first_at(moment);
            let older = self.trees.jobs.settled().range::<&[u8], _>(..end.as_bytes().as_slice());
            let mut found = Vec::new();
            for pair in older {
                let (key, body) = pair?;
                let Ok(record) = outline_of(&self.trees, id_of("jobs", &key)?, &body) else { continue };
                if matches!(record.observed, State::Ended { at, .. } if at < moment) {
                    found.push(record);
                }
                if found.len() >= EXPIRY_PAGE {
                    break;
                }
            }
            Ok(found)
        })
    }
}
