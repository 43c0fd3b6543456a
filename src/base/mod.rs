//! Words that mean the same thing everywhere: ids, sizes, moments, faults.
//!
//! Not here: anything that opens, sends or waits.
pub mod base64_text;
pub mod checksum;
pub mod digest;
pub mod fault;
pub mod id;
pub mod size;
pub mod time;
