//! Builds an image from a recipe and puts it into the store.
//!
//! ```text
//! mmdebstrap -> hooks -> versions of the languages -> strip -> the store: unpack, pack, install
//! ```
//!
//! All of it happens in one staging directory of the store, which goes with the build, however that ends (`staging`). The
//! same packages give the same image, bit by bit. Needs root.
//!
//! Not here: what a recipe may say (`recipe`), how an image is checked and installed (`staging`).
mod bootstrap;
pub mod mirror;
mod probe;
mod strip;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::base::size::ByteSize;
use crate::image::archive::bounds::Bounds;
use crate::image::build::bootstrap::PATH;
use crate::image::fault::ImageError;
use crate::image::manifest::{ImageLanguage, Manifest};
use crate::image::recipe::Recipe;
use crate::image::reference::{NotAReference, Reference};
use crate::image::staging::{self, Description, Staging};
use crate::image::store::ImageStore;

/// The time of everything in a built image: 2026-01-01.
const EPOCH: u64 = 1_767_225_600;

/// The new root, before it is stripped and packed.
const ROOT: &str = "debian";
/// Locked while apt uses the cache.
const LOCK: &str = ".lock";

/// Where packages come from and are kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Mirror of Debian; none: what mmdebstrap takes.
    pub mirror: Option<String>,
    /// Mirror of the security updates; none: none of their own.
    pub security_mirror: Option<String>,
    /// Directory of the downloaded packages. It may be deleted.
    pub cache: PathBuf,
    /// Variables that name proxies.
    pub proxies: Vec<(String, String)>,
}

/// What is being done, for whoever waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Another build uses the packages that are kept.
    Waiting,
    /// The lists of packages are fetched.
    Lists,
    /// Packages are downloaded that are not kept yet.
    Downloading,
    /// Packages are unpacked.
    Unpacking,
    /// Packages are installed.
    Installing,
    /// The recipe's own commands run.
    Hooks,
    /// The languages are asked for their versions.
    Versions,
    /// What no job needs is removed.
    Stripping,
    /// So much of it was copied for the store.
    Copying(ByteSize),
    /// One file is made of it.
    Packing,
    /// Its digest is computed.
    Reading,
    /// It is put into the store.
    Storing,
}

/// Builds an image. `created` is when (RFC 3339, UTC).
///
/// # Errors
/// Why there is none; the store is then as it was.
pub fn build(
    store: &ImageStore,
    recipe: &Recipe,
    options: &Options,
    created: &str,
    told: &mut dyn FnMut(Step),
) -> Result<Manifest, ImageError> {
    let _kept = lock(&options.cache, told)?;
    let mut staging = store.stage()?;
    staging.guard()?;
    let languages = prepared(&staging, recipe, options, told)?;
    told(Step::Copying(ByteSize(0)));
    copied(&mut staging, told)?;
    let names = names(recipe, languages.first().map(|language| language.version.as_str()));
    let (name, aliases) = names.map_err(|error| failed(recipe, io::Error::other(error)))?;
    let description = Description {
        name,
        aliases,
        recipe: Some(recipe.digest().map_err(|error| failed(recipe, error.into()))?),
        created: created.to_owned(),
        epoch: EPOCH,
        languages,
        tables: recipe.tables.clone(),
    };
    staging.install(&description, &mut |step| told(step.into()))
}

impl From<staging::Step> for Step {
    fn from(step: staging::Step) -> Self {
        match step {
            staging::Step::Unpacking(bytes) => Self::Copying(bytes),
            staging::Step::Packing => Self::Packing,
            staging::Step::Reading => Self::Reading,
            staging::Step::Installing => Self::Storing,
        }
    }
}

fn failed(recipe: &Recipe, error: io::Error) -> ImageError {
    ImageError::failed(format!("building {recipe}"), error)
}

/// The root in the staging directory, stripped; and which languages it has.
fn prepared(
    staging: &Staging<'_>,
    recipe: &Recipe,
    options: &Options,
    told: &mut dyn FnMut(Step),
) -> Result<Vec<ImageLanguage>, ImageError> {
    let alive = staging.alive();
    bootstrap::bootstrap(alive, ROOT, (recipe, options), &mut |line| {
        if let Some(step) = step(line) {
            told(step);
        }
    })?;
    told(Step::Versions);
    let languages = probe::languages(Path::new(ROOT), recipe, alive)?;
    told(Step::Stripping);
    strip::strip(&staging.path(ROOT), &recipe.strip).map_err(|error| failed(recipe, error))?;
    Ok(languages)
}

