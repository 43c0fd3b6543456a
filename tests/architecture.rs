//! Checks that imports inside `src/` only ever point down.
//!
//! The floors are data (`FLOORS`), so this file is the one place where the shape of the crate is
//! written. `check` is a pure function from file texts to findings; the last tests plant one fault
//! of each kind and expect it to be found, because a rule checker that finds nothing proves nothing.
//! Not here: what a file looks like inside (`tidy.rs`), what the linker made of it (`symbols.rs`).

use std::collections::BTreeSet;
use std::{fs, path::Path};

use syn::visit::{self, Visit};

/// Folder and floor. A folder may name folders on lower floors and no others.
const FLOORS: &[(&str, u8)] = &[
    ("base", 0),
    ("sys", 1),
    ("plan", 1),
    ("access", 1),
    ("oci", 2),
    ("lang", 2),
    ("job", 2),
    ("wire", 2),
    ("config", 3),
    ("spawner", 3),
    ("store", 4),
    ("output", 4),
    ("image", 4),
    ("launch", 4),
    ("auth", 4),
    ("limit", 4),
    ("telemetry", 4),
    ("client", 4),
    ("selftest", 4),
    ("queue", 5),
    ("container", 5),
    ("identity", 5),
    ("fleet", 5),
    ("files", 6),
    ("terminal", 6),
    ("workspace", 6),
    ("proxy", 6),
    ("cluster", 6),
    ("api", 7),
    ("console", 7),
    ("daemon", 8),
    ("cli", 9),
];

/// Everything that ends up in the root-owned binary; nothing else may be named here.
const PRIVILEGED: &[&str] = &["base", "sys", "plan", "wire", "spawner"];

/// The root binary's own file: of the library it names the privileged folders only.
const PRIVILEGED_ROOT: &str = "bin/kiln-spawner.rs";

/// `no_std` programs of their own, compiled by build.rs, outside the module tree: the sandbox's init, and the probe of
/// the self-test.
const BARE: &[&str] = &["init", "probe"];

/// The files that a `#[path]` may bring in, and the folders that may do so: what the root side and init say to each
/// other, and what a program without libc needs for the compiler. Any other `#[path]` would be an import that this test
/// cannot see.
const SHARED: &[(&str, &[&str])] = &[("../init/protocol.rs", &["plan", "spawner"]), ("../init/memory.rs", &["probe"])];

/// The lowest floor that may be asynchronous.
const ASYNC_FLOOR: u8 = 4;

/// External crate, and the only folders that may name it.
const EXTERNAL: &[(&str, &[&str])] = &[
    ("libc", &["sys"]),
    ("netlink_packet_core", &["spawner"]),
    ("netlink_packet_route", &["spawner"]),
    ("netlink_sys", &["spawner"]),
    ("rustix", &["sys"]),
    ("saphyr_parser", &["config"]),
    ("sled", &["store"]),
    ("async_nats", &["cluster"]),
    ("poem", &["api", "console", "daemon"]),
    ("poem_openapi", &["api"]),
];

struct SourceFile {
    /// Path below `src/`, with `/`.
    path: String,
    text: String,
}

fn check(files: &[SourceFile]) -> Vec<String> {
    files.iter().flat_map(check_file).collect()
}

fn check_file(file: &SourceFile) -> Vec<String> {
    let ast = match syn::parse_file(&file.text) {
        Ok(ast) => ast,
        Err(error) => return vec![format!("{}: cannot be parsed: {error}", file.path)],
    };
    let module = module_path(&file.path);
    let mut names = Names { module: module.clone(), found: BTreeSet::new(), included: BTreeSet::new() };
    names.visit_file(&ast);
    let Some(folder) = module.first() else {
        return check_root(&file.path, &ast, &names);
    };
    let imports = names.found.iter().filter_map(|target| match folder.as_str() {
        bare if BARE.contains(&bare) => judge_bare(&file.path, bare, target),
        _ => judge(&file.path, folder, target),
    });
    let inclusions = names.included.iter().filter_map(|included| {
        let shared = SHARED.iter().any(|(file, with)| included == file && with.contains(&folder.as_str()));
        (!shared).then(|| format!("{}: `#[path]` brings in `{included}`", file.path))
    });
    imports.chain(inclusions).collect()
}

