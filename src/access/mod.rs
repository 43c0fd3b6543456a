//! Who may do what. [`decide`] is asked with the head of a record before anything is shown or done.
//!
//! Not here: how an identity is proved (`identity`, later).
use serde::{Deserialize, Serialize};

/// Somebody whose identity was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Name that records carry as their owner.
    pub name: String,
    /// What the principal may do in general.
    pub role: Role,
}

impl Principal {
    /// Everybody while authentication is switched off (contract rule 12).
    pub fn unauthenticated_admin() -> Self {
        Self { name: String::from("admin"), role: Role::Admin }
    }
}

/// The roles of contract rule 12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs code and sees its own records.
    User,
    /// Sees and manages everything.
    Admin,
    /// Services of the installation itself.
    System,
}

/// What somebody wants to do with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look at it.
    Read,
    /// Change or end it.
    Write,
}

/// Who owns a record: the part of its head that access looks at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    /// Name of the owner.
    pub owner: String,
    /// Others who may read; empty at first.
    pub grants: Vec<String>,
}

/// Proof that a principal may do an action. Only [`decide`] and [`administer`] make one.
#[derive(Clone, Copy, Debug)]
pub struct Permit(());

/// The principal may not do this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not allowed")]
pub struct Denied;

/// Decides whether `principal` may do `action` to a record.
///
/// # Errors
/// When the record belongs to somebody else and nothing was granted.
pub fn decide(principal: &Principal, action: Action, record: &Ownership) -> Result<Permit, Denied> {
    let own = record.owner == principal.name;
    let granted = action == Action::Read && record.grants.contains(&principal.name);
    match principal.role {
        Role::Admin | Role::System => Ok(Permit(())),
        Role::User if own || granted => Ok(Permit(())),
        Role::User => Err(Denied),
    }
}

/// Decides whether `principal` may act on the installation itself.
///
/// # Errors
/// When the role is that of those who only run code.
pub fn administer(principal: &Principal) -> Result<Permit, Denied> {
    match principal.role {
        Role::Admin | Role::System => Ok(Permit(())),
        Role::User => Err(Denied),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[track_caller]
    fn check(role: Role, action: Action, allowed: bool) {
        let principal = Principal { name: String::from("ann"), role };
        let record = Ownership { owner: String::from("bob"), grants: Vec::new() };
        assert_eq!(decide(&principal, action, &record).is_ok(), allowed);
    }

    #[test]
    fn a_user_sees_nothing_of_others_and_an_admin_everything() {
        check(Role::User, Action::Read, false);
        check(Role::Admin, Action::Write, true);
    }

    #[test]
    fn who_only_runs_code_does_not_act_on_the_installation() {
        let with = |role| administer(&Principal { name: String::from("ann"), role }).is_ok();
        assert_eq!([Role::User, Role::Admin, Role::System].map(with), [false, true, true]);
    }

    #[test]
    fn a_grant_lets_read_and_not_write() {
        let principal = Principal { name: String::from("ann"), role: Role::User };
        let record = Ownership { owner: String::from("bob"), grants: vec![String::from("ann")] };
        assert!(decide(&principal, Action::Read, &record).is_ok());
        assert_eq!(decide(&principal, Action::Write, &record).unwrap_err(), Denied);
    }
}
