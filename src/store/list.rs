//! Pages of jobs, newest first, with exact totals.
//!
//! A page is of one moment: under the lock of [`Store::memory`] the unfinished jobs, the counters
//! and the seq of the last change are taken down; then the index is walked without it, and what
//! came later is passed over by its seq. What leaves the index waits meanwhile.
//!
//! Work, for a page of n jobs at offset o, when u jobs have not ended: a look at u in memory, one
//! counter for each family and end that the filter admits, o + n keys of the index (about a
//! microsecond each; o is at most [`LIST_REACH`]), and n records without their code and standard
//! input.
use std::sync::PoisonError;

use sled::IVec;

use super::Store;
use super::codec;
use super::fault::StoreError;
use super::index::{ENDS, FAMILIES, Scope, Traits, placed};
use super::jobs::outline_of;
use super::trees::number;
use crate::base::id::JobId;
use crate::job::record::{Family, Record};
use crate::job::state::Status;

/// Most jobs of one page.
pub const LIST_LIMIT: usize = 1000;
/// Largest offset of a page that is not beyond the last job.
pub const LIST_REACH: u64 = 100_000;

type Place = [u8; 24];

/// Which jobs a list shows. What is absent is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Whose.
    pub owner: Option<String>,
    /// With one of these statuses; none of them, no jobs.
    pub statuses: Option<Vec<Status>>,
    /// In this language; commands have none.
    pub language: Option<String>,
    /// Of this family.
    pub family: Option<Family>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The jobs, newest first. Their code and standard input are left empty: [`Store::job`] has them.
    pub jobs: Vec<Record>,
    /// How many jobs the whole list has.
    pub total: u64,
    /// Why jobs of this page are not in `jobs`; they count in `total`.
    pub unreadable: Vec<StoreError>,
}

/// What was so at one moment.
struct Moment {
    seq: u64,
    total: u64,
    /// The unfinished jobs that may be on the page, newest first, as they were.
    unfinished: Vec<(Place, JobId, IVec)>,
}

/// Jobs in order, and the next of them.
struct Stream<'a> {
    next: Option<Listed>,
    rest: Box<dyn Iterator<Item = Result<Listed, StoreError>> + 'a>,
}

/// A job of a list, and its record where it could have changed since.
struct Listed {
    place: Place,
    id: JobId,
    body: Option<IVec>,
}

impl JobFilter {
    pub(super) fn admits(&self, traits: &Traits) -> bool {
        self.owner.as_ref().is_none_or(|owner| *owner == traits.owner)
            && self.statuses.as_ref().is_none_or(|statuses| statuses.contains(&traits.status))
            && (self.language.is_none() || self.language == traits.language)
            && self.family.is_none_or(|family| family == traits.family)
    }

    /// The sections of the index that make up the list of ended jobs.
    fn sections(&self) -> Vec<Vec<u8>> {
        let scope = Scope { owner: self.owner.as_deref(), language: self.language.as_deref() };
        let families = FAMILIES.into_iter().filter(|family| self.family.is_none_or(|wanted| wanted == *family));
        let ends = |status: &Status| self.statuses.as_ref().is_none_or(|wanted| wanted.contains(status));
        families
            .flat_map(|family| ENDS.into_iter().filter(ends).map(move |status| scope.section(family, status)))
            .collect()
    }
}

