//! `kiln run`: a program in a sandbox as if it ran here: its input, its output, its exit code.
mod arguments;
mod ending;
mod language;
mod request;
mod source;

use std::pin::pin;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use uuid::Uuid;

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
    let body = Some(Bytes::from(request::body(arguments, program, &stdin).to_string()));
    let mut interrupts = Interrupts::listen().map_err(|error| RemoteError::Host(error.to_string()))?;
    let key = Uuid::new_v4().to_string();
    let submission = Question { body, key: Some(&key), ..Question::new(Method::POST, "/v1/execute") };
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
    if let (Some(image), None, []) = (&arguments.image, &arguments.code, arguments.files.as_slice()) {
        request::check_command(arguments).map_err(|message| RemoteError::Usage(String::from(message)))?;
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
    let mut asking = pin!(accepted(client, submission));
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

/// Asks a second time where the connection broke before the answer: by its key it is the same job.
async fn accepted(client: &mut Client, submission: Question<'_>) -> Result<Value, ClientError> {
    match client.json(submission.clone()).await {
        Err(ClientError::Broken(..)) => client.json(submission).await,
        answered => answered,
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

#[cfg(test)]
mod test {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::sync::mpsc;

    use super::*;
    use crate::client::Place;

    /// The key and the body of a request.
    fn heard(stream: &TcpStream) -> (String, String) {
        let mut reader = BufReader::new(stream);
        let (mut key, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the request has a head");
            match line.trim().split_once(": ") {
                Some(("idempotency-key", value)) => value.clone_into(&mut key),
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(_) => {}
                None if line.trim().is_empty() => break,
                None => assert!(line.starts_with("POST /v1/execute "), "{line}"),
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        (key, String::from_utf8(body).unwrap())
    }

    /// Answers one connection after the other by these texts; gives what was heard, and what came of it.
    fn submitted_to(answers: &'static [&'static str]) -> (Vec<(String, String)>, Result<Value, ClientError>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (host, port) = (String::from("127.0.0.1"), listener.local_addr().unwrap().port());
        let (sender, receiver) = mpsc::channel();
        let server = move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                sender.send(heard(&stream)).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                stream.shutdown(Shutdown::Both).unwrap();
            }
        };
        // Not joined: where it is asked less often than expected, it waits.
        std::thread::Builder::new().spawn(server).unwrap();
        let asked = remote::waiting(async {
            let mut client = Client::new(Place::Tcp { host, port }, None);
            let body = Some(Bytes::from_static(b"{}"));
            let submission = Question { body, key: Some("once"), ..Question::new(Method::POST, "/v1/execute") };
            Ok(accepted(&mut client, submission).await)
        });
        (receiver.try_iter().collect(), asked.unwrap())
    }

    const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";

    #[test]
    fn a_submission_without_an_answer_is_sent_once_more_as_the_same() {
        let request = (String::from("once"), String::from("{}"));
        for broken in [&["", ACCEPTED], &["HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{", ACCEPTED]] {
            let (heard, answered) = submitted_to(broken);
            assert_eq!((heard, answered.unwrap()), (vec![request.clone(); 2], serde_json::json!({})));
        }
        let (heard, answered) = submitted_to(&["", ""]);
        assert!(heard.len() == 2 && matches!(answered, Err(ClientError::Broken(..))), "{answered:?}");
    }

    #[test]
    fn a_submission_that_was_answered_is_not_sent_again() {
        const REFUSED: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}";
        let (heard, _) = submitted_to(&[ACCEPTED]);
        assert_eq!(heard.len(), 1);
        let (heard, answered) = submitted_to(&[REFUSED]);
        assert!(heard.len() == 1 && matches!(answered, Err(ClientError::NotKiln(..))), "{answered:?}");
    }
}
