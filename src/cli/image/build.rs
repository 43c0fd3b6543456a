//! `kiln image build`: builds images from recipes, and shows how far it is.
//!
//! Recipes that are asked for by name are those that come with kiln. Every recipe is read before the first is built, and
//! one that cannot be built does not stop the others. Not here: what is done (`image::build`).
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::fault::Faults;
use crate::base::time::{Clock as _, SystemClock};
use crate::cli::answer::{complain, printed};
use crate::cli::exit::Exit;
use crate::cli::image::progress::Progress;
use crate::cli::image::{code, readable, store};
use crate::cli::surroundings::{SettingArguments, Surroundings};
use crate::image::build::{Options, Step, build, mirror};
use crate::image::manifest::Manifest;
use crate::image::recipe::Recipe;
use crate::image::store::ImageStore;

/// Where downloaded packages are kept.
const CACHE: &str = "/var/cache/kiln/images";

/// Variables that tell apt of a proxy.
const PROXIES: &[&str] = &["http_proxy", "https_proxy", "no_proxy"];

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct BuildArguments {
    /// Names of recipes that come with kiln, or files that end in .toml
    #[arg(value_name = "RECIPE", required_unless_present = "all")]
    recipes: Vec<String>,
    /// Build every recipe that comes with kiln
    #[arg(long, conflicts_with = "recipes")]
    all: bool,
    /// Mirror of Debian [default: that of this host]
    #[arg(long, value_name = "URL", requires = "security_mirror")]
    mirror: Option<String>,
    /// Mirror of Debian's security updates [default: that of this host]
    #[arg(long, value_name = "URL", requires = "mirror")]
    security_mirror: Option<String>,
    /// Where downloaded packages are kept; may be deleted
    #[arg(long, value_name = "FOLDER", default_value = CACHE)]
    cache: PathBuf,
    #[command(flatten)]
    settings: SettingArguments,
}

pub(super) fn run(arguments: &BuildArguments, surroundings: &Surroundings) -> Exit {
    let recipes = match read(&arguments.recipes, arguments.all) {
        Ok(recipes) => recipes,
        Err(faults) => {
            let told = faults.into_vec().into_iter().map(|fault| format!("{}: {}", fault.field, fault.message));
            return told.fold(Exit::Usage, |exit, fault| complain(&fault, exit));
        }
    };
    let store = match store(&arguments.settings, surroundings) {
        Ok(store) => store,
        Err(exit) => return exit,
    };
    let options = options(arguments, surroundings);
    let exits: Vec<Exit> = recipes.iter().map(|recipe| one(&store, recipe, &options)).collect();
    exits.into_iter().find(|exit| *exit != Exit::Ok).unwrap_or(Exit::Ok)
}

fn one(store: &ImageStore, recipe: &Recipe, options: &Options) -> Exit {
    let mut progress = Progress::begin();
    let built = build(store, recipe, options, &SystemClock.now().rfc3339(), &mut |step| {
        let amount = if let Step::Copying(size) = step { readable(size.bytes()) } else { String::new() };
        progress.show(&format!("{recipe}: {}", words(step)), &amount);
    });
    let took = progress.end();
    match built {
        Ok(manifest) => printed(&line(&manifest, took)),
        Err(error) => complain(&format!("{recipe}: {error}"), code(&error)),
    }
}

fn line(manifest: &Manifest, took: Duration) -> String {
    let Manifest { name, digest, size, .. } = manifest;
    format!("{name}  {digest}  {}  {:.0} s\n", readable(*size), took.as_secs_f64())
}

fn options(arguments: &BuildArguments, surroundings: &Surroundings) -> Options {
    let mirror::Mirrors { main, security } = match &arguments.mirror {
        Some(main) => mirror::Mirrors { main: Some(main.clone()), security: arguments.security_mirror.clone() },
        None => mirror::of_this_host(),
    };
    let set = |name: &&str| Some(((*name).to_owned(), surroundings.environment.get(*name)?.clone()));
    let proxies = PROXIES.iter().filter_map(set).collect();
    Options { mirror: main, security_mirror: security, cache: arguments.cache.clone(), proxies }
}