impl Store {
    /// The jobs that `filter` admits, newest first by when they were made, then by id: at most
    /// `limit` of them and at most [`LIST_LIMIT`], from `offset` on. Beyond the last job the page is
    /// empty. To be called where blocking is allowed.
    ///
    /// # Errors
    /// `TooFar` when `offset` is above [`LIST_REACH`] and there are jobs.
    pub fn list_jobs(&self, filter: &JobFilter, limit: usize, offset: u64) -> Result<Page, StoreError> {
        let limit = limit.min(LIST_LIMIT);
        self.health.guarded(|| {
            let _counted = self.lists.read().unwrap_or_else(PoisonError::into_inner);
            let sections = filter.sections();
            let reach = usize::try_from(offset.min(LIST_REACH)).unwrap_or(usize::MAX).saturating_add(limit);
            let moment = self.moment(filter, &sections, reach)?;
            let mut page = Page { jobs: Vec::new(), total: moment.total, unreadable: Vec::new() };
            if offset >= page.total || limit == 0 {
                return Ok(page);
            }
            if offset > LIST_REACH {
                return Err(StoreError::TooFar { most: LIST_REACH });
            }
            for listed in self.walk(&sections, moment, (reach - limit, limit))? {
                match self.listed(&listed) {
                    Ok(record) => page.jobs.push(record),
                    Err(error @ (StoreError::Damaged { .. } | StoreError::OtherSchema { .. })) => {
                        page.unreadable.push(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(page)
        })
    }

    fn moment(&self, filter: &JobFilter, sections: &[Vec<u8>], reach: usize) -> Result<Moment, StoreError> {
        let memory = self.settled()?;
        let mut found: Vec<(Place, JobId)> =
            memory.unfinished.values().filter(|job| filter.admits(job)).map(|job| (job.place(), job.id)).collect();
        let mut total = u64::try_from(found.len()).unwrap_or(u64::MAX);
        for section in sections {
            total = total.saturating_add(self.trees.counter(section)?);
        }
        found.sort_unstable();
        found.truncate(reach);
        let mut unfinished = Vec::with_capacity(found.len());
        for (place, id) in found {
            let body = self.trees.jobs.get(id.as_bytes())?.ok_or(StoreError::Missing { id })?;
            unfinished.push((place, id, body));
        }
        Ok(Moment { seq: memory.seq, total, unfinished })
    }

    /// Merges what is in order, and gives what lies from one offset on.
    fn walk(
        &self,
        sections: &[Vec<u8>],
        moment: Moment,
        (offset, limit): (usize, usize),
    ) -> Result<Vec<Listed>, StoreError> {
        let known = moment.unfinished.into_iter().map(|(place, id, body)| Ok(Listed { place, id, body: Some(body) }));
        let mut streams = vec![Stream::new(Box::new(known))?];
        for section in sections {
            streams.push(Stream::new(Box::new(self.section(section, moment.seq)))?);
        }
        let mut listed = Vec::with_capacity(limit);
        for at in 0..offset.saturating_add(limit) {
            let left = streams.iter_mut().filter(|stream| stream.next.is_some());
            let Some(stream) = left.min_by_key(|stream| stream.next.as_ref().map(|next| next.place)) else { break };
            let next = stream.take()?;
            if at >= offset {
                listed.extend(next);
            }
        }
        Ok(listed)
    }

    /// The jobs that stood in a section at a moment.
    fn section(&self, section: &[u8], moment: u64) -> impl Iterator<Item = Result<Listed, StoreError>> + use<> {
        let before = move |pair: &sled::Result<(IVec, IVec)>| match pair {
            Ok((_, seq)) => number(Some(seq)) <= moment,
            Err(_) => true,
        };
        self.trees.index.settled().scan_prefix(section).filter(before).map(|pair| {
            let (key, _) = pair?;
            let (place, id) = placed(&key).ok_or_else(|| StoreError::Damaged {
                record: String::from("the index of jobs"),
                message: format!("a key has {} bytes", key.len()),
            })?;
            Ok(Listed { place, id, body: None })
        })
    }

    fn listed(&self, listed: &Listed) -> Result<Record, StoreError> {
        let id = listed.id;
        if let Some(body) = &listed.body {
            return outline_of(&self.trees, id, body);
        }
        let gone = || codec::damaged(id, &"it is in the index, and nowhere else");
        let body = self.trees.jobs.get(id.as_bytes())?.ok_or_else(gone)?;
        outline_of(&self.trees, id, &body)
    }
}

impl<'a> Stream<'a> {
    fn new(mut rest: Box<dyn Iterator<Item = Result<Listed, StoreError>> + 'a>) -> Result<Self, StoreError> {
        Ok(Self { next: rest.next().transpose()?, rest })
    }

    fn take(&mut self) -> Result<Option<Listed>, StoreError> {
        let next = self.rest.next().transpose()?;
        Ok(std::mem::replace(&mut self.next, next))
    }
}
