//! `kiln image import`: an image of a root file system that somebody else made.
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use crate::base::size::ByteSize;
use crate::base::time::{Clock as _, SystemClock};
use crate::cli::answer::{complain, printed};
use crate::cli::exit::Exit;
use crate::cli::image::progress::Progress;
use crate::cli::image::{config, failed, readable, store};
use crate::cli::job::print_json;
use crate::cli::serve::languages;
use crate::cli::surroundings::{SettingArguments, Surroundings};
use crate::image::archive::bounds::Bounds;
use crate::image::fault::ImageError;
use crate::image::manifest::{ImageLanguage, Manifest};
use crate::image::reference::Reference;
use crate::image::staging::{Description, Staging, Step};
use crate::image::store::ImageStore;
use crate::image::unpack::Unpacked;
use crate::lang::Languages;

/// The time of everything in an imported image: 2026-01-01.
const EPOCH: u64 = 1_767_225_600;

/// What to import, and how much of it.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ImportArguments {
    /// The archive: tar, plain or by gzip, xz or zstd; `-` is standard input
    #[arg(value_name = "ARCHIVE")]
    archive: PathBuf,
    /// What the image is called: NAME, or NAME:TAG
    #[arg(long, value_name = "NAME")]
    name: Reference,
    /// What it is called as well; may be repeated
    #[arg(long = "alias", value_name = "NAME")]
    aliases: Vec<Reference>,
    /// A language of the table that is in it, as `python=3.11.9`; may be repeated
    #[arg(long = "language", value_name = "ID=VERSION", value_parser = language)]
    languages: Vec<(String, String)>,
    /// The time of every file in it, in seconds since 1970: the same content and time give the same image
    #[arg(long, value_name = "SECONDS", default_value_t = EPOCH)]
    epoch: u64,
    #[command(flatten)]
    bounds: BoundArguments,
    /// Print the image's manifest as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingArguments,
}

/// What an archive may ask for.
#[derive(Debug, clap::Args)]
struct BoundArguments {
    /// Largest archive, uncompressed
    #[arg(long = "max-size", value_name = "MIB", default_value_t = Bounds::STANDARD.size.whole_mib())]
    size: u64,
    /// Most entries
    #[arg(long = "max-entries", value_name = "NUMBER", default_value_t = Bounds::STANDARD.entries)]
    entries: u64,
    /// Most directories in a path
    #[arg(long = "max-depth", value_name = "NUMBER", default_value_t = Bounds::STANDARD.depth)]
    depth: usize,
    /// Most bytes in a path
    #[arg(long = "max-path", value_name = "BYTES", default_value_t = Bounds::STANDARD.path)]
    path: usize,
    /// How many times as large the archive may be uncompressed
    #[arg(long = "max-ratio", value_name = "NUMBER", default_value_t = Bounds::STANDARD.ratio)]
    ratio: u64,
}

fn language(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(id, version)| !id.is_empty() && !version.is_empty());
    let (id, version) = parts.ok_or("ID=VERSION is expected, as python=3.11.9")?;
    Ok((id.to_owned(), version.to_owned()))
}

impl BoundArguments {
    const fn bounds(&self) -> Bounds {
        Bounds {
            size: ByteSize::mib(self.size),
            entries: self.entries,
            depth: self.depth,
            path: self.path,
            ratio: self.ratio,
        }
    }
}

pub(super) fn run(arguments: &ImportArguments, surroundings: &Surroundings) -> Exit {
    attempt(arguments, surroundings).unwrap_or_else(|exit| exit)
}

