//! Sandboxes that stand before anybody asks for them: how many, what for, and when none is made.
//!
//! Each is used once, as one that was made on request, and for the root that it was made with. The roots of the last jobs
//! say how many stand for each. Not here: how one is made (`spawner::create`).
use std::collections::VecDeque;
use std::time::Duration;

use super::number::Number;
use super::tree::Size;
use crate::base::time::Instant;
use crate::plan::limits::Limits;
use crate::plan::mount::Root;

/// After one that could not be made none is tried for this long: what was wrong then may be wrong still.
const PAUSE: Duration = Duration::from_secs(1);

/// So many jobs say what the next ones will have at `/`.
const RECENT: usize = 32;

/// What the next sandbox is made for. Another one can be given other limits, which takes longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// What it has at `/`.
    pub(super) root: Root,
    pub(super) limits: Limits,
    /// Of `/work`.
    pub(super) work: Size,
}

/// What is known beside the sandboxes themselves.
#[derive(Debug)]
pub(super) struct Stock {
    most: usize,
    last: u64,
    wish: Wish,
    /// Of the last jobs, the newest at the end.
    recent: VecDeque<Root>,
    paused_until: Option<Instant>,
}

/// Before the first job: about what most ask for.
const FIRST_WISH: Wish = Wish {
    root: Root::Host,
    limits: Limits {
        wall_us: 30_000_000,
        cpu_time_us: 30_000_000,
        milli_cpus: 1000,
        memory: 128 << 20,
        processes: 64,
        open_files: 256,
        file_size: 64 << 20,
        temporary: 64 << 20,
        temporary_inodes: 16 << 10,
    },
    work: Size { bytes: 64 << 20, inodes: 16 << 10 },
};

impl Stock {
    /// None stands ready until the server has said how many.
    pub(super) const fn new() -> Self {
        Self { most: 0, last: 0, wish: FIRST_WISH, recent: VecDeque::new(), paused_until: None }
    }

    /// At most so many stand ready.
    pub(super) const fn keep(&mut self, most: usize) {
        self.most = most;
    }

    /// A number that no sandbox or tree had before.
    pub(super) const fn number(&mut self) -> Number {
        self.last = self.last.saturating_add(1);
        Number(self.last)
    }

    /// What the next one is made for, where `standing` says how many stand for a root.
    pub(super) fn wish(&self, standing: &dyn Fn(Root) -> usize) -> Wish {
        Wish { root: self.lacking(standing).unwrap_or(self.wish.root), ..self.wish }
    }

    /// The root of one that is to go, because those that are lacking have no place. One more than its share may stay.
    pub(super) fn surplus(&self, standing: &dyn Fn(Root) -> usize, roots: &[Root]) -> Option<Root> {
        let mut distinct: Vec<Root> = Vec::new();
        for root in &self.recent {
            if !distinct.contains(root) {
                distinct.push(*root);
            }
        }
        let lack: usize = distinct.iter().map(|root| self.share(*root).saturating_sub(standing(*root))).sum();
        if lack <= self.most.saturating_sub(roots.len()) {
            return None;
        }
        let is_over = |root: &Root| {
            let share = self.share(*root);
            standing(*root) > share + usize::from(share > 0)
        };
        roots.iter().copied().find(is_over)
    }

    /// The root for which fewest stand, compared with its share of the last jobs.
    fn lacking(&self, standing: &dyn Fn(Root) -> usize) -> Option<Root> {
        let lack = |root: Root| self.share(root).saturating_sub(standing(root));
        let worst = self.recent.iter().copied().max_by_key(|root| lack(*root))?;
        (lack(worst) > 0).then_some(worst)
    }

    fn share(&self, root: Root) -> usize {
        let count = self.recent.iter().filter(|recent| **recent == root).count();
        self.most.saturating_mul(count).checked_div(self.recent.len()).unwrap_or(0)
    }

    /// What the last job asked for, the next one will.
    pub(super) const fn wish_for(&mut self, limits: Limits) {
        self.wish.limits = limits;
    }

    /// The same, of the size of `/work` and of what is at `/`.
    pub(super) fn wish_for_work(&mut self, size: Size, root: Root) {
        (self.wish.work, self.wish.root) = (size, root);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(root);
    }

