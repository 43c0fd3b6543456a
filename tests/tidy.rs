//! Rules about the text of the repository that no compiler and no lint holds.
//!
//! Each rule is a pure function from one file to findings; the tests plant one fault of each kind
//! and expect it to be found. Not here: imports (`architecture.rs`), lints (`Cargo.toml`), the
//! length of functions (`clippy.toml`).

use std::{fs, path::Path};

/// Lines in a file of code. Aim at half of it.
const MAX_LINES: usize = 500;

/// Names that say nothing about what is inside.
const BANNED_MODULES: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc", "manager"];

/// Rust that must not be committed, and why. Written in halves, because this file is read too.
const BANNED_RUST: &[(&str, &str)] = &[
    (concat!("#[ig", "nore"), "a test is never silently skipped"),
    (concat!("tod", "o!("), "what is not built is refused by name"),
    (concat!("unimpl", "emented!("), "what is not built is refused by name"),
];

/// Places that exist for one developer or one network only: machines' own paths, package hosts.
const BANNED_PLACES: &[&str] = &[
    concat!("/work", "/main/"),
    concat!("/work", "/shared"),
    concat!("/root", "/.cargo"),
    concat!("/root", "/.pyenv"),
    concat!("/root", "/.rustup"),
    concat!("deb.debian", ".org"),
    concat!("security.debian", ".org"),
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("registry.npmjs", ".org"),
    concat!("files.pythonhosted", ".org"),
    concat!("pypi.org", "/simple"),
    concat!("proxy.golang", ".org"),
    concat!("registry-1.docker", ".io"),
];

/// Inputs of fuzz targets: bytes, also where they happen to be text.
const INPUTS: &str = "tests/fuzz/corpus/";

/// Where every dependency in Cargo.lock comes from; a line about another source is a finding.
const LOCKED_SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

struct TextFile {
    /// Path below the root of the repository, with `/`.
    path: String,
    text: String,
}

impl TextFile {
    fn has_extension(&self, extensions: &[&str]) -> bool {
        Path::new(&self.path).extension().is_some_and(|ext| extensions.iter().any(|e| ext == *e))
    }

    /// Findings for the lines that `fault` names a fault of.
    fn lines(&self, fault: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let numbered = self.text.lines().enumerate();
        let found =
            numbered.filter_map(|(at, line)| fault(line).map(|fault| format!("{}:{}: {fault}", self.path, at + 1)));
        found.collect()
    }
}

fn check(file: &TextFile) -> Vec<String> {
    if Path::new(&file.path).ends_with("Cargo.lock") {
        return foreign_sources(file);
    }
    [head, length, module_names, banned_rust, banned_places, line_ends].iter().flat_map(|rule| rule(file)).collect()
}

fn head(file: &TextFile) -> Vec<String> {
    let missing = file.has_extension(&["rs"]) && !file.text.starts_with("//! ");
    missing.then(|| format!("{}: does not open by saying what it is", file.path)).into_iter().collect()
}

fn length(file: &TextFile) -> Vec<String> {
    let lines = file.text.lines().count();
    let long = file.has_extension(&["rs", "sh", "py"]) && lines > MAX_LINES;
    long.then(|| format!("{}: {lines} lines, {MAX_LINES} are allowed", file.path)).into_iter().collect()
}

fn module_names(file: &TextFile) -> Vec<String> {
    if !file.has_extension(&["rs"]) {
        return Vec::new();
    }
    let parts = file.path.trim_end_matches(".rs").split('/');
    let in_path =
        parts.filter(|part| BANNED_MODULES.contains(part)).map(|part| format!("{}: `{part}` names nothing", file.path));
    let inside = file.lines(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "mod")?;
        let name = words.get(at + 1)?.trim_end_matches([';', '{']);
        (at <= 1 && BANNED_MODULES.contains(&name)).then(|| format!("`{name}` names nothing"))
    });
    in_path.chain(inside).collect()
}

fn banned_rust(file: &TextFile) -> Vec<String> {
    if !file.has_extension(&["rs"]) {
        return Vec::new();
    }
    file.lines(|line| {
        let (text, why) = BANNED_RUST.iter().find(|(text, _)| line.contains(text))?;
        Some(format!("`{text}`: {why}"))
    })
}

fn banned_places(file: &TextFile) -> Vec<String> {
    file.lines(|line| {
        let place = BANNED_PLACES.iter().find(|place| line.contains(**place))?;
        Some(format!("`{place}` is a place of one machine or network"))
    })
}

fn line_ends(file: &TextFile) -> Vec<String> {
    let mut found = file.lines(|line| line.ends_with(char::is_whitespace).then(|| "white space at the end".to_owned()));
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        found.push(format!("{}: the last line does not end", file.path));
    }
    found
}

