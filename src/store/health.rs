//! Whether the storage below can still be trusted. The first fault of a write is remembered, and
//! every later write is refused with it: what is in memory may then differ from the disk.
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use super::fault::StoreError;

/// The first fault, if there was one.
#[derive(Debug, Default)]
pub(super) struct Health(OnceLock<StoreError>);

impl Health {
    /// The fault that keeps the store from writing.
    pub(super) fn fault(&self) -> Option<&StoreError> {
        self.0.get()
    }

    /// Whether nothing happened yet.
    pub(super) fn sound(&self) -> Result<(), StoreError> {
        self.fault().map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// A write gives its error on; the first one is the last that was tried.
    pub(super) fn writing<T>(&self, write: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.sound()?;
        let written = self.guarded(write);
        if let Err(error) = &written {
            self.remember(error);
        }
        written
    }

    /// sled asserts where its files are not what it wrote: a panic in `work` is an error.
    pub(super) fn guarded<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        guarded(work).unwrap_or_else(|message| {
            let error = StoreError::Failed { message };
            self.remember(&error);
            Err(error)
        })
    }

    fn remember(&self, error: &StoreError) {
        if self.0.set(error.clone()).is_ok() {
            tracing::error!(%error, "store: nothing more is written");
        }
    }
}

/// What `work` gives, or what it said when it panicked.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // The caller gives up the store, so that nothing half-changed is looked at.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| format!("the database gave up: {}", said(&*panic)))
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given")
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_first_fault_refuses_every_later_write() {
        let health = Health::default();
        let full = StoreError::Full { message: String::from("no space") };
        assert_eq!(health.writing(|| Ok(1)), Ok(1));
        assert_eq!(health.writing::<()>(|| Err(full.clone())), Err(full.clone()));
        assert_eq!(health.writing(|| Ok(1)), Err(full.clone()));
        assert_eq!(health.fault(), Some(&full));
    }

    #[test]
    fn a_panic_is_a_fault_with_its_reason() {
        let health = Health::default();
        let error = health.guarded::<()>(|| panic!("page {} is gone", 7)).unwrap_err();
        assert!(error.to_string().contains("page 7 is gone"), "{error}");
        assert_eq!(health.sound(), Err(error));
    }
}
