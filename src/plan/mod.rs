//! What a sandbox is.
