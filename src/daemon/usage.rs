//! What the host and kiln use, looked at now and then in the background (`proc_stat(5)`, `proc_pid_stat(5)`).
//!
//! Files and processes may be a million. So each of the two is looked at in a task of its own, and rests a
//! hundred times as long as its last look took: looking takes a hundredth of a processor at most.
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::api::core::HostUsage;
use crate::base::time::instant;

/// Between two looks at least.
const PAUSE: Duration = Duration::from_secs(2);
/// A look is followed by so many times its own duration.
const REST: u32 = 100;
const MIB: u64 = 1 << 20;

/// The last look.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage(Arc<Mutex<HostUsage>>);

impl Usage {
    pub(super) fn last(&self) -> HostUsage {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, change: impl FnOnce(&mut HostUsage)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Looks as long as somebody holds the result. `spawner` and all below it are the jobs.
pub(super) fn start(data: PathBuf, spawner: u32) -> Usage {
    let usage = Usage::default();
    let mut before = None;
    tokio::spawn(watch(Arc::downgrade(&usage.0), move || {
        let now = fs::read_to_string("/proc/stat").ok().and_then(|text| ticks(&text));
        let cpu_percent = before.zip(now).and_then(|(before, now)| percent(before, now));
        before = now;
        let memory_mib = memory(spawner).map(|bytes| bytes / MIB);
        move |usage: &mut HostUsage| (usage.cpu_percent, usage.memory_mib) = (cpu_percent, memory_mib)
    }));
    let place = Arc::downgrade(&usage.0);
    tokio::spawn(watch(Arc::downgrade(&usage.0), move || {
        // Nobody waits for a long look at the end of the daemon.
        let disk_mib = Some(disk(&data, &|| place.strong_count() > 0) / MIB);
        move |usage: &mut HostUsage| usage.disk_mib = disk_mib
    }));
    usage
}

/// Looks, notes and rests, again and again.
async fn watch<L, N>(place: Weak<Mutex<HostUsage>>, mut look: L)
where
    L: FnMut() -> N + Send + 'static,
    N: FnOnce(&mut HostUsage) + Send + 'static,
{
    while place.strong_count() > 0 {
        let looked = tokio::task::spawn_blocking(move || {
            let begun = instant();
            let seen = look();
            (look, seen, begun.elapsed())
        });
        let (again, seen, took) = match looked.await {
            Ok(looked) => looked,
            Err(error) => {
                tracing::error!(%error, "usage: not looked at any more");
                return;
            }
        };
        look = again;
        let Some(place) = place.upgrade() else { return };
        Usage(place).note(seen);
        tokio::time::sleep(rest(took)).await;
    }
}

fn rest(took: Duration) -> Duration {
    took.saturating_mul(REST).max(PAUSE)
}

/// Processor time of the host so far, in clock ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    all: u64,
}

/// First line: `cpu user nice system idle iowait irq softirq steal …`.
fn ticks(text: &str) -> Option<Ticks> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let numbers: Vec<u64> = line.split_whitespace().take(8).filter_map(|word| word.parse().ok()).collect();
    let all = numbers.iter().sum();
    let idle = numbers.get(3)?.saturating_add(*numbers.get(4)?);
    Some(Ticks { busy: u64::saturating_sub(all, idle), all })
}

/// With one decimal.
fn percent(before: Ticks, now: Ticks) -> Option<f64> {
    let all = now.all.checked_sub(before.all).filter(|all| *all > 0)?;
    let busy = now.busy.saturating_sub(before.busy);
    let tenths = u32::try_from(busy.saturating_mul(1000) / all).ok()?;
    Some(f64::from(tenths) / 10.0)
}

/// Resident memory of this process, the spawner and every process below it.
fn memory(spawner: u32) -> Option<u64> {
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten()?;
    let processes: HashMap<u32, (u32, u64)> = fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((pid, parent_and_pages(&stat)?))
        })
        .collect();
    let pages: u64 =
        processes.iter().filter(|(pid, _)| is_ours(**pid, spawner, &processes)).map(|(_, (_, pages))| pages).sum();
    Some(pages.saturating_mul(u64::try_from(page).ok()?))
}

/// `pid (name) state parent …`, resident pages in the 24th field.
fn parent_and_pages(stat: &str) -> Option<(u32, u64)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let parent = fields.nth(1)?.parse().ok()?;
    let pages = fields.nth(19)?.parse().ok()?;
    Some((parent, pages))
}

fn is_ours(pid: u32, spawner: u32, processes: &HashMap<u32, (u32, u64)>) -> bool {
    let parent_of = |pid: &u32| processes.get(pid).map(|(parent, _)| *parent);
    pid == std::process::id()
        || std::iter::successors(Some(pid), parent_of).take(processes.len()).any(|pid| pid == spawner)
}

/// Bytes of all files below `folder`, as long as they are wanted. What goes away in between counts for nothing.
fn disk(folder: &Path, wanted: &dyn Fn() -> bool) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .take_while(|_| wanted())
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => disk(&entry.path(), wanted),
            Ok(found) => found.len(),
            Err(_gone) => 0,
        })
        .sum()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_share_of_busy_ticks_is_shown() {
        let before = ticks("cpu  10 0 10 80 0 0 0 0 0 0\n").unwrap();
        let now = ticks("cpu  20 0 15 165 0 0 0 0 0 0\n").unwrap();
        assert_eq!(percent(before, now), Some(15.0));
        assert_eq!(percent(now, now), None);
    }

    #[test]
    fn a_long_look_is_followed_by_a_long_rest() {
        assert_eq!(rest(Duration::from_millis(3)), PAUSE);
        assert_eq!(rest(Duration::from_secs(4)), Duration::from_secs(400));
    }

    #[tokio::test]
    async fn what_is_seen_is_noted() {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("below")).unwrap();
        fs::File::create(data.path().join("below/file")).unwrap().set_len(3 * MIB).unwrap();
        let usage = start(data.path().to_path_buf(), std::process::id());
        let all = async {
            while usage.last().disk_mib.is_none() || usage.last().memory_mib.is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();
        assert_eq!(usage.last().disk_mib, Some(3));
    }

    #[test]
    fn a_name_with_a_parenthesis_does_not_confuse() {
        let stat = "7 (a) b) S 3 7 7 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 5 4096 42 0";
        assert_eq!(parent_and_pages(stat), Some((3, 42)));
    }

    #[test]
    fn descendants_of_the_spawner_are_ours() {
        let processes = HashMap::from([(5, (1, 0)), (6, (5, 0)), (7, (6, 0)), (8, (1, 0))]);
        assert!(is_ours(7, 5, &processes));
        assert!(!is_ours(8, 5, &processes));
    }
}
