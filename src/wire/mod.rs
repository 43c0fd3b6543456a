//! The messages between server and spawner.
