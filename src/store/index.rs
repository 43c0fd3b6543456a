//! Where an ended job stands in lists, as keys that sort.
//!
//! ```text
//! which of owner and language follow ─ family ─ status ─ owner? ─ language? │ created, newest first ─ id
//! └────────────────────── section: counted as a whole ────────────────────┘
//! ```
//!
//! A job stands in one section for each subset of owner and language, so in four (a command has no
//! language: in two). Family and status have few values, so that they are in every key, and a
//! filter without them reads several sections side by side. That makes every combination of
//! filters exact: the total is a sum of counters, a page is a merge of ordered ranges.
//!
//! Only ended jobs stand here, because those that have not ended are few (`api.job.max_queued` and
//! those that run) and change: they are kept in memory. So a job is put in once.
use crate::base::id::JobId;
use crate::base::time::Timestamp;
use crate::job::record::{Family, Record};
use crate::job::request::Request;
use crate::job::state::Status;

/// All families.
pub(super) const FAMILIES: [Family; 1] = [Family::Execution];
/// All ways to have ended.
pub(super) const ENDS: [Status; 4] = [Status::Completed, Status::Failed, Status::Cancelled, Status::TimedOut];

const BY_OWNER: u8 = 1;
const BY_LANGUAGE: u8 = 2;
/// Bytes of a key behind its section: created and id.
const PLACE_BYTES: usize = 24;

/// What lists can choose and order by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Traits {
    pub(super) owner: String,
    pub(super) family: Family,
    pub(super) status: Status,
    /// A command has none.
    pub(super) language: Option<String>,
    pub(super) created: Timestamp,
    pub(super) id: JobId,
}

/// Whose jobs of what a section holds; absent means everybody's, of everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub(super) owner: Option<&'a str>,
    pub(super) language: Option<&'a str>,
}

impl Traits {
    pub(super) fn of(record: &Record) -> Self {
        Self {
            owner: record.head.ownership.owner.clone(),
            family: record.head.family,
            status: record.observed.status(),
            language: language(&record.request),
            created: record.head.created,
            id: record.id,
        }
    }

    /// The sections that the job stands in; none while it has not ended.
    pub(super) fn sections(&self) -> Vec<Vec<u8>> {
        if !is_over(self.status) {
            return Vec::new();
        }
        let owners = [None, Some(self.owner.as_str())];
        let languages = [None, self.language.as_deref()];
        let languages = if self.language.is_some() { &languages[..] } else { &languages[..1] };
        let scopes =
            owners.into_iter().flat_map(|owner| languages.iter().map(move |&language| Scope { owner, language }));
        scopes.map(|scope| scope.section(self.family, self.status)).collect()
    }

    /// Orders jobs as lists do, newest first; follows a section in a key.
    pub(super) fn place(&self) -> [u8; PLACE_BYTES] {
        let id = u128::from_be_bytes(*self.id.as_bytes());
        let mut place = [0; PLACE_BYTES];
        let (created, rest) = place.split_at_mut(8);
        created.copy_from_slice(&(!self.created.0).to_be_bytes());
        rest.copy_from_slice(&(!id).to_be_bytes());
        place
    }
}

impl Scope<'_> {
    /// What the keys and the counter of a section begin with.
    pub(super) fn section(self, family: Family, status: Status) -> Vec<u8> {
        let by = |flag, chosen: Option<&str>| if chosen.is_some() { flag } else { 0 };
        let which = by(BY_OWNER, self.owner) | by(BY_LANGUAGE, self.language);
        let mut key = vec![which, family_byte(family), status_byte(status)];
        for text in [self.owner, self.language].into_iter().flatten() {
            put_text(&mut key, text);
        }
        key
    }
}

/// The place of a key and the job in it.
pub(super) fn placed(key: &[u8]) -> Option<([u8; PLACE_BYTES], JobId)> {
    let place: [u8; PLACE_BYTES] = *key.last_chunk()?;
    let id: [u8; 16] = *place.last_chunk()?;
    Some((place, JobId::from_bytes((!u128::from_be_bytes(id)).to_be_bytes())))
}

/// A text with its length before it: no text with its length begins another.
pub(super) fn put_text(key: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(text.as_bytes());
}

/// The language that a request names.
pub(super) fn language(request: &Request) -> Option<String> {
    request.work.language().map(str::to_owned)
}

/// Whether nothing more will happen to a job.
pub(super) const fn is_over(status: Status) -> bool {
    match status {
        Status::Queued | Status::Running => false,
        Status::Completed | Status::Failed | Status::Cancelled | Status::TimedOut => true,
    }
}

/// Written in keys: a value never gets another meaning.
const fn family_byte(family: Family) -> u8 {
    match family {
        Family::Execution => 1,
    }
}

/// Written in keys: a value never gets another meaning.
const fn status_byte(status: Status) -> u8 {
    match status {
        Status::Queued => 1,
        Status::Running => 2,
        Status::Completed => 3,
        Status::Failed => 4,
        Status::Cancelled => 5,
        Status::TimedOut => 6,
    }
}
