//! What a job is: what was asked for, where it is in its life, how it ended.
//!
//! ```text
//! Queued --start--> Running --end--> Ended(termination)
//!    \------------cancel-------------^
//! ```
//!
//! Not here: I/O, clocks, HTTP. Families show these words in their own (contract rule 5).
pub mod limits;
pub mod record;
pub mod request;
pub mod state;
pub mod termination;
pub mod usage;
