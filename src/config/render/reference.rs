//! The reference of all settings, as Markdown: `docs/CONFIG.md`.
use crate::config::names;
use crate::config::render::wrap::wrap;
use crate::config::table::{self, Change, Force, Key};

const WIDTH: usize = 120;

const HEAD: &[&str] = &[
    "Made from the table in `src/config/table` by `cargo run --locked -- config docs > docs/CONFIG.md`. Do not edit it.",
    "The order of precedence is: the defaults, then one YAML file (`--config FILE`, else the variable `KILN_CONFIG`, else \
     `/etc/kiln/kiln.yaml` where it exists), then the environment, then the argument `--set KEY=VALUE`. Every value that \
     is given is checked, also one that has no effect because another comes after it.",
    "An unknown key, a key that is given twice, and a variable with the prefix `KILN_` or `FORGEAI_API_` that is none of \
     those below are faults. So are two variables of one key with different values. `KILN_SERVER` and `KILN_TOKEN`, which \
     are for the commands that ask a daemon, and variables that Kubernetes makes for services are left alone. Every fault is reported at once, with the line, the variable or the flag that it comes \
     from. YAML has no anchors, aliases and tags here.",
    "In a variable and after `--set` a list is separated by commas; where null may stand, nothing means the same. A secret \
     cannot be given by `--set`.",
    "`kiln config default` prints a file with all defaults, `kiln config check` says whether `kiln serve` would take the \
     settings, `kiln config show` prints the settings in force and where each comes from.",
];

/// The reference.
pub fn reference() -> String {
    let mut blocks = vec![String::from("# Settings")];
    blocks.extend(HEAD.iter().map(|text| wrapped(text)));
    let mut section = "";
    for key in table::keys() {
        let own = key.path.rsplit_once('.').map_or("", |(parent, _)| parent);
        if own != section {
            section = own;
            blocks.extend(heading(section));
        }
        blocks.push(format!("### `{}`", key.path));
        blocks.push(wrapped(key.describes));
        blocks.push(facts(key));
    }
    blocks.join("\n\n") + "\n"
}

fn heading(path: &str) -> Vec<String> {
    let found = table::SECTIONS.iter().find(|section| section.path == path);
    found.map_or_else(Vec::new, |section| vec![format!("## `{path}`"), wrapped(section.describes)])
}

fn facts(key: &Key) -> String {
    let variables: Vec<_> = names::aliases(key).iter().map(|name| format!("`{name}`")).collect();
    let aliases = if variables.is_empty() { String::new() } else { format!("; also {}", variables.join(", ")) };
    let unit = key.kind.unit().map_or_else(String::new, |unit| format!("; unit: {unit}"));
    let facts = [
        format!("takes {}{unit}", key.kind.expected().trim_end_matches(',')),
        format!("default: `{}`", key.default),
        format!("variable: `{}`{aliases}", names::variable(key)),
        change(key.change).to_owned(),
        force(key.force),
    ];
    let items = facts.iter().flat_map(|fact| {
        let lines = wrap(fact, WIDTH - 2).into_iter().enumerate();
        lines.map(|(at, line)| format!("{} {line}", if at == 0 { "-" } else { " " }))
    });
    items.collect::<Vec<_>>().join("\n")
}

const fn change(change: Change) -> &'static str {
    match change {
        Change::AtRestart => "a change needs a restart",
        Change::AtReload => "a change needs no restart",
    }
}

fn force(force: Force) -> String {
    match force {
        Force::Full => String::from("in force"),
        Force::NotYet { holds, .. } => format!("**not in force**: {holds}"),
        Force::Only { value, why } => format!("**only `{value}` may be served**: {why}"),
        Force::With(other) => format!("in force as far as `{other}` is"),
    }
}

fn wrapped(text: &str) -> String {
    wrap(text, WIDTH).join("\n")
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_committed_reference_is_made_from_the_table() {
        let committed = include_str!("../../../docs/CONFIG.md");
        let renew = "docs/CONFIG.md is not that of the table; renew it by: \
                     cargo run --locked -- config docs > docs/CONFIG.md";
        assert!(committed == reference(), "{renew}");
    }

    #[test]
    fn every_key_and_variable_is_in_the_reference() {
        let text = reference();
        for key in table::keys() {
            for name in names::variables(key).iter().map(String::as_str).chain([key.path]) {
                assert!(text.contains(&format!("`{name}`")), "{name}");
            }
        }
        assert!(text.contains(crate::config::layers::FLAG));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
    }
}
