//! Kernel calls, one wrapper each. The only `unsafe` of the library.
//!
//! What `nix` wraps safely is called where it is needed; here stands only what it does not wrap, or
//! what hands out descriptors. Every descriptor is born close-on-exec.
pub mod attribute;
pub mod cgroup;
pub mod landlock;
pub mod loop_device;
pub mod memfd;
pub mod mount;
pub mod network;
pub mod peer;
pub mod process;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod supervisor;