fn foreign_sources(file: &TextFile) -> Vec<String> {
    file.lines(|line| {
        let source = line.strip_prefix("source = ")?.trim_matches('"');
        (source != LOCKED_SOURCE).then(|| format!("`{source}` is not the public registry"))
    })
}

#[cfg(test)]
mod test {
    use super::*;

    /// Every text file of the checkout but what git and cargo made. Cargo marks its own folders.
    fn read_tree(root: &Path) -> Vec<TextFile> {
        let is_ours = |entry: &walkdir::DirEntry| {
            let made = [".git", "target"].iter().any(|name| entry.file_name() == *name);
            !made && !entry.path().join("CACHEDIR.TAG").exists()
        };
        let entries = walkdir::WalkDir::new(root).sort_by_file_name().into_iter();
        let entries = entries.filter_entry(is_ours).map(Result::unwrap);
        let files = entries.filter(|entry| entry.file_type().is_file());
        files
            .filter_map(|entry| {
                let path = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                if path.starts_with(INPUTS) {
                    return None;
                }
                let text = String::from_utf8(fs::read(entry.path()).unwrap()).ok()?;
                Some(TextFile { path, text })
            })
            .collect()
    }

    #[test]
    fn the_repository_is_tidy() {
        let files = read_tree(Path::new(env!("CARGO_MANIFEST_DIR")));
        assert!(files.iter().any(|file| file.path == "src/lib.rs"), "the tree was not read");
        let findings: Vec<_> = files.iter().flat_map(check).collect();
        assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    }

    #[track_caller]
    fn expect(path: &str, text: &str, findings: &[&str]) {
        let file = TextFile { path: path.to_owned(), text: text.to_owned() };
        assert_eq!(check(&file), findings);
    }

    #[test]
    fn a_good_file_is_fine() {
        expect("src/job/mod.rs", "//! A job.\n\nmod state;\n", &[]);
        expect("README.md", "# kiln\n", &[]);
        expect("tests/vm/run.sh", "#!/bin/bash\n", &[]);
    }

    #[test]
    fn a_missing_head_is_found() {
        expect("src/job/mod.rs", "mod state;\n", &["src/job/mod.rs: does not open by saying what it is"]);
    }

    #[test]
    fn a_long_file_is_found() {
        let text = format!("//! Long.\n{}", "\n".repeat(MAX_LINES));
        let found = format!("src/a.rs: {} lines, {MAX_LINES} are allowed", MAX_LINES + 1);
        expect("src/a.rs", &text, &[&found]);
        expect("src/a.rs", text.strip_suffix('\n').unwrap(), &[]);
    }

    #[test]
    fn a_name_that_says_nothing_is_found() {
        expect("src/job/utils.rs", "//! X.\n", &["src/job/utils.rs: `utils` names nothing"]);
        expect("src/common/a.rs", "//! X.\n", &["src/common/a.rs: `common` names nothing"]);
        expect(
            "src/job/mod.rs",
            "//! X.\nmod helpers {}\npub mod misc;\n",
            &["src/job/mod.rs:2: `helpers` names nothing", "src/job/mod.rs:3: `misc` names nothing"],
        );
    }

    #[test]
    fn a_skipped_test_is_found() {
        for (text, why) in BANNED_RUST {
            let found = format!("src/a.rs:2: `{text}`: {why}");
            expect("src/a.rs", &format!("//! X.\n    {text}\n"), &[&found]);
            expect("docs/style.md", &format!("Never `{text}`.\n"), &[]);
        }
    }

    #[test]
    fn a_place_of_one_machine_is_found() {
        for place in BANNED_PLACES {
            let found = format!("docs/a.md:1: `{place}` is a place of one machine or network");
            expect("docs/a.md", &format!("see {place}\n"), &[&found]);
        }
        expect("src/a.rs", "//! A job's file is /work/main.py.\n", &[]);
    }

    #[test]
    fn white_space_at_the_end_is_found() {
        expect("a.md", "one \n", &["a.md:1: white space at the end"]);
        expect("a.sh", "one\ntwo", &["a.sh: the last line does not end"]);
    }

    #[test]
    fn a_dependency_from_elsewhere_is_found() {
        expect("Cargo.lock", &format!("source = \"{LOCKED_SOURCE}\"\n"), &[]);
        expect(
            "Cargo.lock",
            "name = \"a\"\nsource = \"registry+https://mirror.example/index\"\n",
            &["Cargo.lock:2: `registry+https://mirror.example/index` is not the public registry"],
        );
    }
}
