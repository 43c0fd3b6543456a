//! The API in process, on a core that the tests control: what a client sees on every path.

#[cfg(test)]
mod client;
#[cfg(test)]
mod core;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod execution;
#[cfg(test)]
mod form;
#[cfg(test)]
mod images;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod output;
#[cfg(test)]
mod selftest;
#[cfg(test)]
mod server;
#[cfg(test)]
mod system;
