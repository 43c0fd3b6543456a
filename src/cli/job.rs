//! `kiln job`, `cancel`, `rm` and `logs`: one job by its id.
use http::Method;
use serde_json::Value;

use crate::cli::answer::{complain, printed};
use crate::cli::exit::Exit;
use crate::cli::follow::{self, Sink, Track, Unfollowed};
use crate::cli::remote::{self, RemoteArguments, RemoteError};
use crate::cli::surroundings::Surroundings;
use crate::cli::table::{self, Colours};
use crate::client::{Client, Question};

/// One job.
#[derive(Debug, clap::Args)]
pub(super) struct JobArguments {
    #[command(flatten)]
    remote: RemoteArguments,
    /// The job, as `kiln jobs` shows it
    #[arg(value_name = "ID")]
    id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Several jobs.
#[derive(Debug, clap::Args)]
pub(super) struct RemoveArguments {
    #[command(flatten)]
    remote: RemoteArguments,
    /// The jobs, as `kiln jobs` shows them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
}

/// What of a job's output.
#[derive(Debug, clap::Args)]
pub(super) struct LogArguments {
    #[command(flatten)]
    remote: RemoteArguments,
    /// The job, as `kiln jobs` shows it
    #[arg(value_name = "ID")]
    id: String,
    /// Which stream; both are printed in the order in which they were written
    #[arg(long, value_enum, default_value_t = StreamWord::Both)]
    stream: StreamWord,
    /// Which part of the job
    #[arg(long, value_enum, default_value_t = PhaseWord::Run)]
    phase: PhaseWord,
    /// Go on until the job has ended
    #[arg(short, long)]
    follow: bool,
}

/// A stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum StreamWord {
    Stdout,
    Stderr,
    Both,
}

/// A part of a job that prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum PhaseWord {
    Compile,
    Run,
}

/// The id in a job's JSON.
pub(super) fn id_of(job: &Value) -> Result<String, RemoteError> {
    let id = job.get("job_id").and_then(Value::as_str).filter(|id| checked(id).is_ok());
    id.map(str::to_owned).ok_or_else(|| RemoteError::Host(String::from("the daemon accepted a job without an id")))
}

/// The path of a job whose id was [`checked`].
pub(super) fn path(id: &str) -> String {
    format!("/v1/jobs/{id}")
}

/// An id goes into a path, and must not change which.
fn checked(id: &str) -> Result<&str, RemoteError> {
    let is_plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_plain { Ok(id) } else { Err(RemoteError::Usage(format!("`{id}` is no id of a job; see: kiln jobs"))) }
}

/// Prints what the daemon said, indented.
pub(super) fn print_json(value: &Value) -> Exit {
    printed(&format!("{value:#}\n"))
}

pub(super) fn show(arguments: &JobArguments, surroundings: &Surroundings, colours: Colours) -> Exit {
    remote::asking(async {
        let mut client = arguments.remote.client(surroundings)?;
        let job = client.json(Question::new(Method::GET, &path(checked(&arguments.id)?))).await?;
        if arguments.json {
            return Ok(print_json(&job));
        }
        let pairs = described(&job);
        let pairs: Vec<(&str, String)> = pairs.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        Ok(printed(&table::pairs(&pairs, colours)))
    })
}

pub(super) fn cancel(arguments: &JobArguments, surroundings: &Surroundings) -> Exit {
    remote::asking(async {
        let mut client = arguments.remote.client(surroundings)?;
        let job = client.json(Question::new(Method::DELETE, &path(checked(&arguments.id)?))).await?;
        if arguments.json {
            return Ok(print_json(&job));
        }
        let state = if follow::has_ended(&job) { "has ended" } else { "is still ending" };
        Ok(printed(&format!("{} {state}\n", arguments.id)))
    })
}

