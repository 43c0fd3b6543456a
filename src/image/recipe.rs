//! Recipes: what an image is built from, as a small TOML table. docs/IMAGES.md says what every key means.
//!
//! Every fault of a recipe is told at once. What is read holds nothing that apt, a shell or a path would take for
//! something else than it is; hooks alone are shell, run as root in the new image, and a recipe is as trusted as whoever
//! starts a build. Not here: building (`build`).
use std::fmt;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use toml::Table;

use crate::base::digest::Digest;
use crate::base::fault::Faults;
use crate::image::reference::Reference;
use crate::lang::Languages;
use crate::lang::fields::Fields;

/// The newest Debian that its mirrors have as stable.
const SUITE: &str = "trixie";

/// Top directories that nothing is stripped below: the kernel's, or kiln's own.
const NOT_STRIPPED: &[&str] = &["dev", "proc", "sys", "tmp", "work"];

/// Those of the folder `rootfs`.
const SHIPPED: &[&str] = &[
    include_str!("../../rootfs/python.toml"),
    include_str!("../../rootfs/python-data.toml"),
    include_str!("../../rootfs/node.toml"),
    include_str!("../../rootfs/go.toml"),
    include_str!("../../rootfs/rust.toml"),
    include_str!("../../rootfs/c-cpp.toml"),
    include_str!("../../rootfs/java.toml"),
    include_str!("../../rootfs/ruby.toml"),
    include_str!("../../rootfs/php.toml"),
    include_str!("../../rootfs/bash.toml"),
    include_str!("../../rootfs/perl.toml"),
    include_str!("../../rootfs/lua.toml"),
    include_str!("../../rootfs/r.toml"),
    include_str!("../../rootfs/sqlite.toml"),
];