/// `a/b/mod.rs` and `a/b.rs` are both `[a, b]`; `lib.rs` and `bin/*` are the root.
fn module_path(path: &str) -> Vec<String> {
    let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
    if stem == "lib" || stem.starts_with("bin/") {
        return Vec::new();
    }
    stem.split('/').map(str::to_owned).collect()
}

/// The root may declare modules but not re-export: a re-export hides an edge.
fn check_root(path: &str, ast: &syn::File, names: &Names) -> Vec<String> {
    let reexports = ast
        .items
        .iter()
        .any(|item| matches!(item, syn::Item::Use(item) if !matches!(item.vis, syn::Visibility::Inherited)));
    let reexport = reexports.then(|| format!("{path}: the crate root must not re-export"));
    let inclusions = names.included.iter().map(|included| format!("{path}: `#[path]` brings in `{included}`"));
    let unprivileged = names.found.iter().filter_map(|target| match target {
        Target::Library(folder) if path == PRIVILEGED_ROOT && !PRIVILEGED.contains(&folder.as_str()) => {
            Some(format!("{path}: the privileged program names `{folder}`"))
        }
        Target::Library(_) | Target::Folder(_) | Target::Crate(_) => None,
    });
    reexport.into_iter().chain(inclusions).chain(unprivileged).collect()
}

/// Such a program shares no module with the library; its `crate` is itself.
fn judge_bare(path: &str, program: &str, target: &Target) -> Option<String> {
    match target {
        Target::Folder(name) | Target::Library(name) => FLOORS
            .iter()
            .any(|(known, _)| known == name)
            .then(|| format!("{path}: {program} is a program of its own, and names the library's `{name}`")),
        Target::Crate(_) => None,
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Folder(String),
    Crate(String),
    /// A folder named through the library's own name, as the programs in `bin/` do.
    Library(String),
}

fn judge(path: &str, from: &str, target: &Target) -> Option<String> {
    match target {
        Target::Folder(to) if to == from => None,
        Target::Folder(to) => {
            let Some((_, floor)) = FLOORS.iter().find(|(name, _)| *name == from) else {
                return Some(format!("{path}: `{from}` has no floor in FLOORS"));
            };
            let Some((_, below)) = FLOORS.iter().find(|(name, _)| name == to) else {
                return Some(format!("{path}: `{to}` has no floor in FLOORS"));
            };
            if PRIVILEGED.contains(&from) && !PRIVILEGED.contains(&to.as_str()) {
                return Some(format!("{path}: privileged `{from}` names `{to}`"));
            }
            (floor <= below).then(|| format!("{path}: `{from}` (floor {floor}) names `{to}` (floor {below})"))
        }
        Target::Library(name) => Some(format!("{path}: `kiln::{name}` is written `crate::{name}`")),
        Target::Crate(name) if name == "tokio" => {
            let (_, floor) = FLOORS.iter().find(|(known, _)| *known == from)?;
            (*floor < ASYNC_FLOOR).then(|| format!("{path}: `{from}` is not asynchronous"))
        }
        Target::Crate(name) => {
            let (_, folders) = EXTERNAL.iter().find(|(known, _)| known == name)?;
            (!folders.contains(&from)).then(|| format!("{path}: `{from}` names crate `{name}`"))
        }
    }
}

struct Names {
    module: Vec<String>,
    found: BTreeSet<Target>,
    /// What `#[path = "…"]` names.
    included: BTreeSet<String>,
}

impl Names {
    fn note(&mut self, path: &[String]) {
        let Some(first) = path.first() else { return };
        let up = path.iter().take_while(|part| *part == "super").count();
        let inside: Vec<String> = match first.as_str() {
            "crate" => path.iter().skip(1).cloned().collect(),
            "super" if up <= self.module.len() => {
                let kept = self.module.iter().take(self.module.len() - up);
                kept.chain(path.iter().skip(up)).cloned().collect()
            }
            "self" | "super" => return,
            "kiln" if path.len() > 1 => {
                self.found.extend(path.get(1).cloned().map(Target::Library));
                return;
            }
            name => {
                self.found.insert(Target::Crate(name.to_owned()));
                return;
            }
        };
        if let Some(folder) = inside.first() {
            self.found.insert(Target::Folder(folder.clone()));
        }
    }

    fn note_tree(&mut self, tree: &syn::UseTree, prefix: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.note_tree(&path.tree, prefix);
                prefix.pop();
            }
            syn::UseTree::Group(group) => {
                for item in &group.items {
                    self.note_tree(item, prefix);
                }
            }
            syn::UseTree::Name(name) => self.note(&joined(prefix, &name.ident)),
            syn::UseTree::Rename(name) => self.note(&joined(prefix, &name.ident)),
            syn::UseTree::Glob(_) => self.note(prefix),
        }
    }
}

