//! The records, in sled.