/// A recipe in which nothing is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recipe {
    /// What the image is called, without a tag: its tags are made from the version of its first language.
    pub name: String,
    /// Debian's name for the release.
    pub suite: String,
    /// Ids of the languages that are in it, the one that gives the version first.
    pub languages: Vec<String>,
    /// What is installed beside the essential packages; dependencies follow, recommendations do not.
    pub packages: Vec<String>,
    /// Further names.
    pub aliases: Vec<Reference>,
    /// Shell commands that root runs in the new image, before it is stripped.
    pub hooks: Vec<String>,
    /// What is removed beside that which is removed from every image: paths below the root, with `*` in names.
    pub strip: Vec<String>,
    /// Languages that are another in it than in the embedded table, as TOML.
    pub tables: String,
}

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let table = match text.parse::<Table>() {
            Ok(table) => table,
            Err(error) => {
                faults.add("recipe", error.to_string().trim_end().replace('\n', " "));
                return Err(faults);
            }
        };
        let recipe = Fields { table, path: String::from("recipe"), faults: &mut faults }.recipe();
        if faults.is_empty() { Ok(recipe) } else { Err(faults) }
    }

    /// Those that come with kiln.
    ///
    /// # Errors
    /// Never in a build that passed its tests.
    pub fn shipped() -> Result<Vec<Self>, Faults> {
        SHIPPED.iter().map(|text| Self::parse(text)).collect()
    }

    /// SHA-256 of what it says, however it is written.
    pub fn digest(&self) -> Result<Digest, serde_json::Error> {
        Ok(Digest(Sha256::digest(serde_json::to_vec(self)?).into()))
    }

    /// The table of its languages.
    ///
    /// # Errors
    /// Never of a recipe that was read.
    pub fn table(&self) -> Result<Languages, Faults> {
        laid_over(&self.tables)
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The embedded languages, with those of another table in their places.
fn laid_over(table: &str) -> Result<Languages, Faults> {
    let embedded = Languages::embedded()?;
    if table.is_empty() { Ok(embedded) } else { embedded.with(table) }
}

impl Fields<'_> {
    fn recipe(mut self) -> Recipe {
        let name = self.required_text("name");
        if self.is_named(&name) && !name.parse().is_ok_and(|read: Reference| read.name() == name) {
            self.fault("name", &format!("\"{name}\" is no name like python, without a tag"));
        }
        let suite = self.optional_text("suite").unwrap_or_else(|| SUITE.to_owned());
        if !suite.bytes().all(|byte| byte.is_ascii_lowercase()) || suite.is_empty() {
            self.fault("suite", &format!("\"{suite}\" is no release of Debian like {SUITE}"));
        }
        let packages = self.packages();
        let aliases = self.aliases();
        let hooks = self.words("hooks").unwrap_or_default();
        if hooks.iter().any(|hook| hook.trim().is_empty() || hook.contains('\0')) {
            self.fault("hooks", "a shell command is expected");
        }
        let strip = self.strip();
        let (languages, tables) = self.languages();
        self.refuse_rest();
        Recipe { name, suite, languages, packages, aliases, hooks, strip, tables }
    }

    /// Whether there is something to check: that it is missing was told.
    fn is_named(&self, text: &str) -> bool {
        !text.is_empty() || self.faults.is_empty()
    }

    fn packages(&mut self) -> Vec<String> {
        let packages = self.words("packages").unwrap_or_default();
        if packages.is_empty() {
            self.fault("packages", "the names of Debian packages are expected");
        }
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        for package in &packages {
            let begins = package.bytes().next().is_some_and(known);
            if !begins || package.len() < 2 || !package.bytes().all(|byte| known(byte) || b"+.-".contains(&byte)) {
                self.fault("packages", &format!("\"{package}\" is no name of a Debian package"));
            }
        }
        packages
    }

    fn aliases(&mut self) -> Vec<Reference> {
        let mut aliases = Vec::new();
        for alias in self.words("aliases").unwrap_or_default() {
            match alias.parse() {
                Ok(alias) if aliases.contains(&alias) => self.fault("aliases", &format!("\"{alias}\" is there twice")),
                Ok(alias) => aliases.push(alias),
                Err(error) => self.fault("aliases", &format!("\"{alias}\" is {error}")),
            }
        }
        aliases
    }

    fn strip(&mut self) -> Vec<String> {
        let strip = self.words("strip").unwrap_or_default();
        for path in &strip {
            let odd = |part: &str| matches!(part, "" | "." | "..") || part.contains('\0');
            let top = path.split('/').next().unwrap_or_default();
            if path.split('/').any(odd) || top.contains('*') || NOT_STRIPPED.contains(&top) {
                let message = format!("\"{path}\" is no path below the root like usr/share/x, or is not ours to strip");
                self.fault("strip", &message);
            }
        }
        strip
    }

    /// The languages, and the table of those that are the recipe's own.
    fn languages(&mut self) -> (Vec<String>, String) {
        let ids = self.words("languages").unwrap_or_default();
        let mut tables = Table::new();
        tables.extend(self.table.remove("language").map(|own| (String::from("language"), own)));
        let text = toml::to_string(&tables).unwrap_or_default();
        let known = laid_over(&text).map_err(|found| {
            found
                .into_vec()
                .into_iter()
                .for_each(|fault| self.faults.add(format!("recipe.{}", fault.field), fault.message));
        });
        if let Ok(known) = known {
            for id in ids.iter().filter(|id| !known.ids().any(|known| known == **id)) {
                self.fault("languages", &format!("\"{id}\" is no id of a language"));
            }
            let own = Languages::parse(&text).ok();
            for own in own.iter().flat_map(Languages::ids).filter(|own| !ids.iter().any(|id| id == own)) {
                self.fault("language", &format!("the language \"{own}\" is not among `languages`"));
            }
        }
        (ids, text)
    }
}

#[cfg(test)]
mod test {
    use std::collections::BTreeSet;

    use super::*;

    const GOOD: &str = "name = 'lua'\nlanguages = ['lua']\npackages = ['lua5.4']\naliases = ['lua:5']\n";

    fn faults(text: &str) -> Vec<String> {
        let faults = Recipe::parse(text).unwrap_err().into_vec();
        faults.into_iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect()
    }

    #[track_caller]
    fn check(more: &str, fault: &str) {
        assert_eq!(faults(&format!("{GOOD}{more}")), [fault]);
    }

