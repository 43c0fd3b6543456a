//! Texts that are made from the table: the default file, the effective settings, the reference.
mod file;
mod reference;
mod wrap;

pub use file::{default, effective};
pub use reference::reference;
