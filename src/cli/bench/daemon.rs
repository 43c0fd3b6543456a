//! Jobs of a daemon: a connection for each client, made before the measurement and kept during it.
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::base::time::instant;
use crate::cli::bench::load::{Bound, Load, Pace, Turns};
use crate::cli::bench::sample::{Parts, Slice};
use crate::cli::bench::workload::Workload;
use crate::client::{Client, ClientError, Question};
use crate::telemetry::times::{Bucket, Times};

/// Jobs that may be under way where none waits for another; a daemon that is so far behind has failed.
const UNDER_WAY: usize = 400;

/// Connections that are there before jobs are sent at a rate.
const READY: u16 = 16;

/// The parts of a job as they happen; JSON has no order, and a newer daemon's parts come last.
const ORDER: [&str; 8] = ["accept", "queue", "prepare", "setup", "run", "reap", "record", "total"];

/// One question after another over one connection.
struct Asker {
    client: Client,
    body: Option<Bytes>,
}

impl Asker {
    /// Connected.
    async fn new(client: &Client, workload: Workload) -> Result<Self, ClientError> {
        let mut client = client.again();
        client.json(Question::new(Method::GET, "/healthz")).await?;
        Ok(Self { client, body: workload.body() })
    }

    async fn ask(&mut self) -> Result<(), String> {
        let Some(body) = self.body.clone() else {
            let asked = self.client.json(Question::new(Method::GET, "/healthz")).await;
            return asked.map(drop).map_err(|error| error.to_string());
        };
        let question = Question { body: Some(body), ..Question::new(Method::POST, "/v1/execute") };
        let job = self.client.json(question).await.map_err(|error| error.to_string())?;
        if job.get("exit_code").is_some_and(|code| *code == 0) { Ok(()) } else { Err(unwell(&job)) }
    }

    async fn one_after_another(mut self, load: Load, mut turns: Turns<'_>) -> Slice {
        let mut slice = Slice::default();
        while turns.next() {
            if !load.gap().is_zero() {
                sleep(load.gap()).await;
            }
            let begin = turns.sent(load);
            let went = self.ask().await;
            slice.note(begin.elapsed(), went);
        }
        slice
    }
}

/// Why a job that was answered is none to measure.
fn unwell(job: &Value) -> String {
    let member = |name: &str| job.get(name).unwrap_or(&Value::Null).to_string();
    format!(
        "a job ended with status {}, exit code {}: {}",
        member("status"),
        member("exit_code"),
        member("termination")
    )
}

/// Measures jobs of the daemon that `client` asks.
pub(super) async fn measure(
    client: &Client,
    workload: Workload,
    load: Load,
    usual: Bound,
) -> Result<Slice, ClientError> {
    let before = parts(client).await?;
    let slice = match load {
        Load::Rate(rate) => at_rate(client, workload, rate, usual).await?,
        Load::Clients(_) | Load::Idle(_) | Load::Burst(_) => in_turns(client, workload, load, usual).await?,
    };
    let parts = since(parts(client).await?, &before);
    Ok(Slice { parts, ..slice })
}

async fn in_turns(client: &Client, workload: Workload, load: Load, usual: Bound) -> Result<Slice, ClientError> {
    let askers = ready(client, workload, load.clients()).await?;
    let pace = Pace::begin(load.bound(usual));
    let slices = join_all(askers.into_iter().map(|asker| asker.one_after_another(load, pace.turns()))).await;
    Ok(Slice { elapsed: pace.elapsed(), ..Slice::joined(&slices) })
}

async fn ready(client: &Client, workload: Workload, count: u16) -> Result<Vec<Asker>, ClientError> {
    let mut askers = Vec::new();
    for _ in 0..count {
        askers.push(Asker::new(client, workload).await?);
    }
    Ok(askers)
}

