//! Which languages a new root has, in which versions: their version commands are run in it.
//!
//! They run as nobody, without a network, in namespaces of their own that end with this process. Not here: how a version
//! is read (`lang::probe`).
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::image::build::bootstrap::contained;
use crate::image::fault::ImageError;
use crate::image::manifest::ImageLanguage;
use crate::image::recipe::Recipe;
use crate::lang::{Language, Languages};

/// Of the output of a version command only this much is read.
const READ: u64 = 16 * 1024;

const NOBODY: &str = "--setuid=65534";
const NO_GROUP: &str = "--setgid=65534";

/// The languages that a recipe names, as they are in the root, a directory in the one that is `alive`.
///
/// # Errors
/// When one of them is not there: the recipe says more than its packages hold.
pub(super) fn languages(root: &Path, recipe: &Recipe, alive: &File) -> Result<Vec<ImageLanguage>, ImageError> {
    let table = recipe.table().map_err(|faults| missing(recipe, faults.to_string()))?;
    let found = |id: &String| {
        let language = listed(&table, id).ok_or_else(|| missing(recipe, format!("there is no language {id}")))?;
        found(root, language, alive).map_err(|reason| missing(recipe, format!("{id} is not in it: {reason}")))
    };
    recipe.languages.iter().map(found).collect()
}

fn missing(recipe: &Recipe, reason: String) -> ImageError {
    ImageError::failed(format!("the recipe {recipe}"), io::Error::other(reason))
}

fn listed<'a>(table: &'a Languages, id: &str) -> Option<&'a Language> {
    table.iter().find(|language| language.id == id)
}

/// The first of its places where it works.
fn found(root: &Path, language: &Language, alive: &File) -> Result<ImageLanguage, String> {
    let mut reasons = Vec::new();
    for (place, at) in language.at_each_place().into_iter().enumerate() {
        match version(root, &at, alive) {
            Ok(version) => return Ok(ImageLanguage { id: language.id.clone(), version, place }),
            Err(reason) => reasons.push(reason),
        }
    }
    Err(reasons.join("; "))
}

fn version(root: &Path, language: &Language, alive: &File) -> Result<String, String> {
    let words = &language.version.command;
    let name = words.join(" ");
    let output = output(command(root, words), alive).map_err(|error| format!("{name}: {error}"))?;
    let version = language.version.read(&output);
    let version = version.ok_or_else(|| format!("{name} says \"{}\"", String::from_utf8_lossy(&output).trim()))?;
    match language.version.wants_newer(&version) {
        Some(least) => Err(format!("version {version} is too old, {least} or newer will do")),
        None => Ok(version),
    }
}

fn command(root: &Path, words: &[String]) -> Command {
    let inside = format!("--root={}", root.display());
    let mut command = contained(&[&inside, "--wd=/", "--mount-proc", "--net", "--ipc", "--uts", NOBODY, NO_GROUP]);
    command.args(words).env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8").env("HOME", "/tmp");
    command
}

/// What a command prints, if it ends well.
fn output(mut command: Command, alive: &File) -> io::Result<Vec<u8>> {
    let mut child =
        command.stdin(Stdio::from(alive.try_clone()?)).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut output = Vec::new();
    if let Some(said) = child.stdout.take() {
        said.take(READ).read_to_end(&mut output)?;
    }
    let status = child.wait()?;
    if status.success() {
        Ok(output)
    } else {
        Err(io::Error::other(format!("its version command ended with {status}")))
    }
}
