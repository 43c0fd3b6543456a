//! Talks to the spawner.