fn joined(prefix: &[String], last: &syn::Ident) -> Vec<String> {
    prefix.iter().cloned().chain([last.to_string()]).collect()
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.note_tree(&item.tree, &mut Vec::new());
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("path")
            && let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(file), .. }) = &pair.value
        {
            self.included.insert(file.value());
        }
    }

    /// Macro arguments are not parsed, so paths in them are found in the text.
    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        let text = item.tokens.to_string();
        for tail in text.split("crate ::").skip(1) {
            let name = tail.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next();
            self.note(&["crate".to_owned(), name.unwrap_or_default().to_owned()]);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        if parts.len() > 1 {
            self.note(&parts);
        }
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn imports_point_down() {
        let findings = check(&read_tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")));
        assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    }

    fn read_tree(root: &Path) -> Vec<SourceFile> {
        let entries = walkdir::WalkDir::new(root).sort_by_file_name().into_iter().map(Result::unwrap);
        let rust = entries.filter(|entry| entry.path().extension().is_some_and(|ext| ext == "rs"));
        rust.map(|entry| SourceFile {
            path: entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned(),
            text: fs::read_to_string(entry.path()).unwrap(),
        })
        .collect()
    }

    #[track_caller]
    fn expect(path: &str, text: &str, findings: &[&str]) {
        let file = SourceFile { path: path.to_owned(), text: text.to_owned() };
        assert_eq!(check(&[file]), findings);
    }

    #[test]
    fn down_is_fine() {
        expect("queue/pick.rs", "use crate::{base::JobId, job::Job}; use std::fmt;", &[]);
    }

    #[test]
    fn up_is_found() {
        expect("job/mod.rs", "use crate::queue::Queue;", &["job/mod.rs: `job` (floor 2) names `queue` (floor 5)"]);
    }

    #[test]
    fn sideways_is_found() {
        expect(
            "store/jobs.rs",
            "use crate::output::Segment;",
            &["store/jobs.rs: `store` (floor 4) names `output` (floor 4)"],
        );
    }

    #[test]
    fn a_path_in_a_body_is_found() {
        expect("job/mod.rs", "fn f() { crate::api::serve() }", &["job/mod.rs: `job` (floor 2) names `api` (floor 7)"]);
    }

    #[test]
    fn super_is_resolved() {
        expect(
            "queue/run.rs",
            "use super::pick; use super::super::api::Api;",
            &["queue/run.rs: `queue` (floor 5) names `api` (floor 7)"],
        );
    }

    #[test]
    fn the_privileged_side_stays_small() {
        expect("spawner/create.rs", "use crate::job::Job;", &["spawner/create.rs: privileged `spawner` names `job`"]);
    }

    #[test]
    fn a_crate_in_the_wrong_folder_is_found() {
        expect(
            "queue/run.rs",
            "use sled::Db; fn f() { libc::getpid(); }",
            &["queue/run.rs: `queue` names crate `libc`", "queue/run.rs: `queue` names crate `sled`"],
        );
    }

    #[test]
    fn a_new_folder_needs_a_floor() {
        expect("misc/mod.rs", "use crate::base::JobId;", &["misc/mod.rs: `misc` has no floor in FLOORS"]);
    }

    #[test]
    fn an_inline_test_module_may_name_its_file() {
        expect("queue/mod.rs", "struct Q; mod test { use super::Q; fn f() { super::Q; } }", &[]);
    }

    #[test]
    fn a_path_in_a_macro_is_found() {
        expect(
            "job/mod.rs",
            "fn f() { assert_eq!(1, crate::api::N); }",
            &["job/mod.rs: `job` (floor 2) names `api` (floor 7)"],
        );
    }

    #[test]
    fn the_pure_floors_do_not_wait() {
        expect("job/mod.rs", "use tokio::time::sleep;", &["job/mod.rs: `job` is not asynchronous"]);
        expect("queue/run.rs", "use tokio::time::sleep;", &[]);
    }

    #[test]
    fn an_included_file_is_found() {
        expect(
            "api/mod.rs",
            "#[path = \"../init/protocol.rs\"] mod protocol;",
            &["api/mod.rs: `#[path]` brings in `../init/protocol.rs`"],
        );
        expect(
            "spawner/mod.rs",
            "#[path = \"../queue/pick.rs\"] mod pick;",
            &["spawner/mod.rs: `#[path]` brings in `../queue/pick.rs`"],
        );
        expect(
            "spawner/mod.rs",
            "#[path = \"../init/memory.rs\"] mod memory;",
            &["spawner/mod.rs: `#[path]` brings in `../init/memory.rs`"],
        );
        expect("spawner/mod.rs", "#[path = \"../init/protocol.rs\"] mod protocol;", &[]);
        expect("probe/main.rs", "#[path = \"../init/memory.rs\"] mod memory;", &[]);
    }

    #[test]
    fn a_bare_program_stands_alone() {
        expect(
            "probe/main.rs",
            "use crate::selftest::Outcome;",
            &["probe/main.rs: probe is a program of its own, and names the library's `selftest`"],
        );
        expect("init/main.rs", "mod kernel; use kernel::Fd; use crate::kernel::Errno;", &[]);
        expect(
            "init/main.rs",
            "use crate::base::JobId;",
            &["init/main.rs: init is a program of its own, and names the library's `base`"],
        );
        expect("launch/mod.rs", "use crate::init::protocol;", &["launch/mod.rs: `init` has no floor in FLOORS"]);
    }

    #[test]
    fn the_privileged_program_names_its_folders_only() {
        expect("bin/kiln-spawner.rs", "fn main() { kiln::spawner::main() }", &[]);
        expect("bin/kiln.rs", "fn main() { kiln::cli::main() }", &[]);
        expect(
            "bin/kiln-spawner.rs",
            "use kiln::config::Settings;",
            &["bin/kiln-spawner.rs: the privileged program names `config`"],
        );
    }

    #[test]
    fn the_library_has_one_name_inside() {
        expect("queue/run.rs", "use kiln::api::Api;", &["queue/run.rs: `kiln::api` is written `crate::api`"]);
    }

    #[test]
    fn every_folder_has_a_floor() {
        let tree = read_tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        let folders: BTreeSet<String> = tree
            .iter()
            .filter_map(|file| module_path(&file.path).first().cloned())
            .filter(|folder| !BARE.contains(&folder.as_str()))
            .collect();
        let homeless: Vec<_> =
            folders.iter().filter(|folder| !FLOORS.iter().any(|(known, _)| known == folder)).collect();
        assert!(homeless.is_empty(), "without a floor in FLOORS: {homeless:?}");
    }

    #[test]
    fn the_root_does_not_re_export() {
        expect("lib.rs", "pub mod base; pub use base::JobId;", &["lib.rs: the crate root must not re-export"]);
    }
}
