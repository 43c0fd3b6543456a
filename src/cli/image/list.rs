//! `kiln image ls` and `show`: which images there are, and what is known of one.
use serde_json::{Value, json};

use crate::cli::answer::{complain, printed};
use crate::cli::exit::Exit;
use crate::cli::image::{config, failed, readable, unknown};
use crate::cli::job::print_json;
use crate::cli::surroundings::{SettingArguments, Surroundings};
use crate::cli::table::{self, Colours};
use crate::image::FOLDER;
use crate::image::catalog::{Catalog, Image};
use crate::image::fault::ImageError;

/// How to list.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ListArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingArguments,
}

/// Which image.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ShowArguments {
    /// A name, or a digest
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingArguments,
}

pub(super) fn list(arguments: &ListArguments, surroundings: &Surroundings, colours: Colours) -> Exit {
    let catalog = match catalog(&arguments.settings, surroundings) {
        Ok(catalog) => catalog,
        Err(exit) => return exit,
    };
    let exit = if arguments.json {
        print_json(&json!({"images": catalog.images().map(as_json).collect::<Vec<_>>()}))
    } else {
        let rows: Vec<Vec<String>> = catalog.images().map(row).collect();
        printed(&table::table(&["NAME", "DIGEST", "SIZE", "CREATED", "LANGUAGES", "OTHER NAMES"], &rows, colours))
    };
    let damaged = |exit, fault: &crate::image::catalog::Fault| {
        complain(&format!("{}: {}; see: kiln image verify", fault.path.display(), fault.message), exit)
    };
    catalog.faults().iter().fold(exit, damaged)
}

pub(super) fn show(arguments: &ShowArguments, surroundings: &Surroundings, colours: Colours) -> Exit {
    let catalog = match catalog(&arguments.settings, surroundings) {
        Ok(catalog) => catalog,
        Err(exit) => return exit,
    };
    match catalog.find(&arguments.image) {
        None => unknown(&arguments.image),
        Some(image) if arguments.json => print_json(&as_json(image)),
        Some(image) => printed(&table::pairs(&described(image), colours)),
    }
}

fn catalog(settings: &SettingArguments, surroundings: &Surroundings) -> Result<Catalog, Exit> {
    let path = config(settings, surroundings)?.data_dir.join(FOLDER);
    Catalog::read(&path).map_err(|error| failed(&ImageError::failed(path.display().to_string(), error)))
}

fn languages(image: &Image) -> String {
    let languages = image.manifest.languages.iter().map(|language| format!("{} {}", language.id, language.version));
    languages.collect::<Vec<_>>().join(", ")
}

/// Names other than the one that it is shown by.
fn others(image: &Image) -> String {
    let name = image.name();
    let others = image.tags.iter().map(ToString::to_string).filter(|tag| *tag != name);
    others.collect::<Vec<_>>().join(" ")
}

fn row(image: &Image) -> Vec<String> {
    let manifest = &image.manifest;
    let created = manifest.created.split('.').next().unwrap_or_default().trim_end_matches('Z').replace('T', " ");
    // A digest is its own name where no other is left.
    let name = if image.tags.is_empty() { String::from("-") } else { image.name() };
    vec![name, manifest.digest.short(), readable(manifest.size), created, languages(image), others(image)]
}

fn described(image: &Image) -> Vec<(&'static str, String)> {
    let manifest = &image.manifest;
    let recipe = manifest.recipe.map_or_else(|| String::from("none: it was imported"), |digest| digest.to_string());
    vec![
        ("name", image.name()),
        ("other names", others(image)),
        ("digest", manifest.digest.to_string()),
        ("size", format!("{} ({} bytes)", readable(manifest.size), manifest.size)),
        ("created", manifest.created.clone()),
        ("recipe", recipe),
        ("architecture", manifest.architecture.clone()),
        ("languages", languages(image)),
    ]
}

fn as_json(image: &Image) -> Value {
    let mut value = serde_json::to_value(&image.manifest).unwrap_or_default();
    if let Value::Object(members) = &mut value {
        members.insert(String::from("name"), json!(image.name()));
        members.insert(String::from("tags"), json!(image.tags));
    }
    value
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::base::digest::Digest;
    use crate::image::manifest::{ImageLanguage, Manifest, SCHEMA};

    fn image(tags: &[&str]) -> Image {
        let manifest = Manifest {
            schema: SCHEMA,
            name: String::from("python:3.13.5"),
            digest: Digest([0xab; 32]),
            size: 46_500_000,
            recipe: None,
            created: String::from("2026-01-02T03:04:05.000000Z"),
            architecture: String::from("x86_64"),
            languages: vec![ImageLanguage { id: String::from("python"), version: String::from("3.13.5"), place: 0 }],
            tables: String::new(),
        };
        Image { manifest, tags: tags.iter().map(|tag| tag.parse().unwrap()).collect() }
    }

    #[test]
    fn an_image_is_a_line_with_its_own_name_first() {
        let cells = row(&image(&["python:3.13.5", "python:latest"]));
        let expected =
            ["python:3.13.5", "abababababab", "47 MB", "2026-01-02 03:04:05", "python 3.13.5", "python:latest"];
        assert_eq!(cells, expected);
        assert_eq!(row(&image(&[]))[0], "-");
    }

    #[test]
    fn all_of_an_image_is_shown() {
        let pairs = described(&image(&["python:latest"]));
        assert!(pairs.contains(&("size", String::from("47 MB (46500000 bytes)"))), "{pairs:?}");
        assert!(pairs.contains(&("name", String::from("python:latest"))), "{pairs:?}");
        assert_eq!(as_json(&image(&["a"]))["tags"], json!(["a:latest"]));
    }
}
