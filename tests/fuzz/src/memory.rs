//! Counts what is allocated, so that a target can say how much a reader may take for so many bytes.
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[global_allocator]
static COUNTED: Counted = Counted;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counted;

// SAFETY: everything is the system's allocator, and counting allocates nothing.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        // SAFETY: the caller keeps what GlobalAlloc demands.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps what GlobalAlloc demands.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Does it; it may hold `most` bytes at once beside what was held before.
#[track_caller]
pub(crate) fn within<T>(most: usize, act: impl FnOnce() -> T) -> T {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = act();
    let peak = PEAK.load(Relaxed).saturating_sub(before);
    assert!(peak <= most, "{peak} bytes were allocated at once, {most} are the bound");
    result
}
