//! Who may come in by the local socket: root, and the members of one group.
//!
//! The kernel says who is at the other end. A connection of anybody else is accepted and each of its
//! requests answered 403, so that a client can say what to do. Not here: who may do what.
use poem::Request;

use crate::api::error::{ApiError, Kind};
use crate::sys::peer::Peer;

/// The group whose members may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Its name, for people.
    pub name: String,
    /// Its number; without one only root may come in.
    pub group: Option<u32>,
}

/// Says why a connection's requests are answered 403. An extension of each of them.
#[derive(Clone, Debug)]
pub(super) struct TurnedAway(String);

impl Admission {
    /// Nothing where the peer may come in.
    pub(super) fn refusal(&self, peer: &Peer) -> Option<TurnedAway> {
        let is_member = self.group.is_some_and(|group| peer.groups.contains(&group));
        if peer.uid == 0 || is_member {
            return None;
        }
        let name = &self.name;
        Some(TurnedAway(format!("user {} is neither root nor in the group {name}", peer.uid)))
    }
}

/// Refuses a request that came by a connection that was turned away.
pub(super) fn check(request: &Request) -> Result<(), ApiError> {
    match request.extensions().get::<TurnedAway>() {
        None => Ok(()),
        Some(TurnedAway(reason)) => Err(ApiError::new(Kind::Forbidden, reason.as_str())),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn is_admitted(group: Option<u32>, uid: u32, groups: &[u32]) -> bool {
        let admission = Admission { name: String::from("kiln"), group };
        admission.refusal(&Peer { uid, groups: groups.to_vec() }).is_none()
    }

    #[test]
    fn root_and_members_come_in_and_nobody_else() {
        assert!(is_admitted(Some(7), 0, &[0]));
        assert!(is_admitted(Some(7), 1000, &[100, 7]));
        assert!(!is_admitted(Some(7), 1000, &[100, 0]));
        assert!(!is_admitted(Some(7), 1000, &[]));
    }

    #[test]
    fn without_the_group_only_root_comes_in() {
        assert!(is_admitted(None, 0, &[]));
        assert!(!is_admitted(None, 1000, &[0, 7]));
    }
}
