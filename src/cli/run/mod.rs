//! `kiln run`: a program in a sandbox as if it ran here: its input, its output, its exit code.
mod arguments;
mod ending;
mod language;
mod request;
mod source;

use std::pin::pin;

use http::Method;
use serde_json::Value;

use crate::cli::answer::{complain, printed};
use crate::cli::exit::Exit;
use crate::cli::follow::{self, Sink, Track, Unfollowed};
use crate::cli::interrupt::Interrupts;
use crate::cli::job;
use crate::cli::remote::{self, RemoteError};
use crate::cli::run::request::Program;
use crate::cli::surroundings::Surroundings;
use crate::client::{Client, ClientError, Question};
use crate::sys::signal::SIGPIPE;

pub(super) use arguments::RunArguments;

pub(super) fn run(arguments: &RunArguments, surroundings: &Surroundings) -> Exit {
    remote::waiting(work(arguments, surroundings)).unwrap_or_else(|error| {
        let exit = match &error {
            RemoteError::Usage(_) => Exit::Usage,
            RemoteError::Client(_) | RemoteError::Host(_) => Exit::Program(ending::KILN_FAILED),
        };
        complain(&error, exit)
    })
}

async fn work(arguments: &RunArguments, surroundings: &Surroundings) -> Result<Exit, RemoteError> {
    let mut client = arguments.remote.client(surroundings)?;
    let (program, stdin) = gathered(arguments, &mut client).await?;
    let body = Some(request::body(arguments, program, &stdin));
    let mut interrupts = Interrupts::listen().map_err(|error| RemoteError::Host(error.to_string()))?;
    let submission = Question { body, ..Question::new(Method::POST, "/v1/execute") };
    let (job, interrupted) = submitted(&mut client, submission, &mut interrupts).await?;
    let id = job::id_of(&job)?;
    if arguments.detach {
        return Ok(if arguments.json { job::print_json(&job) } else { printed(&format!("{id}\n")) });
    }
    let tracks = if arguments.json { Vec::new() } else { tracks() };
    match until_ended(&mut client, (&job::path(&id), interrupted), tracks, &mut interrupts).await? {
        Stopped::Ended { job, interrupted } => Ok(told(&job, arguments, interrupted)),
        Stopped::Left { signal } => {
            let message = format!("not waiting for the end of job {id}; see: kiln job {id}");
            Ok(complain(&message, Exit::Program(ending::signal_code(signal))))
        }
        Stopped::Closed => Ok(Exit::Program(ending::signal_code(SIGPIPE))),
    }
}

/// The program, and what it will read.
async fn gathered(arguments: &RunArguments, client: &mut Client) -> Result<(Program, Vec<u8>), RemoteError> {
    if let Some(image) = &arguments.image {
        return Ok((Program::Command { image: image.clone() }, source::input()?));
    }
    if let (Some(code), Some(language)) = (&arguments.code, &arguments.language) {
        return Ok((Program::Source { language: language.clone(), code: code.clone() }, source::input()?));
    }
    let from_stdin = arguments.files.iter().any(|file| file.as_os_str() == source::STDIN);
    match (from_stdin, arguments.files.as_slice(), &arguments.language) {
        (true, [_only], Some(language)) => {
            let code = source::text_from_stdin()?;
            Ok((Program::Source { language: language.clone(), code }, Vec::new()))
        }
        (true, [_only], None) => Err(RemoteError::Usage(String::from("- needs --language: it has no name to tell by"))),
        (true, ..) => Err(RemoteError::Usage(String::from("- stands alone: it is the whole program"))),
        (false, paths, language) => {
            let files = source::files(paths)?;
            let language = match language {
                Some(language) => language.clone(),
                None => told_by_name(files.first().map_or("", |file| file.path.as_str()), client).await?,
            };
            Ok((Program::Files { language, files }, source::input()?))
        }
    }
}

async fn told_by_name(name: &str, client: &mut Client) -> Result<String, RemoteError> {
    let known = client.json(Question::new(Method::GET, "/v1/languages")).await?;
    language::of(name, &known).ok_or_else(|| {
        let ids = language::ids(&known);
        RemoteError::Usage(format!("{name}: its name does not tell the language; give --language, one of {ids}"))
    })
}

/// What the compiler says is no output of the program.
fn tracks() -> Vec<Track> {
    vec![
        Track::new("compile", "both", Sink::Stderr),
        Track::new("run", "stdout", Sink::Stdout),
        Track::new("run", "stderr", Sink::Stderr),
    ]
}

/// The accepted job, and the signal that came meanwhile: only a job that is known can be cancelled.
async fn submitted(
    client: &mut Client,
    submission: Question<'_>,
    interrupts: &mut Interrupts,
) -> Result<(Value, Option<i32>), RemoteError> {
    let mut asking = pin!(client.json(submission));
    let signal = tokio::select! {
        answered = &mut asking => return Ok((answered?, None)),
        signal = interrupts.next() => signal,
    };
    tokio::select! {
        answered = &mut asking => Ok((answered?, Some(signal))),
        _ = interrupts.next() => {
            let message = "interrupted before the daemon answered; it may have accepted the job: kiln jobs";
            Err(RemoteError::Host(String::from(message)))
        }
    }
}

/// Why there is nothing more to wait for.
enum Stopped {
    /// The job has ended; the signal by which somebody asked for that here.
    Ended { job: Value, interrupted: Option<i32> },
    /// Somebody asked twice.
    Left { signal: i32 },
    /// Nobody reads the output; the job was cancelled.
    Closed,
}

/// The first signal cancels the job, the second leaves it. So does a reader that goes away.
async fn until_ended(
    client: &mut Client,
    (path, mut interrupted): (&str, Option<i32>),
    mut tracks: Vec<Track>,
    interrupts: &mut Interrupts,
) -> Result<Stopped, RemoteError> {
    let mut other = client.again();
    if interrupted.is_some() {
        cancel(&mut other, path).await?;
    }
    let mut following = pin!(follow::follow(client, path, &mut tracks));
    loop {
        let signal = tokio::select! {
            followed = &mut following => return match followed {
                Ok(job) => Ok(Stopped::Ended { job, interrupted }),
                Err(Unfollowed::Failed(error)) => Err(error),
                Err(Unfollowed::Closed) => cancel(&mut other, path).await.map(|()| Stopped::Closed),
            },
            signal = interrupts.next() => signal,
        };
        if interrupted.replace(signal).is_some() {
            return Ok(Stopped::Left { signal });
        }
        tokio::select! {
            cancelled = cancel(&mut other, path) => cancelled?,
            signal = interrupts.next() => return Ok(Stopped::Left { signal }),
        }
    }
}

/// A job that has ended meanwhile is as good.
async fn cancel(client: &mut Client, path: &str) -> Result<(), RemoteError> {
    match client.ask(Question::new(Method::DELETE, path)).await {
        Err(ClientError::Refused(refusal)) if refusal.status == 409 => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// Says how the job ended.
fn told(job: &Value, arguments: &RunArguments, interrupted: Option<i32>) -> Exit {
    let ending::Ending { exit, lines } = ending::of(job);
    if arguments.json {
        job::print_json(job);
    }
    let cancelled = job.pointer("/termination/reason").is_some_and(|reason| reason == "cancelled");
    let exit = match interrupted {
        Some(signal) if cancelled => Exit::Program(ending::signal_code(signal)),
        Some(_) | None => exit,
    };
    for line in lines {
        complain(&line, exit);
    }
    exit
}
