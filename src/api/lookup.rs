//! A job that a caller names: found, allowed, and shown.
use crate::access::{self, Action, Permit, Principal};
use crate::api::core::{Captured, Phase, Stream};
use crate::api::error::{ApiError, Kind};
use crate::api::state::ApiState;
use crate::api::view::{self, JobBody, Output, Streams};
use crate::job::record::Record;
use crate::job::state::State;

impl ApiState {
    /// The record, where there is one that the principal may do this to. Somebody else's is not there
    /// (contract rule 40).
    pub(super) async fn permitted(
        &self,
        principal: &Principal,
        action: Action,
        text: &str,
    ) -> Result<(Record, Permit), ApiError> {
        let nothing = || ApiError::new(Kind::NotFound, "there is no such job");
        let id = view::parse_job_id(text).ok_or_else(nothing)?;
        let found = self.in_time(self.core.job(id)).await??;
        let record = found.ok_or_else(nothing)?;
        match access::decide(principal, action, &record.head.ownership) {
            Ok(permit) => Ok((record, permit)),
            Err(access::Denied) => Err(nothing()),
        }
    }

    /// The record, where there is one that the principal may read.
    pub(super) async fn readable(&self, principal: &Principal, text: &str) -> Result<Record, ApiError> {
        self.permitted(principal, Action::Read, text).await.map(|(record, _permit)| record)
    }

    /// The job with what it printed, once it has ended.
    pub(super) async fn shown(&self, record: &Record) -> Result<JobBody, ApiError> {
        let State::Ended { .. } = record.observed else { return Ok(view::job(record, None)) };
        let compiled = record.attempts.last().is_some_and(|attempt| attempt.compile.is_some());
        let run = self.streams(record, Phase::Run).await?;
        let compile = if compiled { self.streams(record, Phase::Compile).await? } else { Streams::default() };
        Ok(view::job(record, Some(Output { run, compile })))
    }

    async fn streams(&self, record: &Record, phase: Phase) -> Result<Streams, ApiError> {
        let stdout = self.captured(record, phase, Stream::Stdout).await?;
        let stderr = self.captured(record, phase, Stream::Stderr).await?;
        Ok(Streams { stdout, stderr })
    }

    async fn captured(&self, record: &Record, phase: Phase, stream: Stream) -> Result<Captured, ApiError> {
        Ok(self.in_time(self.core.captured(record, phase, stream)).await??)
    }
}