    /// No more are made for a root that will be nobody's.
    pub(super) fn forget(&mut self, root: Root) {
        self.recent.retain(|recent| *recent != root);
        if self.wish.root == root {
            self.wish.root = Root::Host;
        }
    }

    /// Whether one more is to be made while so many stand.
    pub(super) fn wants(&self, standing: usize, now: Instant) -> bool {
        standing < self.most && self.paused_until.is_none_or(|until| until <= now)
    }

    /// Whether so many may not last.
    pub(super) const fn is_low(&self, standing: usize) -> bool {
        standing < self.most / 2
    }

    /// One could not be made.
    pub(super) fn pause(&mut self, now: Instant) {
        self.paused_until = Some(now + PAUSE);
    }

    /// When to look again.
    pub(super) fn deadline(&self, standing: usize, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| standing < self.most && *until > now)
    }
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::base::digest::Digest;
    use crate::base::time::instant;

    #[test]
    fn after_a_failure_none_is_made_for_a_while() {
        let (mut stock, now) = (Stock::new(), instant());
        assert!(!stock.wants(0, now));
        stock.keep(2);
        assert!(stock.wants(1, now) && !stock.wants(2, now));
        stock.pause(now);
        assert!(!stock.wants(0, now));
        assert_eq!((stock.deadline(0, now), stock.deadline(2, now)), (Some(now + PAUSE), None));
        assert!(stock.wants(0, now + PAUSE));
        assert_eq!(stock.deadline(0, now + PAUSE), None);
    }

    fn image(number: u8) -> Root {
        Root::Image { digest: Digest([number; 32]) }
    }

    /// What stands after so many jobs of these roots, when every place is filled in between.
    fn after(jobs: &[Root]) -> Vec<Root> {
        let mut stock = Stock::new();
        stock.keep(8);
        let mut standing = vec![Root::Host; 8];
        for job in jobs {
            stock.wish_for_work(FIRST_WISH.work, *job);
            if let Some(place) = standing.iter().position(|root| root == job) {
                standing.remove(place);
            }
            let count = |standing: &[Root], of: Root| standing.iter().filter(|root| **root == of).count();
            if let Some(over) = stock.surplus(&|root| count(&standing, root), &standing) {
                standing.remove(standing.iter().position(|root| *root == over).unwrap());
            }
            while standing.len() < 8 {
                let next = stock.wish(&|root| count(&standing, root)).root;
                standing.push(next);
            }
        }
        standing
    }

    #[test]
    fn those_that_stand_have_the_roots_of_the_last_jobs() {
        assert_eq!(after(&[Root::Host; 40]), [Root::Host; 8]);
        assert_eq!(after(&[image(1); 40]), [image(1); 8]);
        let mixed: Vec<Root> = (0..80).map(|number| image(number % 2)).collect();
        let standing = after(&mixed);
        let ones = standing.iter().filter(|root| **root == image(1)).count();
        assert!((3..=5).contains(&ones), "{standing:?}");
    }

    #[test]
    fn a_new_root_takes_the_places_job_by_job() {
        let images = |jobs: usize| after(&vec![image(1); jobs]).iter().filter(|root| **root == image(1)).count();
        assert!(images(4) >= 3 && images(9) == 8, "{} {}", images(4), images(9));
    }

    #[test]
    fn one_job_of_another_root_changes_little() {
        let jobs: Vec<Root> = [[Root::Host; 40].as_slice(), &[image(1)], &[Root::Host; 3]].concat();
        let hosts = after(&jobs).iter().filter(|root| **root == Root::Host).count();
        assert!(hosts >= 7, "{hosts}");
    }

    #[test]
    fn a_root_that_is_gone_is_wished_for_no_more() {
        let mut stock = Stock::new();
        stock.keep(2);
        stock.wish_for_work(FIRST_WISH.work, image(1));
        assert_eq!(stock.wish(&|_| 0).root, image(1));
        stock.forget(image(1));
        assert_eq!(stock.wish(&|_| 0).root, Root::Host);
    }

    #[test]
    fn no_number_is_given_twice() {
        let mut stock = Stock::new();
        assert_ne!(stock.number(), stock.number());
    }
}
