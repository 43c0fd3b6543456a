//! A process that writes and acknowledges is killed at any moment, or finds the disk full.
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use super::*;

/// Where the child writes; without it the test is an ordinary one.
const DIRECTORY: &str = "KILN_TEST_STORE_WRITER";
const WRITER: &str = "store::test::crash::a_writer_that_is_not_killed_leaves_no_finding";
const KILLS: u64 = 12;

/// Starts this test binary again, as the writer of a directory, through a shell that sets limits.
#[expect(clippy::disallowed_methods, reason = "a process to be killed")]
fn writer(dir: &Path, limits: &str) -> Child {
    let script = format!("{limits} exec \"$0\" --exact {WRITER} --nocapture");
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(std::env::current_exe().unwrap());
    command.env(DIRECTORY, dir).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// One line for each change that was written, or that is about to delete. SIGKILL is no power loss: nobody waits for
/// the disk before it is said.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn say_nothing(_: &str) {}

async fn write(store: &Store, rounds: usize, say: fn(&str)) -> Result<(), StoreError> {
    for round in 0..rounds {
        let record = queued(&"x".repeat(round % 50 * 200));
        let (id, expires) = (record.id, Some(Timestamp(100)));
        let claim = Claim { scope: String::from("ann"), key: id.to_string(), value: vec![1], expires };
        store.create_job_keyed(&record, &claim)?;
        say(&format!("is {id} 1"));
        store.update_job(&started(record.clone()))?;
        say(&format!("is {id} 2"));
        store.update_job(&ended(started(record)))?;
        say(&format!("is {id} 3"));
        store.commit().await?;
        if round % 3 == 0 {
            say(&format!("going {id} 0"));
            store.delete_job(id, 3)?;
            say(&format!("gone {id} 0"));
        }
        if round % 20 == 0 {
            store.trim_feed(Timestamp(0))?;
        }
    }
    Ok(())
}

/// Also the program of the child: four tasks that write until they are killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_writer_that_is_not_killed_leaves_no_finding() {
    let child = std::env::var_os(DIRECTORY);
    let own = TempDir::new().unwrap();
    let dir = child.as_ref().map_or(own.path(), Path::new);
    let store = Arc::new(open(dir).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (store, killed) = (Arc::clone(&store), child.is_some());
        tasks.spawn(async move {
            if killed { write(&store, usize::MAX, say).await } else { write(&store, 30, say_nothing).await }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        if let (Err(error), true) = (ended.unwrap(), child.is_some()) {
            say(&format!("failed {error}"));
            return;
        }
    }
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

/// What was said of each job last: a revision it reached, or that it may be or is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Is(u64),
    Going,
    Gone,
}

fn note(known: &mut HashMap<JobId, Said>, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    let [word, id, revision] = words[..] else { return };
    let Ok(id) = id.parse() else { return };
    let said = match word {
        "is" => Said::Is(revision.parse().unwrap()),
        "going" => Said::Going,
        "gone" => Said::Gone,
        _ => return,
    };
    known.insert(id, said);
}

fn compare(store: &Store, known: &HashMap<JobId, Said>) {
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    let mut known: Vec<_> = known.iter().collect();
    known.sort_by_key(|(id, _)| **id);
    for (id, said) in known {
        let revision = store.job(*id).unwrap().map(|record| record.head.revision);
        let right = match said {
            Said::Is(least) => revision >= Some(*least),
            Said::Going => true,
            Said::Gone => revision.is_none(),
        };
        assert!(right, "job {id}: {said:?} was acknowledged, {revision:?} is stored");
    }
}

#[test]
fn a_kill_at_any_moment_loses_nothing_acknowledged() {
    let dir = TempDir::new().unwrap();
    let mut known = HashMap::new();
    for kill in 0..KILLS {
        let mut child = writer(dir.path(), "");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed after so many lines; the first kill is while it opens.
        let most = usize::try_from(kill * kill * 5).unwrap();
        let mut lines = lines.map_while(Result::ok);
        for line in lines.by_ref().take(most) {
            note(&mut known, &line);
        }
        child.kill().unwrap();
        for line in lines {
            note(&mut known, &line);
        }
        child.wait().unwrap();
        compare(&open(dir.path()).unwrap(), &known);
    }
    assert!(known.len() > 100, "only {} jobs were acknowledged", known.len());
}

/// A limit on the size of a file is a full disk that needs no privilege (setrlimit(2), EFBIG).
#[test]
fn a_disk_that_is_full_refuses_and_loses_nothing_acknowledged() {
    let dir = TempDir::new().unwrap();
    drop(open(dir.path()).unwrap());
    let mut child = writer(dir.path(), "trap '' XFSZ; ulimit -f 12000;");
    let lines: Vec<_> = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).collect();
    child.wait().unwrap();
    let mut known = HashMap::new();
    for line in &lines {
        note(&mut known, line);
    }
    let failed = lines.iter().find(|line| line.starts_with("failed ")).expect("it was refused");
    assert!(failed.contains("is full") && failed.contains("make room"), "{failed}");
    assert!(known.len() > 20, "only {} jobs were acknowledged", known.len());
    compare(&open(dir.path()).unwrap(), &known);
}
