//! Where Debian's packages come from: what this host's own sources say.
//!
//! On a host without sources of Debian's there is nothing, and mmdebstrap takes Debian's usual mirrors. Not here: what an
//! operator names instead.
use std::process::Command;

use crate::image::build::bootstrap::PATH;

/// The mirrors of a suite and of its security updates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirrors {
    /// Of the suite.
    pub main: Option<String>,
    /// Of its security updates.
    pub security: Option<String>,
}

/// Those of this host.
#[expect(clippy::disallowed_methods, reason = "root's command line, not a daemon, makes images")]
pub fn of_this_host() -> Mirrors {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"]);
    let output = command.env_clear().env("PATH", PATH).env("LC_ALL", "C").output();
    output.map_or_else(|_no_apt| Mirrors::default(), |output| read(&String::from_utf8_lossy(&output.stdout)))
}

/// Reads lines of a label and an address; of each label the first one counts.
fn read(text: &str) -> Mirrors {
    let of = |label: &str| {
        let addresses = text.lines().filter_map(|line| line.rsplit_once(' '));
        addresses.filter(|(found, _)| *found == label).map(|(_, address)| address.to_owned()).next()
    };
    Mirrors { main: of("Debian"), security: of("Debian-Security") }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_hosts_own_mirrors_are_taken() {
        let text = "Other http://o.example/\nDebian http://a.example/debian/\nDebian http://b.example/debian/\n\
                    Debian-Security http://a.example/security/\n";
        let main = Some(String::from("http://a.example/debian/"));
        assert_eq!(read(text), Mirrors { main, security: Some(String::from("http://a.example/security/")) });
        assert_eq!(read("Ubuntu http://a.example/\n"), Mirrors::default());
    }
}
