//! Languages as data.
