//! The versions of the languages, as the daemon finds them out after its start.
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Versions by language id. Copies share what they know.
#[derive(Clone, Debug, Default)]
pub struct Versions(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    versions: BTreeMap<String, String>,
    changes: u64,
}

impl Versions {
    /// Notes the version of a language.
    pub fn learn(&self, language: String, version: String) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.versions.insert(language, version);
        known.changes = known.changes.saturating_add(1);
    }

    /// The version of a language, where it is known.
    pub fn of(&self, language: &str) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).versions.get(language).cloned()
    }

    /// Grows whenever a version is noted.
    pub fn changes(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).changes
    }
}
