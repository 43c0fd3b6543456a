//! `kiln image`: the images in the store of this host's data directory.
//!
//! Whoever may read the data directory may list them; changing and verifying them is root's. Not here: what is done
//! (`image`), what the API says of images.
mod build;
mod import;
mod list;
mod progress;
mod remove;
mod verify;

use clap::Subcommand;
use nix::unistd::geteuid;

use crate::cli::answer::{complain, refused};
use crate::cli::exit::Exit;
use crate::cli::image::build::BuildArguments;
use crate::cli::image::import::ImportArguments;
use crate::cli::image::list::{ListArguments, ShowArguments};
use crate::cli::image::remove::{CollectArguments, RemoveArguments};
use crate::cli::image::verify::VerifyArguments;
use crate::cli::surroundings::{SettingArguments, Surroundings};
use crate::cli::table::Colours;
use crate::config::Config;
use crate::daemon::user;
use crate::image::fault::ImageError;
use crate::image::store::ImageStore;

/// What is wanted.
#[derive(Debug, Subcommand)]
pub(super) enum ImageCommand {
    /// Build images from recipes; as root
    Build(BuildArguments),
    /// Make an image of a tar archive of a root file system; as root
    Import(Box<ImportArguments>),
    /// List the images
    Ls(ListArguments),
    /// Show all that is known of an image
    Show(ShowArguments),
    /// Remove a name, and with its last name the image; as root
    Rm(RemoveArguments),
    /// Compute the digest of every image anew; as root
    Verify(VerifyArguments),
    /// Remove images without a name, and what interrupted commands left; as root
    Gc(CollectArguments),
}

pub(super) fn run(command: ImageCommand, surroundings: &Surroundings, colours: Colours) -> Exit {
    match command {
        ImageCommand::Build(arguments) => build::run(&arguments, surroundings),
        ImageCommand::Import(arguments) => import::run(&arguments, surroundings),
        ImageCommand::Ls(arguments) => list::list(&arguments, surroundings, colours),
        ImageCommand::Show(arguments) => list::show(&arguments, surroundings, colours),
        ImageCommand::Rm(arguments) => remove::remove(&arguments, surroundings),
        ImageCommand::Verify(arguments) => verify::run(&arguments, surroundings, colours),
        ImageCommand::Gc(arguments) => remove::collect(&arguments, surroundings),
    }
}

fn config(settings: &SettingArguments, surroundings: &Surroundings) -> Result<Config, Exit> {
    Config::load(&settings.clone().sources(surroundings.clone())).map_err(|faults| refused(&faults))
}

/// The store, to change it. A data directory that is new becomes the service user's, as at the daemon's first start.
fn store(settings: &SettingArguments, surroundings: &Surroundings) -> Result<ImageStore, Exit> {
    let config = config(settings, surroundings)?;
    if !geteuid().is_root() {
        return Err(complain(&"images are root's: use sudo", Exit::Denied));
    }
    let given = user::find(&config.sandbox.user, config.sandbox.uid).and_then(|it| user::give(&config.data_dir, it));
    given.map_err(|error| complain(&error, Exit::Unavailable))?;
    ImageStore::open(&config.data_dir).map_err(|error| failed(&error))
}

/// Says why, and how a command ends by it.
fn failed(error: &ImageError) -> Exit {
    if let ImageError::Archive(faults) = error {
        let told = faults.as_slice().iter().map(|fault| format!("{}: {}", fault.field, fault.message));
        return told.fold(Exit::Refused, |exit, fault| complain(&fault, exit));
    }
    complain(error, code(error))
}

/// How a command ends by a failure.
fn code(error: &ImageError) -> Exit {
    match error {
        ImageError::Archive(_) => Exit::Refused,
        ImageError::NotOurs { .. } | ImageError::NoProgram { .. } | ImageError::Full { .. } => Exit::Unavailable,
        ImageError::Failed { error, .. } if error.kind() == std::io::ErrorKind::PermissionDenied => Exit::Denied,
        ImageError::Program { .. } | ImageError::Failed { .. } => Exit::Internal,
    }
}

/// A size for people: in units of ten, as disks are sold.
fn readable(bytes: u64) -> String {
    if bytes < 1_000_000 { format!("{} kB", bytes.div_ceil(1000)) } else { format!("{} MB", bytes.div_ceil(1_000_000)) }
}

/// A text that must name an image, and does not.
fn unknown(text: &str) -> Exit {
    complain(&format!("{text}: there is no such image; see: kiln image ls"), Exit::Refused)
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::base::fault::Faults;

    #[test]
    fn what_failed_decides_the_code() {
        let number = |error: &ImageError| failed(error).number();
        let io = |kind: std::io::ErrorKind| ImageError::Failed { what: String::new(), error: kind.into() };
        assert_eq!(number(&ImageError::Archive(Faults::default())), 1);
        assert_eq!(number(&ImageError::Full { what: String::new() }), 69);
        assert_eq!(number(&ImageError::NoProgram { program: "mkfs.erofs", package: "erofs-utils" }), 69);
        assert_eq!(number(&io(std::io::ErrorKind::PermissionDenied)), 77);
        assert_eq!(number(&io(std::io::ErrorKind::Other)), 70);
    }

    #[test]
    fn sizes_are_rounded_up() {
        assert_eq!([1, 999_999, 1_000_000, 46_500_001].map(readable), ["1 kB", "1000 kB", "1 MB", "47 MB"]);
    }
}
