//! What kiln depends on: licences, sources, and crates that must not come in.
//!
//! Known vulnerabilities are asked for where the database can be had: `make advisories`, which needs
//! cargo-deny and the network.

#[cfg(test)]
mod test {
    use std::collections::BTreeSet;
    use std::process::Command;

    use serde_json::Value;
    use spdx::{Expression, LicenseItem};

    /// Licences whose terms a binary of kiln can keep.
    const LICENCES: [&str; 8] =
        ["MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "Unicode-3.0", "BSL-1.0"];
    /// Names that must not be in the graph: cryptography is `rustls` with `ring`, TLS is no C library.
    const BANNED: [&str; 8] =
        ["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys", "boring", "serde_yml", "yaml-rust"];
    /// Async crates that only one crate may bring in: cgroups-rs speaks to systemd over D-Bus.
    const ONLY_FOR: [(&str, &str); 1] = [("zbus", "cgroups-rs")];
    const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

    #[expect(clippy::disallowed_methods, reason = "cargo tells the graph")]
    fn metadata() -> Value {
        let args = ["metadata", "--locked", "--format-version", "1", "--manifest-path"];
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let output = Command::new(env!("CARGO")).args(args).arg(manifest).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
        metadata["packages"].as_array().unwrap().iter()
    }

    fn name(package: &Value) -> &str {
        package["name"].as_str().unwrap()
    }

    fn is_permitted(licence: &str) -> bool {
        let known = |requirement: &spdx::LicenseReq| match &requirement.license {
            LicenseItem::Spdx { id, .. } => LICENCES.contains(&id.name),
            LicenseItem::Other { .. } => false,
        };
        // Older crates part alternatives by a slash.
        let expression = Expression::parse(&licence.replace('/', " OR "));
        expression.is_ok_and(|expression| expression.evaluate(known))
    }

    #[test]
    fn every_licence_is_permitted() {
        let metadata = metadata();
        let licence = |package: &Value| package["license"].as_str().unwrap_or_default().to_owned();
        let refused = packages(&metadata).filter(|package| !is_permitted(&licence(package)));
        let refused: Vec<String> = refused.map(|package| format!("{}: {}", name(package), licence(package))).collect();
        assert_eq!(refused, Vec::<String>::new());
    }

    #[test]
    fn every_dependency_comes_from_the_public_registry() {
        let metadata = metadata();
        let foreign = packages(&metadata).filter(|package| name(package) != "kiln" && package["source"] != REGISTRY);
        assert_eq!(foreign.map(name).collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn nothing_banned_is_in_the_graph() {
        let metadata = metadata();
        let names: BTreeSet<&str> = packages(&metadata).map(name).collect();
        let banned: Vec<&str> = BANNED.into_iter().filter(|banned| names.contains(banned)).collect();
        assert_eq!(banned, Vec::<&str>::new());
    }

    #[test]
    fn exceptions_are_for_one_crate_only() {
        let metadata = metadata();
        for (wanted, only) in ONLY_FOR {
            let needs = |package: &&Value| {
                package["dependencies"].as_array().unwrap().iter().any(|dependency| dependency["name"] == wanted)
            };
            let users: BTreeSet<&str> = packages(&metadata).filter(needs).map(name).collect();
            let foreign: Vec<&str> =
                users.into_iter().filter(|user| *user != only && !user.starts_with(wanted)).collect();
            assert_eq!(foreign, Vec::<&str>::new(), "{wanted} is for {only}");
        }
    }

    #[test]
    fn a_licence_is_read_as_its_terms_say() {
        for permitted in ["MIT", "MIT/Apache-2.0", "GPL-3.0-only OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
            assert!(is_permitted(permitted), "{permitted}");
        }
        for refused in ["", "GPL-3.0-only", "MIT AND GPL-3.0-only", "no such licence"] {
            assert!(!is_permitted(refused), "{refused}");
        }
    }
}
