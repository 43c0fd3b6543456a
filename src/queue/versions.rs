//! The versions of the languages, as the daemon finds them out after its start.
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Versions by language id. Copies share what they know.
#[derive(Clone, Debug, Default)]
pub struct Versions(Arc<RwLock<BTreeMap<String, String>>>);

impl Versions {
    /// Notes the version of a language.
    pub fn learn(&self, language: String, version: String) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(language, version);
    }

    /// The version of a language, where it is known.
    pub fn of(&self, language: &str) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(language).cloned()
    }
}
