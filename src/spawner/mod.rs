//! Everything that runs as root.
