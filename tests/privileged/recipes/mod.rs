//! Images built from nothing by `kiln image build`: that jobs run in them as the corpus says, that they are the same
//! again, and that a build which does not end well leaves nothing.
//!
//! Needs a Debian mirror, mmdebstrap and erofs-utils; a machine without them leaves this module out by its name. Packages
//! are kept in `BUILD_CACHE`. `TEST_IMAGES` says which recipes are built instead of the few that every run builds, `all`
//! of them for example (`make images-test`); `TEST_IMAGE_STORE` is a folder of images that are there already, and are
//! taken instead. Not here: the archives of others, what an image is (`src/image`).
mod broken;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Daemon, data_directory, printed, with};
use crate::languages;

/// An interpreted and a compiled language.
const ALWAYS: &str = "python c-cpp";

/// Programs that show more than a language: image, and a program that prints "true".
const FURTHER: &[(&str, &str, &str)] = &[(
    "python-data",
    "python",
    r"
import matplotlib, numpy, pandas
import matplotlib.pyplot as plot
frame = pandas.DataFrame({'a': numpy.arange(4)})
frame.plot().get_figure().savefig('/tmp/a.png')
print(str(open('/tmp/a.png', 'rb').read(4) == b'\x89PNG' and int(frame['a'].sum()) == 6).lower())
",
)];

/// A setting of the tests.
#[expect(clippy::disallowed_methods, reason = "the settings of these tests")]
fn setting(name: &str, otherwise: &str) -> String {
    std::env::var(name).unwrap_or_else(|_unset| otherwise.to_owned())
}

/// Where packages are kept from one run to the next.
fn cache() -> PathBuf {
    Path::new(&setting("BUILD_CACHE", "/var/cache/kiln")).join("images")
}

/// `kiln image build` for a data directory.
#[expect(clippy::disallowed_methods, reason = "the program under test is started here")]
fn build(data: &Path, recipes: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.args(["image", "build", "--cache"]).arg(cache()).args(recipes).env_clear().env("PATH", "/usr/bin:/bin");
    command.env("KILN_DATA_DIR", data).stdin(Stdio::null());
    let proxies = ["http_proxy", "https_proxy", "no_proxy"].map(|name| (name, setting(name, "")));
    command.envs(proxies.into_iter().filter(|(_, value)| !value.is_empty()));
    command
}

/// Builds, and gives the digest of each image by the name of its recipe.
#[track_caller]
fn built(data: &Path, recipes: &[&str]) -> BTreeMap<String, String> {
    let output = build(data, recipes).stderr(Stdio::inherit()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let lines = String::from_utf8(output.stdout).unwrap();
    let digest = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, _version) = words.next().unwrap().split_once(':').unwrap();
        (name.to_owned(), words.next().unwrap().to_owned())
    };
    lines.lines().map(digest).collect()
}

/// The images that are tested, in a data directory.
#[expect(clippy::disallowed_methods, reason = "a copy of a folder that is given")]
fn provide(data: &Path) {
    let there = setting("TEST_IMAGE_STORE", "");
    if there.is_empty() {
        let asked = setting("TEST_IMAGES", ALWAYS);
        let recipes: Vec<&str> = if asked == "all" { vec!["--all"] } else { asked.split_whitespace().collect() };
        built(data, &recipes);
    } else {
        let status = Command::new("cp").args(["-a", &there]).arg(data.join("images")).status().unwrap();
        assert!(status.success(), "{there} is copied");
    }
}

#[test]
fn every_program_of_the_corpus_ends_in_images_built_from_nothing_as_on_the_host() {
    let data = data_directory();
    provide(data.path());
    let daemon = Daemon::start_on(data.path(), &[]);
    let images: Vec<Value> = serde_json::from_value(daemon.get("/v1/images").body["images"].take()).unwrap();
    assert!(!images.is_empty());
    let mut faults = Vec::new();
    for image in &images {
        let name = image["name"].as_str().unwrap();
        for language in image["languages"].as_array().unwrap() {
            faults.extend(languages::faults(&daemon, language["language"].as_str().unwrap(), Some(name)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let is_there =
        |name: &str| images.iter().any(|image| image["tags"].to_string().contains(&format!("\"{name}:latest\"")));
    for (image, language, code) in FURTHER.iter().filter(|(image, ..)| is_there(image)) {
        let limits = json!({"memory_limit": 512, "limits": {"processes": 128}});
        let job = daemon.execute(&with(json!({"image": image, "language": language, "code": code}), limits));
        assert_eq!(printed(&job), "true\n");
    }
}

/// With modules that are compiled while it is built, as in every image of Python.
#[test]
fn the_same_packages_make_the_same_image() {
    let text = "name = \"small\"\npackages = [\"python3-minimal\"]\n\
                hooks = [\"python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python3*\"]\n";
    let folder = data_directory();
    let recipe = folder.path().join("small.toml");
    File::create(&recipe).unwrap().write_all(text.as_bytes()).unwrap();
    let digest = || {
        let data = data_directory();
        built(data.path(), &[recipe.to_str().unwrap()])
    };
    assert_eq!(digest(), digest());
}