/// Each of them; one that cannot be removed does not keep the others.
pub(super) fn remove(arguments: &RemoveArguments, surroundings: &Surroundings) -> Exit {
    remote::asking(async {
        let mut client = arguments.remote.client(surroundings)?;
        for id in &arguments.ids {
            checked(id)?;
        }
        let mut exit = Exit::Ok;
        for id in &arguments.ids {
            if let Err(error) = remove_one(&mut client, id).await {
                let error = RemoteError::from(error);
                exit = complain(&format!("{id}: {error}"), error.exit());
            }
        }
        Ok(exit)
    })
}

async fn remove_one(client: &mut Client, id: &str) -> Result<(), crate::client::ClientError> {
    let path = format!("{}/data", path(id));
    let mut answer = client.ask(Question::new(Method::DELETE, &path)).await?;
    while answer.next().await?.is_some() {}
    Ok(())
}

pub(super) fn logs(arguments: &LogArguments, surroundings: &Surroundings) -> Exit {
    remote::asking(async {
        let mut client = arguments.remote.client(surroundings)?;
        let path = path(checked(&arguments.id)?);
        let mut track = Track::new(arguments.phase.word(), arguments.stream.word(), Sink::Stdout);
        let shown = if arguments.follow {
            follow::follow(&mut client, &path, std::slice::from_mut(&mut track)).await.map(drop)
        } else {
            track.show(&mut client, &path).await.map(drop)
        };
        match shown {
            // Who reads no more has what they wanted.
            Ok(()) | Err(Unfollowed::Closed) => Ok(Exit::Ok),
            Err(Unfollowed::Failed(error)) => Err(error),
        }
    })
}

impl StreamWord {
    const fn word(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Both => "both",
        }
    }
}

impl PhaseWord {
    const fn word(self) -> &'static str {
        match self {
            Self::Compile => "compile",
            Self::Run => "run",
        }
    }
}

/// What a job's JSON says, but what it printed: `kiln logs` has that.
fn described(job: &Value) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let names = [
        "job_id",
        "status",
        "language",
        "version",
        "image",
        "created_at",
        "started_at",
        "completed_at",
        "duration",
        "timeout",
        "memory_limit",
        "exit_code",
    ];
    for name in names {
        pairs.extend(job.get(name).and_then(plain).map(|text| (name.to_owned(), text)));
    }
    for section in ["termination", "usage"] {
        let members = job.get(section).and_then(Value::as_object).into_iter().flatten();
        let members = members.filter(|(name, _)| *name != "exit_code" && *name != "limit");
        pairs.extend(members.filter_map(|(name, value)| Some((name.clone(), plain(value)?))));
    }
    for name in ["stdout_bytes", "stderr_bytes"] {
        pairs.extend(job.get(name).and_then(plain).map(|text| (name.to_owned(), text)));
    }
    pairs
}

/// Nothing for what is null or empty.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Object(_) => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => {
            let texts: Vec<String> = list.iter().filter_map(plain).collect();
            (!texts.is_empty()).then(|| texts.join(", "))
        }
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
    }
}

#[cfg(test)]
mod test {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_cannot_become_another_path() {
        assert!(checked("job_0123456789abcdef").is_ok());
        for id in ["", "a/data", "..", "a?b", "a b", "%2f", "a\n"] {
            assert!(checked(id).is_err(), "{id}");
        }
    }

    #[test]
    fn a_job_is_described_without_its_output() {
        let job = json!({"job_id": "job_1", "status": "completed", "stdout": "secret", "exit_code": 3,
            "termination": {"reason": "exited", "exit_code": 3, "signal": null, "limits_hit": ["memory"]},
            "usage": {"wall_us": 5, "io_read_bytes": null}, "stdout_bytes": 6});
        let pairs = described(&job);
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = [
            "job_id=job_1",
            "status=completed",
            "exit_code=3",
            "limits_hit=memory",
            "reason=exited",
            "wall_us=5",
            "stdout_bytes=6",
        ];
        assert_eq!(pairs, expected);
    }
}
