//! The messages between server and spawner: fixed binary forms over one `SOCK_SEQPACKET` socket.
//!
//! Little-endian, versioned, bounded; described in docs/PROTOCOL.md. Descriptors travel beside a
//! message (unix(7), `SCM_RIGHTS`). Not here: the socket itself, and who may say what when.
pub mod codec;
pub mod network;
pub mod plan;
pub mod reply;
pub mod request;

/// Version of every message. A peer with another version is refused.
pub const VERSION: u16 = 5;

/// First two bytes of every message.
pub const MAGIC: u16 = 0x4b4e;

/// Longest message, either way.
pub const MAX_MESSAGE: usize = 16 * 1024;

/// Most descriptors beside one message.
pub const MAX_DESCRIPTORS: usize = 8;