/// The recipes, or all that is wrong with any.
fn read(asked: &[String], all: bool) -> Result<Vec<Recipe>, Faults> {
    let shipped = Recipe::shipped()?;
    if all {
        return Ok(shipped);
    }
    let mut faults = Faults::default();
    let mut recipes = Vec::new();
    for name in asked {
        match recipe(name, &shipped) {
            Ok(recipe) => recipes.push(recipe),
            Err(found) => found.into_vec().into_iter().for_each(|fault| faults.add(fault.field, fault.message)),
        }
    }
    if faults.is_empty() { Ok(recipes) } else { Err(faults) }
}

fn recipe(name: &str, shipped: &[Recipe]) -> Result<Recipe, Faults> {
    let mut faults = Faults::default();
    if Path::new(name).extension().is_some_and(|extension| extension == "toml") {
        let text = std::fs::read_to_string(name).map_err(|error| faults.add(name, error.to_string()));
        let read = text.map(|text| Recipe::parse(&text));
        match read {
            Ok(Ok(recipe)) => return Ok(recipe),
            Ok(Err(found)) => {
                let placed = |field: String| format!("{name}: {field}");
                found.into_vec().into_iter().for_each(|fault| faults.add(placed(fault.field), fault.message));
            }
            Err(()) => {}
        }
        return Err(faults);
    }
    shipped.iter().find(|recipe| recipe.name == name).cloned().ok_or_else(|| {
        let known: Vec<&str> = shipped.iter().map(|recipe| recipe.name.as_str()).collect();
        faults.add(
            name,
            format!("no recipe of this name; there are {}, or give a file that ends in .toml", known.join(", ")),
        );
        faults
    })
}

/// What a step is called.
const fn words(step: Step) -> &'static str {
    match step {
        Step::Waiting => "waiting for another build",
        Step::Lists => "reading the lists of packages",
        Step::Downloading => "downloading packages",
        Step::Unpacking => "unpacking packages",
        Step::Installing => "installing packages",
        Step::Hooks => "running the recipe's commands",
        Step::Versions => "asking for versions",
        Step::Stripping => "removing what no job needs",
        Step::Copying(_) => "copying",
        Step::Packing => "packing into one file",
        Step::Reading => "computing the digest",
        Step::Storing => "putting it into the store",
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn faults(names: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let faults = read(&names, false).unwrap_err().into_vec();
        faults.into_iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect()
    }

    #[test]
    fn shipped_recipes_are_found_by_name_and_all_of_them() {
        let names = [String::from("python"), String::from("c-cpp")];
        let recipes = read(&names, false).unwrap();
        assert_eq!(recipes.iter().map(|recipe| recipe.name.as_str()).collect::<Vec<_>>(), ["python", "c-cpp"]);
        assert!(read(&[], true).unwrap().len() >= 14);
    }

    #[test]
    fn every_fault_of_every_recipe_is_told_before_anything_is_built() {
        let folder = tempfile::tempdir().unwrap();
        let bad = folder.path().join("bad.toml");
        std::io::Write::write_all(
            &mut std::fs::File::create(&bad).unwrap(),
            b"name = 'x'\npackages = ['-y']\ncolour = 1\n",
        )
        .unwrap();
        let faults = faults(&["pyton", bad.to_str().unwrap(), "/nowhere/a.toml"]);
        assert!(faults[0].starts_with("pyton: no recipe of this name; there are python, python-data"), "{faults:?}");
        assert!(faults[1].ends_with("bad.toml: recipe.packages: \"-y\" is no name of a Debian package"), "{faults:?}");
        assert!(faults[2].ends_with("bad.toml: recipe.colour: unknown field"), "{faults:?}");
        assert!(faults[3].starts_with("/nowhere/a.toml: No such file"), "{faults:?}");
    }
}