/// Sends at its time each job, by whoever is free. How late a timer is does not count: the job has not been sent.
async fn at_rate(client: &Client, workload: Workload, rate: f64, usual: Bound) -> Result<Slice, ClientError> {
    let mut free = ready(client, workload, READY).await?;
    let mut under_way: JoinSet<(Asker, Slice)> = JoinSet::new();
    let (gap, count) = spacing(rate, usual);
    let pace = Pace::begin(Bound::Jobs(count));
    let (start, mut turns, mut done) = (tokio::time::Instant::now(), pace.turns(), Vec::new());
    let mut due = start;
    while turns.next() {
        sleep_until(due).await;
        due += gap;
        while let Some(Ok((asker, slice))) = under_way.try_join_next() {
            free.push(asker);
            done.push(slice);
        }
        if under_way.len() >= UNDER_WAY {
            let mut missed = Slice::default();
            missed.note(Duration::ZERO, Err(format!("{UNDER_WAY} jobs were under way at {rate:.0} a second")));
            done.push(missed);
            continue;
        }
        let asker = match free.pop() {
            Some(asker) => asker,
            None => Asker::new(client, workload).await?,
        };
        under_way.spawn(once(asker));
    }
    while let Some(joined) = under_way.join_next().await {
        done.extend(joined.map(|(_, slice)| slice));
    }
    Ok(Slice { elapsed: pace.elapsed(), ..Slice::joined(&done) })
}

async fn once(mut asker: Asker) -> (Asker, Slice) {
    let (begin, mut slice) = (instant(), Slice::default());
    let went = asker.ask().await;
    slice.note(begin.elapsed(), went);
    (asker, slice)
}

/// The pause between two jobs, and how many there are.
fn spacing(rate: f64, usual: Bound) -> (Duration, u32) {
    let gap = Duration::from_secs_f64(1.0 / rate.clamp(0.1, 1e6));
    let count = match usual {
        Bound::Jobs(jobs) | Bound::Each(jobs) => jobs,
        Bound::Time(time) => u32::try_from(time.as_nanos() / gap.as_nanos().max(1)).unwrap_or(u32::MAX).max(1),
    };
    (gap, count)
}

/// What the daemon says of the parts of its jobs.
async fn parts(client: &Client) -> Result<Parts, ClientError> {
    let health = client.again().json(Question::new(Method::GET, "/healthz/detail")).await?;
    Ok(read_parts(&health))
}

/// An older daemon says nothing.
fn read_parts(health: &Value) -> Parts {
    let times = health.get("times").and_then(Value::as_object).into_iter().flatten();
    let mut parts: Parts = times.map(|(name, times)| (name.clone(), read_times(times))).collect();
    parts.sort_by_key(|(name, _)| ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()));
    parts
}

fn read_times(told: &Value) -> Times {
    let mut times = Times::default();
    for bucket in told.get("buckets").and_then(Value::as_array).into_iter().flatten() {
        let member = |name: &str| bucket.get(name).and_then(Value::as_u64);
        if let (Some(us), Some(count)) = (member("us"), member("count")) {
            times.add(Bucket { us, count });
        }
    }
    times
}

fn since(after: Parts, before: &Parts) -> Parts {
    let earlier = |name: &str| before.iter().find(|(known, _)| known == name).map(|(_, times)| times.clone());
    let part = |(name, times): (String, Times)| {
        let times = times.since(&earlier(&name).unwrap_or_default());
        (name, times)
    };
    after.into_iter().map(part).filter(|(_, times)| times.count() > 0).collect()
}

#[cfg(test)]
mod test {
    use serde_json::json;

    use super::*;

    fn told(count: u64) -> Parts {
        read_parts(&json!({"times": {"run": {"buckets": [{"us": 100, "count": count}]}, "queue": {"buckets": []}}}))
    }

    #[test]
    fn only_what_happened_in_between_is_told() {
        let between = since(told(5), &told(2));
        assert_eq!(between.len(), 1);
        assert_eq!((between[0].0.as_str(), between[0].1.count()), ("run", 3));
        assert_eq!(since(told(5), &Vec::new())[0].1.count(), 5);
        assert!(read_parts(&json!({"status": "healthy"})).is_empty());
    }

    #[test]
    fn parts_stand_as_they_happen() {
        let told = json!({"times": {"total": {}, "run": {}, "later": {}, "accept": {}}});
        let names: Vec<String> = read_parts(&told).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["accept", "run", "total", "later"]);
    }

    #[test]
    fn jobs_at_a_rate_are_evenly_spaced() {
        let second = Bound::Time(Duration::from_secs(1));
        assert_eq!(spacing(200.0, second), (Duration::from_millis(5), 200));
        assert_eq!(spacing(200.0, Bound::Jobs(7)), (Duration::from_millis(5), 7));
        assert_eq!(spacing(f64::INFINITY, second).0, Duration::from_micros(1));
    }

    #[test]
    fn a_job_that_did_not_go_well_says_why() {
        let text = unwell(&json!({"status": "failed", "exit_code": 1, "termination": {"reason": "exited"}}));
        assert!(text.contains("\"failed\"") && text.contains("exited"), "{text}");
    }
}