    #[test]
    fn every_recipe_of_the_folder_is_shipped_and_good() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/rootfs");
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let files: BTreeSet<String> = entries
            .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let shipped = Recipe::shipped().unwrap();
        let names: BTreeSet<String> = shipped.iter().map(|recipe| recipe.name.clone()).collect();
        assert_eq!(names, files);
        assert!(shipped.iter().all(|recipe| recipe.suite == SUITE));
    }

    #[test]
    fn every_embedded_language_has_an_image() {
        let shipped = Recipe::shipped().unwrap();
        for id in Languages::embedded().unwrap().ids() {
            assert!(shipped.iter().any(|recipe| recipe.languages.iter().any(|inside| inside == id)), "{id}");
        }
    }

    #[test]
    fn no_two_shipped_images_are_called_the_same() {
        let mut seen = BTreeSet::new();
        for recipe in Recipe::shipped().unwrap() {
            let own: Reference = recipe.name.parse().unwrap();
            for name in recipe.aliases.into_iter().chain([own]) {
                assert!(seen.insert(name.clone()), "{name}");
            }
        }
        for named in ["python:3.11-slim", "node:18-alpine", "golang:1.19-alpine"] {
            assert!(seen.contains(&named.parse().unwrap()), "{named} of the specifications");
        }
    }

    #[test]
    fn a_digest_is_of_what_a_recipe_says_and_not_of_how() {
        let digest = |text: &str| Recipe::parse(text).unwrap().digest().unwrap();
        let (name, rest) = GOOD.split_once('\n').unwrap();
        assert_eq!(digest(GOOD), digest(&format!("# a comment\n{rest}\n{name}\nsuite = '{SUITE}'\n")));
        assert_ne!(digest(GOOD), digest(&GOOD.replace("lua5.4", "lua5.1")));
    }

    #[test]
    fn each_fault_is_named() {
        check("colour = 1", "recipe.colour: unknown field");
        check("suite = 'Trixie'", "recipe.suite: \"Trixie\" is no release of Debian like trixie");
        check("hooks = [' ']", "recipe.hooks: a shell command is expected");
        check("hooks = 'x'", "recipe.hooks: a list of strings is expected, not string");
        for path in ["/usr", "usr/../etc", "../x", "usr//x", "*", "*/x", "dev/shm", "proc", ""] {
            let message = "is no path below the root like usr/share/x, or is not ours to strip";
            check(&format!("strip = ['{path}']"), &format!("recipe.strip: \"{path}\" {message}"));
        }
    }

    #[test]
    fn each_fault_of_a_name_is_named() {
        let with = |old: &str, new: &str| faults(&GOOD.replace(old, new));
        assert_eq!(with("name = 'lua'\n", ""), ["recipe.name: is missing"]);
        assert_eq!(with("'lua'\nl", "'lua:5'\nl"), ["recipe.name: \"lua:5\" is no name like python, without a tag"]);
        assert_eq!(with("packages = ['lua5.4']\n", ""), ["recipe.packages: the names of Debian packages are expected"]);
        for package in ["-y", "a,b", "a b", "./x.deb", "lua5.4/sid", "A2"] {
            let fault = format!("recipe.packages: \"{package}\" is no name of a Debian package");
            assert_eq!(with("lua5.4", package), [fault]);
        }
        assert_eq!(with("['lua:5']", "['a:1', 'a:1']"), ["recipe.aliases: \"a:1\" is there twice"]);
        assert!(with("['lua:5']", "['A']")[0].starts_with("recipe.aliases: \"A\" is not a name like `python:3.13`"));
        assert_eq!(with("['lua']", "['lua', 'luo']"), ["recipe.languages: \"luo\" is no id of a language"]);
    }

    #[test]
    fn a_language_of_its_own_is_checked_like_any_table() {
        let own = "[[language]]\nid = 'lua'\nname = 'Lua'\nfile = 'main.lua'\nrun = ['/usr/bin/lua5.4', '{file}']\n\
                   version = { command = ['/usr/bin/lua5.4', '-v'], after = 'Lua ' }\n";
        let recipe = Recipe::parse(&format!("{GOOD}{own}")).unwrap();
        assert_eq!(recipe.table().unwrap().find("lua").unwrap().aliases, Vec::<String>::new());
        let other = own.replace("'lua'", "'luo'");
        check(&other, "recipe.language: the language \"luo\" is not among `languages`");
        check(&own.replace("name = 'Lua'\n", ""), "recipe.language[0].name: is missing");
    }

    #[test]
    fn all_faults_are_told_at_once() {
        assert_eq!(faults("name = 1\npackages = ['-y', '-z']\naliases = ['A']\nx = 1\n").len(), 5);
        assert_eq!(faults("a = [").len(), 1);
    }
}
