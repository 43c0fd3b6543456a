//! Kernel calls, one wrapper each.
