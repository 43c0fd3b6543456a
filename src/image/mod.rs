//! The store of images: root file systems that jobs run in, each one EROFS file.
//!
//! ```text
//! <data_dir>/images/            root's; nobody else may write to it
//!   <64 digits>.erofs           an image; the digits are the SHA-256 of the file
//!   <64 digits>.json            its manifest; never changed
//!   tags/<name>:<tag>           64 digits and a line feed: which image is meant (reference.rs says how `/` is written)
//!   in-use                      locked, shared, by a spawner that serves images of this store
//!   lock                        locked, exclusively, by whoever changes the store
//!   staging-*                   what is being made
//! ```
//!
//! An image is there when both its files are; a tag of one that is not is no tag. Root's command line makes and removes
//! images, the spawner mounts them by digest, the server reads manifests and computes digests.
//!
//! Not here: how a sandbox gets an image as its root (`spawner`), which image a job gets (`queue`).
//!
//! ```text
//! archive ─> unpack ─> finish ─> erofs ─┐
//! └──────────── staging ────────────────┴─> store <─ removal, verify
//! ```
pub mod archive;
pub mod build;
pub mod catalog;
mod cleaner;
mod erofs;
pub mod fault;
mod finish;
mod folder;
pub mod library;
pub mod manifest;
pub mod recipe;
pub mod reference;
pub mod removal;
pub mod staging;
pub mod store;
pub mod unpack;
pub mod verify;

/// Directory of the store in the data directory.
pub const FOLDER: &str = "images";

/// Directory of the tags in the store.
pub const TAGS: &str = "tags";

#[cfg(test)]
mod test;
