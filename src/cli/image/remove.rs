//! `kiln image rm` and `gc`: what is removed, and who is asked whether a job uses it.
use http::Method;

use crate::base::digest::Digest;
use crate::cli::answer::{complain, printed};
use crate::cli::exit::Exit;
use crate::cli::image::{failed, store, unknown};
use crate::cli::remote::{self, RemoteArguments, RemoteError};
use crate::cli::surroundings::{SettingArguments, Surroundings};
use crate::client::{ClientError, Question};
use crate::image::fault::ImageError;
use crate::image::reference::Reference;
use crate::image::removal::{Attempt, Garbage, Removal};
use crate::image::store::ImageStore;

/// Which images.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RemoveArguments {
    /// Names, or digests: these with all their names
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    #[command(flatten)]
    remote: RemoteArguments,
    #[command(flatten)]
    settings: SettingArguments,
}

/// How to collect.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CollectArguments {
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: RemoteArguments,
    #[command(flatten)]
    settings: SettingArguments,
}

/// Why an image is still there.
#[derive(Debug, thiserror::Error)]
enum Kept {
    #[error(transparent)]
    Store(#[from] ImageError),
    /// A daemon serves images of the store, and refuses, or does not answer.
    #[error("kiln runs on this store and must say whether a job uses it: {0}")]
    Daemon(#[from] RemoteError),
}

/// Each of them; one that cannot be removed does not keep the others.
pub(super) fn remove(arguments: &RemoveArguments, surroundings: &Surroundings) -> Exit {
    let store = match store(&arguments.settings, surroundings) {
        Ok(store) => store,
        Err(exit) => return exit,
    };
    let exits = arguments.images.iter().map(|image| remove_one(&store, image, (arguments, surroundings)));
    exits.fold(Exit::Ok, |exit, next| if next == Exit::Ok { exit } else { next })
}

fn remove_one(store: &ImageStore, image: &str, (arguments, surroundings): (&RemoveArguments, &Surroundings)) -> Exit {
    let asked = match store.holdings() {
        Ok(held) => held.asked(image),
        Err(error) => return failed(&error),
    };
    match asked {
        None => unknown(image),
        Some(Removal::Name(name)) => match store.remove_name(&name) {
            Ok(()) => printed(&format!("{name} removed; the image has other names\n")),
            Err(error) => failed(&error),
        },
        Some(Removal::Image(digest, names)) => {
            match take(store, (&digest, &names), (&arguments.remote, surroundings)) {
                Ok(()) => printed(&format!("{digest} removed\n")),
                Err(kept) => kept_by(image, &kept),
            }
        }
    }
}

/// Removes an image that no job uses.
fn take(
    store: &ImageStore,
    (digest, names): (&Digest, &[Reference]),
    (remote, surroundings): (&RemoteArguments, &Surroundings),
) -> Result<(), Kept> {
    if store.remove_unserved(digest, names)? == Attempt::Served {
        release(digest, remote, surroundings)?;
        store.remove_released(digest, names)?;
    }
    Ok(())
}

/// Asks the daemon to let go of an image. One that it does not know it does not use.
fn release(digest: &Digest, remote: &RemoteArguments, surroundings: &Surroundings) -> Result<(), RemoteError> {
    let path = format!("/v1/admin/images/{digest}");
    let asked = remote::waiting(async {
        let mut answer = remote.client(surroundings)?.ask(Question::new(Method::DELETE, &path)).await?;
        while answer.next().await?.is_some() {}
        Ok(())
    });
    match asked {
        Err(RemoteError::Client(ClientError::Refused(refusal))) if refusal.status == 404 => Ok(()),
        other => other,
    }
}

fn kept_by(image: &str, kept: &Kept) -> Exit {
    match kept {
        Kept::Store(error) => failed(error),
        Kept::Daemon(error) => complain(&format!("{image}: {kept}"), error.exit()),
    }
}

pub(super) fn collect(arguments: &CollectArguments, surroundings: &Surroundings) -> Exit {
    let store = match store(&arguments.settings, surroundings) {
        Ok(store) => store,
        Err(exit) => return exit,
    };
    let found = if arguments.dry_run { store.garbage() } else { store.sweep() };
    let garbage = match found {
        Ok(garbage) => garbage,
        Err(error) => return failed(&error),
    };
    let mut exit = printed(&described(&garbage));
    if arguments.dry_run {
        return exit;
    }
    for digest in &garbage.images {
        if let Err(kept) = take(&store, (digest, &[]), (&arguments.remote, surroundings)) {
            exit = kept_by(&digest.to_string(), &kept);
        }
    }
    exit
}

/// A line for each thing.
fn described(garbage: &Garbage) -> String {
    let mut lines: Vec<String> =
        garbage.stagings.iter().map(|name| format!("{name}  left by an interrupted command")).collect();
    lines.extend(garbage.halves.iter().map(|digest| format!("{digest}  half an image")));
    lines.extend(garbage.tags.iter().map(|name| format!("{name}  a name of an image that is not there")));
    lines.extend(garbage.images.iter().map(|digest| format!("{digest}  an image without a name")));
    if garbage.is_empty() {
        lines.push(String::from("nothing to remove"));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn every_kind_of_garbage_is_a_line() {
        assert_eq!(described(&Garbage::default()), "nothing to remove\n");
        let garbage = Garbage {
            images: vec![Digest([1; 32])],
            halves: vec![Digest([2; 32])],
            tags: vec!["a:1".parse().unwrap()],
            stagings: vec![String::from("staging-1")],
        };
        let text = described(&garbage);
        assert_eq!(text.lines().count(), 4);
        assert!(text.contains("a:1  a name of an image that is not there\n"), "{text}");
    }
}
