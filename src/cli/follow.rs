//! Shows what a job prints while it runs.
//!
//! [`follow`] is the one place that learns of new output. It asks again and again, from where each
//! track stands: a range of the bytes that are there. Not here: what the end of a job means.
use std::io;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::cli::remote::RemoteError;
use crate::client::{Client, ClientError, Question};

/// Between two looks at a job that prints, and at one that has been silent for long.
const PAUSE_AT_LEAST: Duration = Duration::from_millis(20);
const PAUSE_AT_MOST: Duration = Duration::from_millis(250);

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sink {
    /// Our descriptor 1.
    Stdout,
    /// Our descriptor 2.
    Stderr,
}

/// One stream of a job, and how far it was shown.
#[derive(Debug)]
pub(super) struct Track {
    /// `phase=…&stream=…`
    selection: String,
    to: Sink,
    shown: u64,
}

/// Why following came to an end before the job did.
#[derive(Debug)]
pub(super) enum Unfollowed {
    /// Nobody reads what is written.
    Closed,
    /// Something else.
    Failed(RemoteError),
}

impl From<ClientError> for Unfollowed {
    fn from(error: ClientError) -> Self {
        Self::Failed(error.into())
    }
}

impl Track {
    /// From the first byte.
    pub(super) fn new(phase: &str, stream: &str, to: Sink) -> Self {
        Self { selection: format!("phase={phase}&stream={stream}"), to, shown: 0 }
    }

    /// Shows what is there by now; says whether there was any.
    pub(super) async fn show(&mut self, client: &mut Client, path: &str) -> Result<bool, Unfollowed> {
        let path = format!("{path}/output?{}", self.selection);
        let question = Question { from: Some(self.shown), ..Question::new(Method::GET, &path) };
        let mut answer = match client.ask(question).await {
            Err(ClientError::Refused(refusal)) if refusal.status == 416 => return Ok(false),
            other => other?,
        };
        // A whole answer to a range begins anew.
        let mut known = if answer.is_part() { 0 } else { self.shown };
        let mut any = false;
        while let Some(bytes) = answer.next().await? {
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let skipped = known.min(length);
            known -= skipped;
            let new = bytes.get(usize::try_from(skipped).unwrap_or(usize::MAX)..).unwrap_or_default();
            if !new.is_empty() {
                write(self.to, new).await?;
                self.shown += length - skipped;
                any = true;
            }
        }
        Ok(any)
    }
}

/// Shows the tracks of the job at `path` until it has ended, and gives it as it is then.
pub(super) async fn follow(client: &mut Client, path: &str, tracks: &mut [Track]) -> Result<Value, Unfollowed> {
    let mut pause = PAUSE_AT_LEAST;
    loop {
        // In this order: a job that has ended prints nothing more.
        let job = client.json(Question::new(Method::GET, path)).await?;
        let mut any = false;
        for track in &mut *tracks {
            any |= track.show(client, path).await?;
        }
        if has_ended(&job) {
            return Ok(job);
        }
        pause = if any { PAUSE_AT_LEAST } else { (pause * 2).min(PAUSE_AT_MOST) };
        tokio::time::sleep(pause).await;
    }
}

/// Whether a job has ended.
pub(super) fn has_ended(job: &Value) -> bool {
    job.get("termination").is_some_and(Value::is_object)
}

/// Not by the locked handles of std: a reader that is slow must not hold up an answer to Ctrl-C.
async fn write(to: Sink, bytes: &[u8]) -> Result<(), Unfollowed> {
    let written = match to {
        Sink::Stdout => written(tokio::io::stdout(), bytes).await,
        Sink::Stderr => written(tokio::io::stderr(), bytes).await,
    };
    written.map_err(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Unfollowed::Closed;
        }
        Unfollowed::Failed(RemoteError::Host(format!("the output cannot be written: {error}")))
    })
}

async fn written(mut to: impl AsyncWrite + Unpin, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}
