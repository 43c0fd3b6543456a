//! `kiln image verify`: whether the images are what they were when they were made.
use std::collections::BTreeSet;

use crate::base::digest::Digest;
use crate::cli::answer::printed;
use crate::cli::exit::Exit;
use crate::cli::image::progress::Progress;
use crate::cli::image::{failed, readable, store, unknown};
use crate::cli::job::print_json;
use crate::cli::surroundings::{SettingArguments, Surroundings};
use crate::cli::table::{self, Colours};
use crate::image::removal::Holdings;
use crate::image::store::ImageStore;
use crate::image::verify::{Condition, Verified, everything, verify};

/// Which images.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct VerifyArguments {
    /// Names or digests; all images where none is given
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingArguments,
}

pub(super) fn run(arguments: &VerifyArguments, surroundings: &Surroundings, colours: Colours) -> Exit {
    attempt(arguments, surroundings, colours).unwrap_or_else(|exit| exit)
}

fn attempt(arguments: &VerifyArguments, surroundings: &Surroundings, colours: Colours) -> Result<Exit, Exit> {
    let store = store(&arguments.settings, surroundings)?;
    let held = store.holdings().map_err(|error| failed(&error))?;
    let wanted = wanted(&store, &held, &arguments.images)?;
    let progress = Progress::begin();
    // While some wait for the disk, the others compute.
    let threads = 2 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let verified = verify(&store, &wanted, threads, &|_one| {}).map_err(|error| failed(&error))?;
    let seconds = progress.end().as_secs_f64();
    let exit = if verified.iter().all(|one| one.condition == Condition::Whole) { Exit::Ok } else { Exit::Refused };
    let shown = if arguments.json {
        print_json(&serde_json::json!({"images": verified.iter().map(|one| as_json(one, &held)).collect::<Vec<_>>()}))
    } else {
        printed(&described(&verified, &held, seconds, colours))
    };
    Ok(if shown == Exit::Ok { exit } else { shown })
}

/// What is asked for; every name that means nothing is told.
fn wanted(store: &ImageStore, held: &Holdings, images: &[String]) -> Result<BTreeSet<Digest>, Exit> {
    if images.is_empty() {
        return everything(store).map_err(|error| failed(&error));
    }
    let unknown_ones: Vec<&String> = images.iter().filter(|image| held.find(image).is_none()).collect();
    match unknown_ones.iter().fold(None, |_, image| Some(unknown(image))) {
        Some(exit) => Err(exit),
        None => Ok(images.iter().filter_map(|image| held.find(image)).collect()),
    }
}

/// How an image is, in a word, and what is to be said of it.
fn condition(verified: &Verified) -> (&'static str, String) {
    match &verified.condition {
        Condition::Whole => ("whole", String::new()),
        Condition::Changed => ("changed", String::from("its file is another; build or import it again")),
        Condition::Manifest(fault) => ("incomplete", format!("its manifest: {fault}; build or import it again")),
        Condition::NoFile => ("incomplete", String::from("its file is gone; build or import it again")),
        Condition::Unreadable(error) => ("unreadable", error.clone()),
    }
}

fn name(digest: &Digest, held: &Holdings) -> String {
    held.names(digest).first().map_or_else(|| String::from("-"), ToString::to_string)
}

fn described(verified: &[Verified], held: &Holdings, seconds: f64, colours: Colours) -> String {
    let row = |one: &Verified| {
        let (word, said) = condition(one);
        vec![name(&one.digest, held), one.digest.short(), readable(one.size), word.to_owned(), said]
    };
    let rows: Vec<Vec<String>> = verified.iter().map(row).collect();
    let bytes: u64 = verified.iter().map(|one| one.size).sum();
    let bad = verified.iter().filter(|one| one.condition != Condition::Whole).count();
    let count = verified.len();
    let verdict = if bad == 0 { format!("All {count} are whole") } else { format!("{bad} OF {count} ARE NOT WHOLE") };
    let table = table::table(&["NAME", "DIGEST", "SIZE", "IS", "WHAT TO DO"], &rows, colours);
    format!("{table}\n{verdict}: {} read in {seconds:.2} s.\n", readable(bytes))
}

fn as_json(verified: &Verified, held: &Holdings) -> serde_json::Value {
    let (word, said) = condition(verified);
    let names = held.names(&verified.digest);
    serde_json::json!({"digest": verified.digest, "tags": names, "size": verified.size, "condition": word, "message": said})
}

#[cfg(test)]
mod test {
    use super::*;

    fn one(byte: u8, condition: Condition) -> Verified {
        Verified { digest: Digest([byte; 32]), size: 1_000_000, condition }
    }

    #[test]
    fn the_last_line_is_the_verdict() {
        let last = |verified: &[Verified]| {
            let text = described(verified, &Holdings::default(), 0.5, Colours::None);
            text.lines().last().unwrap().to_owned()
        };
        assert_eq!(last(&[one(1, Condition::Whole)]), "All 1 are whole: 1 MB read in 0.50 s.");
        let two = [one(1, Condition::Whole), one(2, Condition::Changed)];
        assert_eq!(last(&two), "1 OF 2 ARE NOT WHOLE: 2 MB read in 0.50 s.");
        assert_eq!(as_json(&two[1], &Holdings::default())["condition"], "changed");
    }
}
