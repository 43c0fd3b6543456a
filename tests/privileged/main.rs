//! The daemon as it is started by an operator, with programs that attack it: how each attempt was
//! stopped, and that nothing is left behind.
//!
//! Needs root. `TEST_TIME_SCALE` multiplies every time limit (a guest without hardware
//! virtualisation is slow). What needs a compiler is in `toolchain`, what needs a Debian mirror in `recipes`, so that a
//! machine without one can leave it out by name. Not here: the API's own words (`tests/api`), the units of `src`.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod carryover;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod descendants;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod egress;
#[cfg(test)]
mod footprint;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod held;
#[cfg(test)]
mod host;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod http;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod image_store;
#[cfg(test)]
mod images;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod languages;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod network;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod outcome;
#[cfg(test)]
mod posture;
#[cfg(test)]
mod recipes;
#[cfg(test)]
mod residue;
#[cfg(test)]
mod stop;
#[cfg(test)]
mod syscalls;
#[cfg(test)]
mod toolchain;
