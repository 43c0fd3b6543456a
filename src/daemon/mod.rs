//! Builds everything in order, stops it in reverse.
//!
//! ```text
//! data directory -> instance id -> spawner -> privileges dropped -> store -> queue -> API
//! ```
pub mod spawner;
pub mod user;
#[allow(missing_docs)]
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("a")]
    Unavailable {},
    #[error("a")]
    SpawnerLost,
    #[error("a")]
    Configuration {},
    #[error("a")]
    Internal {},
}
#[allow(missing_docs)]
pub fn run(_: crate::config::Config, _: Vec<crate::config::Warning>) -> Result<(), DaemonError> {
    Ok(())
}
