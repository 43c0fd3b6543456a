//! kiln runs untrusted code in raw Linux isolation behind an HTTP API.
//!
//! A folder stands on a floor and uses folders on lower floors only; `tests/architecture.rs`
//! holds the table. Not here: any re-export, so that one thing has one path.
pub mod access;
pub mod api;
pub mod base;
pub mod cli;
pub mod client;
pub mod config;
pub mod daemon;
pub mod image;
pub mod job;
pub mod lang;
pub mod launch;
pub mod oci;
pub mod output;
pub mod plan;
pub mod queue;
pub mod selftest;
pub mod spawner;
pub mod store;
#[expect(unsafe_code, reason = "the kernel is called from here and nowhere else")]
pub mod sys;
pub mod telemetry;
pub mod wire;