/// What mmdebstrap means by a line.
fn step(line: &str) -> Option<Step> {
    const STEPS: &[(&str, Step)] = &[
        ("running apt-get update", Step::Lists),
        ("downloading packages", Step::Downloading),
        ("extracting archives", Step::Unpacking),
        ("installing", Step::Installing),
        ("running --customize-hook", Step::Hooks),
    ];
    STEPS.iter().find(|(begin, _)| line.starts_with(begin)).map(|(_, step)| *step)
}

/// Two builds do not use apt's directory at once. The lock ends with the value.
fn lock(cache: &Path, told: &mut dyn FnMut(Step)) -> Result<File, ImageError> {
    let at = ImageError::at(cache);
    std::fs::create_dir_all(cache.join("partial")).map_err(&at)?;
    let file = File::options().create(true).truncate(false).write(true).open(cache.join(LOCK)).map_err(&at)?;
    if file.try_lock().is_err() {
        told(Step::Waiting);
        file.lock().map_err(&at)?;
    }
    Ok(file)
}

/// Gives the root to the store, as the archive that anybody could have made.
fn copied(staging: &mut Staging<'_>, told: &mut dyn FnMut(Step)) -> Result<(), ImageError> {
    let starting = |error: io::Error| ImageError::failed("starting tar", error);
    let alive = staging.alive().try_clone().map_err(starting)?;
    let mut tar: Child = archive().stdin(Stdio::from(alive)).spawn().map_err(starting)?;
    if let Some(archive) = tar.stdout.take() {
        staging.unpack(archive, &Bounds::STANDARD, &mut |step| told(step.into()))?;
    }
    let status = tar.wait().map_err(starting)?;
    if status.success() {
        return Ok(());
    }
    Err(ImageError::Program { program: "tar", said: status.to_string() })
}

#[expect(clippy::disallowed_methods, reason = "root's command line, not a daemon, makes images")]
fn archive() -> Command {
    let mut command = Command::new("tar");
    command.args(["--create", "--file=-", "--format=posix", "--sort=name", "--one-file-system"]);
    command.arg("--directory").arg(Path::new("/proc/self/fd/0").join(ROOT)).arg(".");
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C").stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

/// What an image is called: its name with its version, and then the shorter forms of it and the recipe's aliases.
fn names(recipe: &Recipe, version: Option<&str>) -> Result<(Reference, Vec<Reference>), NotAReference> {
    let tagged = |tag: &str| format!("{recipe}:{tag}").parse::<Reference>();
    let latest = tagged("latest")?;
    let Some(version) = version else { return Ok((latest, recipe.aliases.clone())) };
    let shorter = version.match_indices('.').filter_map(|(end, _)| version.get(..end)).map(tagged);
    let mut aliases = shorter.collect::<Result<Vec<Reference>, _>>()?;
    aliases.push(latest);
    let name = tagged(version)?;
    let further = recipe.aliases.iter().filter(|alias| **alias != name && !aliases.contains(alias)).cloned();
    let further: Vec<Reference> = further.collect();
    aliases.extend(further);
    Ok((name, aliases))
}

#[cfg(test)]
mod test {
    use super::*;

    fn recipe(aliases: &str) -> Recipe {
        Recipe::parse(&format!("name = 'python'\npackages = ['python3']\naliases = {aliases}\n")).unwrap()
    }

    #[test]
    fn an_image_is_called_by_its_version_and_its_shorter_forms() {
        let (name, aliases) = names(&recipe("['python:3-slim', 'python:3']"), Some("3.13.5")).unwrap();
        let aliases: Vec<String> = aliases.iter().map(Reference::to_string).collect();
        assert_eq!(name.to_string(), "python:3.13.5");
        assert_eq!(aliases, ["python:3", "python:3.13", "python:latest", "python:3-slim"]);
    }

    #[test]
    fn an_image_without_a_language_is_the_latest() {
        let (name, aliases) = names(&recipe("['py']"), None).unwrap();
        assert_eq!((name.to_string().as_str(), aliases.len()), ("python:latest", 1));
    }

    #[test]
    fn what_mmdebstrap_says_is_progress() {
        assert_eq!(step("running apt-get update..."), Some(Step::Lists));
        assert_eq!(step("installing remaining packages inside the chroot..."), Some(Step::Installing));
        assert_eq!(step("success in 50 seconds"), None);
    }
}
