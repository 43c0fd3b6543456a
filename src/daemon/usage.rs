//! What the host and kiln use, looked at now and then in the background (`proc_stat(5)`, `proc_pid_stat(5)`).
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::api::core::HostUsage;

const PAUSE: Duration = Duration::from_secs(2);
const MIB: u64 = 1 << 20;

/// The last look.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage(Arc<Mutex<HostUsage>>);

impl Usage {
    pub(super) fn last(&self) -> HostUsage {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, usage: HostUsage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = usage;
    }
}

/// Looks every two seconds as long as somebody holds the result. `spawner` and all below it are the jobs.
pub(super) fn start(data: PathBuf, spawner: u32) -> Usage {
    let usage = Usage::default();
    let watched = Arc::downgrade(&usage.0);
    tokio::spawn(async move {
        let mut before = None;
        while let Some(place) = watched.upgrade() {
            let data = data.clone();
            let look = tokio::task::spawn_blocking(move || look(before, &data, spawner)).await;
            let Ok((now, seen)) = look else { return };
            Usage(place).note(seen);
            before = now;
            tokio::time::sleep(PAUSE).await;
        }
    });
    usage
}

/// Processor time of the host so far, in clock ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    all: u64,
}

fn look(before: Option<Ticks>, data: &Path, spawner: u32) -> (Option<Ticks>, HostUsage) {
    let now = fs::read_to_string("/proc/stat").ok().and_then(|text| ticks(&text));
    let seen = HostUsage {
        cpu_percent: before.zip(now).and_then(|(before, now)| percent(before, now)),
        memory_mib: memory(spawner).map(|bytes| bytes / MIB),
        disk_mib: Some(disk(data) / MIB),
    };
    (now, seen)
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

/// Bytes of all files below `folder`. What goes away in between counts for nothing.
fn disk(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => disk(&entry.path()),
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
