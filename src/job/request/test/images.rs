//! Which image a job gets: the one that is named, or the best one that has its language.
use serde_json::json;

use super::{languages, policy, python};
use crate::base::digest::Digest;
use crate::job::request::offer::{KnownImage, KnownLanguage, Offer, UsedImage};
use crate::job::request::{Work, read};
use serde_json::Value;

fn stored(name: &str, number: u8) -> UsedImage {
    UsedImage::Stored { name: name.to_owned(), digest: Digest([number; 32]) }
}

fn known_image(name: &str, number: u8, references: &[&str]) -> KnownImage {
    let references = references.iter().map(|reference| (*reference).to_owned()).collect();
    let (created, architecture) = (String::from("2026-01-01T00:00:00Z"), String::from("x86_64"));
    KnownImage { image: stored(name, number), references, size: 1, created, architecture, recipe: None }
}

/// The host's languages, and Python of two versions in images of the store, one of which has C too.
fn with_images() -> Offer {
    let mut offer = languages();
    let python = |version: &str, image: UsedImage| KnownLanguage {
        version: Some(version.to_owned()),
        image,
        ..offer.languages[0].clone()
    };
    let c = KnownLanguage { image: stored("tools:1", 2), ..offer.languages[2].clone() };
    let in_images = [python("3.13.5", stored("python:3.13", 1)), python("3.12.1", stored("tools:1", 2)), c];
    offer.languages.splice(0..0, in_images);
    offer.images = vec![
        known_image("python:3.13", 1, &["python:3.13", "python:latest", "python:3.11-slim"]),
        known_image("tools:1", 2, &["tools:1"]),
    ];
    offer
}

#[track_caller]
fn chosen(body: &Value) -> (UsedImage, Work) {
    let request = read(body, &policy(), &with_images()).unwrap().request;
    (request.image, request.work)
}

#[track_caller]
fn refused_of_images(body: &Value, field: &str, part: &str) {
    let faults = read(body, &policy(), &with_images()).unwrap_err().into_vec();
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    assert!(fault.field == field && fault.message.contains(part), "{fault:?}");
}

#[test]
fn a_language_gets_the_first_image_that_has_it_in_the_version_that_is_asked_for() {
    assert_eq!(chosen(&python(&json!({}))).0, stored("python:3.13", 1));
    assert_eq!(chosen(&python(&json!({"version": "3.12"}))).0, stored("tools:1", 2));
    assert_eq!(chosen(&python(&json!({"version": "3.11.2"}))).0, UsedImage::Host);
    assert_eq!(chosen(&json!({"language": "bash", "code": ""})).0, UsedImage::Host);
    let message = "python 3.9 is not here; python 3.13.5, 3.12.1, 3.11.2 are";
    refused_of_images(&python(&json!({"version": "3.9"})), "version", message);
}

#[test]
fn a_language_runs_in_the_image_that_is_named() {
    let digest = Digest([2; 32]).to_string();
    for (name, image) in [
        ("host", UsedImage::Host),
        ("python", stored("python:3.13", 1)),
        ("python:3.11-slim", stored("python:3.13", 1)),
        ("tools:1", stored("tools:1", 2)),
        (digest.as_str(), stored("tools:1", 2)),
    ] {
        assert_eq!(chosen(&python(&json!({"image": name}))).0, image, "{name}");
    }
    refused_of_images(
        &python(&json!({"image": "tools"})),
        "image",
        "unknown image `tools`; known: host, python:3.13, tools:1",
    );
    let c = json!({"language": "c", "code": "", "image": "python"});
    refused_of_images(&c, "image", "python:3.13 has no c; tools:1, host has");
    refused_of_images(&python(&json!({"image": "tools:1", "version": "3.13"})), "version", "python 3.12.1 is");
}

#[test]
fn a_command_runs_in_the_image_that_is_named() {
    let (image, work) = chosen(&json!({"image": "python", "command": ["/usr/bin/id"]}));
    let command = vec![String::from("/usr/bin/id")];
    assert_eq!((image, work), (stored("python:3.13", 1), Work::Command { command }));
}
