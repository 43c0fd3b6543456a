//! What the linker put into the root binary: none of the crates that parse what comes from outside.
//!
//! `architecture.rs` reads imports; this reads the symbols of the program itself, so that nothing
//! gets in behind a dependency either. Not here: the server's binary, which may hold anything.

/// Crates that the privileged program must not contain, by the name that their symbols begin with.
const BANNED: &[&str] =
    &["tokio", "poem", "poem_openapi", "hyper", "hyper_util", "sled", "serde_json", "figment", "clap_builder"];

/// The banned crates among demangled symbols, each with one symbol as evidence.
fn banned_crates(symbols: &str) -> Vec<(&'static str, &str)> {
    let evidence = |name: &str| symbols.lines().find(|symbol| names_crate(symbol, name));
    BANNED.iter().filter_map(|name| Some((*name, evidence(name)?))).collect()
}

/// Whether a path in `symbol` begins with `name::`. A module of that name inside another crate does
/// not count: its path begins elsewhere.
fn names_crate(symbol: &str, name: &str) -> bool {
    symbol.match_indices(name).any(|(at, _)| {
        let (before, rest) = symbol.split_at(at);
        let begins = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        begins && rest.strip_prefix(name).is_some_and(|rest| rest.starts_with("::"))
    })
}

#[cfg(test)]
mod test {
    use std::process::Command;

    use super::*;

    const SPAWNER: &str = env!("CARGO_BIN_EXE_kiln-spawner");

    #[expect(clippy::disallowed_methods, reason = "nm is the tool that knows symbols")]
    fn symbols_of(binary: &str) -> String {
        let output = Command::new("nm").args(["-C", binary]).output();
        let output = output.expect("nm (package binutils) can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[test]
    fn the_spawner_holds_no_crate_that_parses_the_outside() {
        let symbols = symbols_of(SPAWNER);
        assert!(symbols.contains("kiln_spawner::main"), "{SPAWNER} has no symbols to look at");
        let banned = banned_crates(&symbols);
        assert!(banned.is_empty(), "in {SPAWNER}: {banned:#?}");
    }

    #[test]
    fn a_banned_crate_is_found() {
        for symbol in [
            "0000000000012345 t tokio::runtime::park::unpark",
            "0000000000012345 t <tokio::time::Sleep as core::future::Future>::poll",
            "0000000000012345 t core::ptr::drop_in_place<tokio::runtime::Runtime>",
        ] {
            assert_eq!(banned_crates(symbol), [("tokio", symbol)]);
        }
    }

    #[test]
    fn a_like_name_is_not() {
        for symbol in [
            "0000000000012345 t kiln::spawner::tokio::nothing",
            "0000000000012345 t hyperlink::parse",
            "0000000000012345 t my_sled::open",
        ] {
            assert_eq!(banned_crates(symbol), []);
        }
    }
}
