//! What recording one job costs, alone and with eight at once (docs/adr/0009): prints medians.
//!
//!     cargo run --release --example store-cost NEW_DIRECTORY
//!
//! `recorded` waits twice, as until 0009: before the program runs, and for the end. `group` writes
//! accepted, running and ended, and waits once.
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use kiln::access::Ownership;
use kiln::base::id::{JobId, LogId};
use kiln::base::size::ByteSize;
use kiln::base::time::{Clock as _, SystemClock, instant};
use kiln::job::limits::Limits;
use kiln::job::record::{Attempt, Family, Head, Ran, Record, SCHEMA, Wanted};
use kiln::job::request::offer::UsedImage;
use kiln::job::request::{Reach, Request, Work};
use kiln::job::state::State;
use kiln::job::termination::{Reason, Termination};
use kiln::store::{Store, StoreError};

const JOBS: usize = 1000;

/// Who waits for the disk before the program runs.
#[derive(Clone, Copy, Debug)]
enum Waits {
    Recorded,
    Group,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1) else { return ExitCode::from(64) };
    match measure(Path::new(&dir)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(_error) => ExitCode::FAILURE,
    }
}

#[expect(clippy::print_stdout, reason = "what it is for")]
async fn measure(dir: &Path) -> Result<(), StoreError> {
    let store = Arc::new(Store::open(dir, Arc::new(SystemClock))?);
    for waits in [Waits::Recorded, Waits::Group, Waits::Recorded, Waits::Group] {
        for writers in [1, 8] {
            let begin = instant();
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..writers {
                tasks.spawn(write(Arc::clone(&store), JOBS / writers, waits));
            }
            let mut times = Vec::new();
            for found in tasks.join_all().await {
                times.extend(found?);
            }
            let seconds = begin.elapsed().as_secs_f64();
            times.sort_unstable();
            let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default().as_micros();
            println!("{waits:?}, {writers} at once: p50 {} p95 {} us, all {JOBS} in {seconds:.2} s", at(50), at(95));
        }
    }
    Ok(())
}

async fn write(store: Arc<Store>, jobs: usize, waits: Waits) -> Result<Vec<Duration>, StoreError> {
    let mut times = Vec::new();
    for _ in 0..jobs {
        let mut record = queued();
        let begin = instant();
        store.create_job(&record)?;
        record.head.revision += 1;
        record.observed = record.observed.start(SystemClock.now()).unwrap_or(State::Queued);
        record.attempts.push(Attempt {
            number: 1,
            ran: Ran::Yes,
            compile: None,
            run: None,
            version: None,
            first_id: None,
        });
        store.update_job(&record)?;
        if matches!(waits, Waits::Recorded) {
            store.commit().await?;
        }
        record.head.revision += 1;
        let termination = Termination::without_exit(Reason::Exited, None);
        record.observed = record.observed.end(SystemClock.now(), termination).unwrap_or(State::Queued);
        store.update_job(&record)?;
        store.commit().await?;
        times.push(begin.elapsed());
    }
    Ok(times)
}

fn queued() -> Record {
    let limits = Limits {
        wall: Duration::from_secs(1),
        cpu_time: Duration::from_secs(1),
        milli_cpus: 1000,
        memory: ByteSize::mib(128),
        processes: 64,
        open_files: 256,
        file_size: ByteSize::mib(16),
        disk: ByteSize::mib(64),
        output: ByteSize::mib(16),
        compile_wall: Duration::from_secs(10),
        compile_memory: ByteSize::mib(512),
    };
    Record {
        head: Head {
            schema: SCHEMA,
            ownership: Ownership { owner: String::from("ann"), grants: Vec::new() },
            family: Family::Execution,
            node: String::from("here"),
            revision: 1,
            created: SystemClock.now(),
        },
        id: JobId::new(),
        request: Request {
            image: UsedImage::Host,
            work: Work::Command { command: vec![String::from("/bin/true")] },
            args: Vec::new(),
            stdin: Vec::new(),
            environment: Vec::new(),
            limits,
            reach: Reach::Nothing,
        },
        wanted: Wanted::Run,
        observed: State::Queued,
        attempts: Vec::new(),
        log: LogId::new(),
    }
}
