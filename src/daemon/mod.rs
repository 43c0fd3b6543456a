//! Builds everything in order, stops it in reverse.
