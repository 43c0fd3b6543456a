//! Which job runs when, and running it.