fn attempt(arguments: &ImportArguments, surroundings: &Surroundings) -> Result<Exit, Exit> {
    let table = languages(&config(&arguments.settings, surroundings)?)?;
    let store = store(&arguments.settings, surroundings)?;
    let archive: Box<dyn Read> = if arguments.archive.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        let unreadable = |error| complain(&format!("{}: {error}", arguments.archive.display()), Exit::Usage);
        Box::new(File::open(&arguments.archive).map_err(unreadable)?)
    };
    let mut progress = Progress::begin();
    let imported = import(&store, archive, (arguments, &table), &mut progress);
    let took = progress.end();
    let (manifest, unpacked) = match imported {
        Ok(imported) => imported,
        Err(Unimported::Image(error)) => return Err(failed(&error)),
        Err(Unimported::Languages(faults)) => {
            return Err(faults.iter().fold(Exit::Refused, |exit, fault| complain(fault, exit)));
        }
    };
    if arguments.json {
        return Ok(print_json(&serde_json::to_value(&manifest).unwrap_or_default()));
    }
    let told = left_out(&unpacked).into_iter().fold(Exit::Ok, |exit, told| complain(&told, exit));
    let Manifest { name, digest, size, .. } = &manifest;
    let told_image = printed(&format!("{name}  {digest}  {}  {:.1} s\n", readable(*size), took.as_secs_f64()));
    Ok(if told == Exit::Ok { told_image } else { told })
}

/// Why there is no image.
enum Unimported {
    Image(ImageError),
    Languages(Vec<String>),
}

impl From<ImageError> for Unimported {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

fn import(
    store: &ImageStore,
    archive: impl Read,
    (arguments, table): (&ImportArguments, &Languages),
    progress: &mut Progress,
) -> Result<(Manifest, Unpacked), Unimported> {
    let mut told = |step: Step| match step {
        Step::Unpacking(bytes) => progress.show("unpacking", &readable(bytes.bytes())),
        Step::Packing => progress.show("packing into one file", ""),
        Step::Reading => progress.show("computing the digest", ""),
        Step::Installing => progress.show("putting it into the store", ""),
    };
    let mut staging = store.stage()?;
    staging.guard()?;
    let unpacked = staging.unpack(archive, &arguments.bounds.bounds(), &mut told)?;
    let languages = placed(&staging, &arguments.languages, table).map_err(Unimported::Languages)?;
    let description = Description {
        name: arguments.name.clone(),
        aliases: arguments.aliases.clone(),
        recipe: None,
        created: SystemClock.now().rfc3339(),
        epoch: arguments.epoch,
        languages,
        tables: String::new(),
    };
    Ok((staging.install(&description, &mut told)?, unpacked))
}

/// The languages at those of their places where the image has their programs; else what is wrong with each.
fn placed(
    staging: &Staging<'_>,
    wanted: &[(String, String)],
    table: &Languages,
) -> Result<Vec<ImageLanguage>, Vec<String>> {
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for (id, version) in wanted {
        let Some(language) = table.iter().find(|language| language.id == *id) else {
            faults.push(format!("--language {id}: the table has {}", table.ids().collect::<Vec<_>>().join(", ")));
            continue;
        };
        let places = language.at_each_place();
        let programs: Vec<&str> =
            places.iter().filter_map(|at| at.version.command.first()).map(String::as_str).collect();
        match programs.iter().position(|program| staging.has(program)) {
            Some(place) => found.push(ImageLanguage { id: id.clone(), version: version.clone(), place }),
            None => faults.push(format!("--language {id}: the archive has none of {}", programs.join(", "))),
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

/// What was not taken as it was.
fn left_out(unpacked: &Unpacked) -> Vec<String> {
    let mut told = Vec::new();
    if unpacked.left_out > 0 {
        let count = unpacked.left_out;
        told.push(format!("{count} entries below /dev, /proc, /sys, /tmp and /work were left out"));
    }
    if unpacked.tamed > 0 {
        told.push(format!("{} files have lost their set-user-id or set-group-id bit", unpacked.tamed));
    }
    told
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_language_has_an_id_and_a_version() {
        assert_eq!(language("python=3.11"), Ok((String::from("python"), String::from("3.11"))));
        for wrong in ["python", "=3", "python="] {
            assert!(language(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_was_left_out_is_told_once_a_kind() {
        assert_eq!(left_out(&Unpacked::default()), Vec::<String>::new());
        assert_eq!(left_out(&Unpacked { left_out: 2, tamed: 1, ..Unpacked::default() }).len(), 2);
    }
}
