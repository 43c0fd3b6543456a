//! The log of the daemon: lines on stderr, for people or as JSON, filtered as the settings say.
//!
//! A line that cannot be written is dropped: a closed stderr ends nothing. A panic becomes a line.
//! `times` counts how long things take. Not here: the settings, what is logged, and what is measured.
pub mod times;

use std::fmt::Display;
use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::{Log, LogFormat};

/// The log was not started.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// The filter is none.
    #[error("log: \"{filter}\" is no filter: {cause}")]
    Filter {
        /// The filter that was given.
        filter: String,
        /// What is wrong with it.
        cause: tracing_subscriber::filter::ParseError,
    },
    /// It was started before.
    #[error("log: {0}")]
    Twice(#[from] TryInitError),
}

/// Starts the log of this process.
///
/// # Errors
/// When the filter is none, or a log was started before.
pub fn start(log: &Log) -> Result<(), NotStarted> {
    subscriber(log, io::stderr)?.try_init()?;
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload_as_str().unwrap_or("(no text)");
        let location = panic.location().map_or_else(String::new, ToString::to_string);
        note_panic(payload, &location);
    }));
    Ok(())
}

fn note_panic(payload: &str, location: &dyn Display) {
    tracing::error!(%location, "panic: {payload}");
}

type Subscriber = Box<dyn tracing::Subscriber + Send + Sync>;

fn subscriber<W>(log: &Log, writer: W) -> Result<Subscriber, NotStarted>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(&log.filter)
        .map_err(|cause| NotStarted::Filter { filter: log.filter.clone(), cause })?;
    // Without `log_internal_errors(false)` a failed write is reported by `eprintln!`, which panics
    // where stderr is what failed.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .log_internal_errors(false)
        .with_ansi(false);
    Ok(match log.format {
        LogFormat::Human => Box::new(lines.finish()),
        LogFormat::Json => Box::new(lines.json().flatten_event(true).finish()),
    })
}

#[cfg(test)]
mod test {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[derive(Clone, Copy)]
    struct Closed;

    impl io::Write for Closed {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn log(filter: &str, format: LogFormat) -> Log {
        Log { filter: filter.to_owned(), format }
    }

    fn written(filter: &str, format: LogFormat, event: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(&log(filter, format), move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, event);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_filter_decides() {
        let text = written("warn", LogFormat::Human, || {
            tracing::info!("quiet");
            tracing::warn!(job = 7, "loud");
        });
        assert!(text.contains("loud job=7") && !text.contains("quiet"), "{text}");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = written("info", LogFormat::Json, || tracing::info!(job = 7, "two\nlines"));
        let value: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!((&value["job"], &value["message"]), (&7.into(), &"two\nlines".into()));
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn a_panic_is_a_line_with_its_place() {
        let text = written("error", LogFormat::Human, || note_panic("broken", &"a.rs:1:2"));
        assert!(text.contains("panic: broken location=a.rs:1:2"), "{text}");
    }

    #[test]
    fn a_closed_log_ends_nothing() {
        let subscriber = subscriber(&log("info", LogFormat::Human), || Closed).unwrap();
        tracing::subscriber::with_default(subscriber, || tracing::info!("unheard"));
    }

    #[test]
    fn a_bad_filter_is_named() {
        let refused = start(&log("kiln=loudly", LogFormat::Human)).unwrap_err().to_string();
        assert!(refused.starts_with("log: \"kiln=loudly\" is no filter"), "{refused}");
    }
}
