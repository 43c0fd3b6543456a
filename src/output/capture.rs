//! A stream as it is shown in JSON (contract rule 8): whole, or its head and tail.
use crate::base::size::ByteSize;

/// What one stream of one phase printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// All of it, or its first bytes.
    pub head: Vec<u8>,
    /// Nothing, or its last bytes.
    pub tail: Vec<u8>,
    /// How much was printed.
    pub total_bytes: u64,
    /// Whether bytes between `head` and `tail` are left out.
    pub truncated: bool,
}

/// Takes a stream in and keeps at most twice the limit of it.
#[derive(Debug)]
pub(super) struct Capture {
    limit: usize,
    /// All bytes while they are within the limit, then the first half of the limit.
    head: Vec<u8>,
    /// Bytes after the head; never much above the limit.
    tail: Vec<u8>,
    total: u64,
    truncated: bool,
}

impl Capture {
    pub(super) fn new(limit: ByteSize) -> Self {
        let limit = usize::try_from(limit.bytes()).unwrap_or(usize::MAX);
        Self { limit, head: Vec::new(), tail: Vec::new(), total: 0, truncated: false }
    }

    /// Takes the next bytes in.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.total = self.total.saturating_add(bytes.len().try_into().unwrap_or(u64::MAX));
        if !self.truncated && self.head.len().saturating_add(bytes.len()) <= self.limit {
            self.head.extend_from_slice(bytes);
            return;
        }
        let half = self.limit / 2;
        if self.truncated {
            self.tail.extend_from_slice(bytes);
        } else {
            self.truncated = true;
            self.head.extend_from_slice(bytes);
            self.tail = self.head.split_off(half);
        }
        if self.tail.len() > self.limit {
            self.keep_last(half);
        }
    }

    /// What is shown.
    pub(super) fn finish(mut self) -> Captured {
        if self.truncated {
            self.keep_last(self.limit / 2);
        }
        let Self { head, tail, total, truncated, .. } = self;
        Captured { head, tail, total_bytes: total, truncated }
    }

    fn keep_last(&mut self, count: usize) {
        let surplus = self.tail.len().saturating_sub(count);
        drop(self.tail.drain(..surplus));
    }
}

#[cfg(test)]
mod test {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stream_is_whole_or_head_and_tail(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
            limit in 0_u64..100,
        ) {
            let all = pieces.concat();
            let mut capture = Capture::new(ByteSize(limit));
            for piece in &pieces {
                capture.take(piece);
            }
            let shown = capture.finish();
            let half = usize::try_from(limit / 2).unwrap();
            prop_assert_eq!(shown.total_bytes, u64::try_from(all.len()).unwrap());
            prop_assert_eq!(shown.truncated, shown.total_bytes > limit);
            if shown.truncated {
                prop_assert_eq!(shown.head, &all[..half]);
                prop_assert_eq!(shown.tail, &all[all.len() - half..]);
            } else {
                prop_assert_eq!(shown.head, all);
                prop_assert!(shown.tail.is_empty());
            }
        }
    }
}
