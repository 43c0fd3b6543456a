//! The numbered event log of what a job printed.
