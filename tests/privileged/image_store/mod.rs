//! The store of images, as root's command line makes, verifies and removes it.
//!
//! Needs mkfs.erofs. Not here: hostile archives, one by one (`src/image`), jobs that run in images.
mod interrupted;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use crate::disk::{mount_small, with_own_mounts};
use crate::harness::{Daemon, data_directory};

/// `kiln image` on a data directory.
#[expect(clippy::disallowed_methods, reason = "the program under test is started here")]
fn image(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("KILN_DATA_DIR", data);
    command.arg("image").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command prints that ends with 0.
#[track_caller]
fn printed(data: &Path, arguments: &[&str]) -> String {
    let output = image(data, arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refused(data: &Path, arguments: &[&str], code: i32, words: &[&str]) {
    let output = image(data, arguments).output().unwrap();
    let told = told(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    for word in words {
        assert!(told.contains(word), "`{word}` is missing: {told}");
    }
    assert!(!told.contains("panicked"), "{told}");
}

/// A root file system with one file of this content.
fn archive(content: &[u8]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let mut add = |name: &str, kind: EntryType, content: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(content.len().try_into().unwrap());
        header.set_cksum();
        builder.append(&header, content).unwrap();
    };
    add("usr/", EntryType::Directory, b"");
    add("usr/bin/", EntryType::Directory, b"");
    add("usr/bin/tool", EntryType::Regular, content);
    builder.into_inner().unwrap()
}

/// Bytes that nothing makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

fn saved(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    File::create(&path).unwrap().write_all(bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Everything below the store but its locks.
fn content(data: &Path) -> Vec<String> {
    let store = data.join("images");
    let names =
        |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut all: Vec<String> = names(store.clone()).chain(names(store.join("tags"))).collect();
    all.retain(|name| !["lock", "in-use", "tags"].contains(&name.as_str()));
    all.sort();
    all
}

/// Imports an archive; gives the digest.
#[track_caller]
fn import(data: &Path, archive: &str, name: &str) -> String {
    let manifest: Value = serde_json::from_str(&printed(data, &["import", archive, "--name", name, "--json"])).unwrap();
    manifest["digest"].as_str().unwrap().to_owned()
}

#[test]
fn an_image_is_imported_listed_verified_and_removed() {
    let (data, files) = (data_directory(), tempfile::tempdir().unwrap());
    let data = data.path();
    let path = saved(files.path(), "a.tar", &archive(b"tool"));
    let digest = import(data, &path, "tool:1");
    assert_eq!(import(data, &path, "tool"), digest);
    let list: Value = serde_json::from_str(&printed(data, &["ls", "--json"])).unwrap();
    assert_eq!(list["images"][0]["tags"], json!(["tool:1", "tool:latest"]));
    assert!(printed(data, &["show", "tool"]).contains(&digest));
    assert!(printed(data, &["verify"]).ends_with(" s.\n"));
    assert!(printed(data, &["rm", "tool"]).contains("other names"));
    assert!(printed(data, &["rm", "tool:1"]).contains(&digest));
    assert_eq!(content(data), Vec::<String>::new());
    refused(data, &["show", "tool"], 1, &["there is no such image"]);
    refused(data, &["rm", "tool", "tool:2"], 1, &["tool: there is no such image", "tool:2: there"]);
}

#[test]
fn the_store_is_roots_and_the_data_directory_the_service_users() {
    let (data, files) = (data_directory(), tempfile::tempdir().unwrap());
    let digest = import(data.path(), &saved(files.path(), "a.tar", &archive(b"tool")), "tool");
    let of = |path: &Path| fs::symlink_metadata(path).map(|found| (found.uid(), found.mode() & 0o7777)).unwrap();
    assert_ne!(of(data.path()).0, 0);
    assert_eq!(of(&data.path().join("images")), (0, 0o755));
    let digits = digest.strip_prefix("sha256:").unwrap();
    for end in ["erofs", "json"] {
        assert_eq!(of(&data.path().join(format!("images/{digits}.{end}"))), (0, 0o444));
    }
    fs::set_permissions(data.path().join("images"), fs::Permissions::from_mode(0o777)).unwrap();
    refused(data.path(), &["verify"], 69, &["others may write to it", "chmod go-w"]);
}

#[test]
fn a_changed_image_is_found_and_named() {
    let (data, files) = (data_directory(), tempfile::tempdir().unwrap());
    let digest = import(data.path(), &saved(files.path(), "a.tar", &archive(&noise(100_000))), "tool");
    import(data.path(), &saved(files.path(), "b.tar", &archive(b"other")), "other");
    let file = data.path().join(format!("images/{}.erofs", digest.strip_prefix("sha256:").unwrap()));
    let mut bytes = fs::read(&file).unwrap();
    bytes[50_000] ^= 1;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    File::create(&file).unwrap().write_all(&bytes).unwrap();
    let output = image(data.path(), &["verify", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for verified in report["images"].as_array().unwrap() {
        let expected = if verified["digest"] == json!(digest) { "changed" } else { "whole" };
        assert_eq!(verified["condition"], expected, "{report:#}");
    }
    printed(data.path(), &["verify", "other"]);
}

#[test]
fn a_refused_archive_tells_every_fault_and_leaves_nothing() {
    let (data, files) = (data_directory(), tempfile::tempdir().unwrap());
    let mut builder = Builder::new(Vec::new());
    for (name, kind) in [("a", EntryType::Char), ("b", EntryType::Fifo), ("etc", EntryType::Regular)] {
        let mut header = Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, &[][..]).unwrap();
    }
    let path = saved(files.path(), "bad.tar", &builder.into_inner().unwrap());
    refused(
        data.path(),
        &["import", &path, "--name", "bad"],
        1,
        &["a: is a device", "b: is a named pipe", "etc: is no"],
    );
    let path = saved(files.path(), "good.tar", &archive(b"tool"));
    let pairs = ["--language", "python=3", "--language", "cobol=1"];
    let arguments = [&["import", &path, "--name", "x"][..], &pairs].concat();
    refused(data.path(), &arguments, 1, &["python: the archive has none of", "cobol: the table has"]);
    refused(data.path(), &["import", &path, "--name", "Bad"], 2, &["lower-case"]);
    refused(data.path(), &["import", "/nowhere", "--name", "x"], 2, &["/nowhere"]);
    assert_eq!(content(data.path()), Vec::<String>::new());
}

#[test]
fn a_full_disk_is_told_and_leaves_the_store_as_it_was() {
    with_own_mounts(|| {
        let (data, files) = (data_directory(), tempfile::tempdir().unwrap());
        mount_small(data.path(), "3m");
        import(data.path(), &saved(files.path(), "a.tar", &archive(b"small")), "small");
        let before = content(data.path());
        // Full while it is unpacked, and while it is packed.
        for length in [4_000_000, 1_800_000] {
            let path = saved(files.path(), "big.tar", &archive(&noise(length)));
            refused(data.path(), &["import", &path, "--name", "small"], 69, &["the disk is full", "kiln image gc"]);
            assert_eq!(content(data.path()), before, "{length}");
        }
        printed(data.path(), &["verify"]);
    });
}

#[test]
fn commands_at_once_do_not_hinder_each_other() {
    let (data, files) = (data_directory(), tempfile::tempdir().unwrap());
    let paths: Vec<String> = (0..4)
        .map(|number| saved(files.path(), &format!("{number}.tar"), &archive(&noise(1000 * (number + 1)))))
        .collect();
    import(data.path(), &saved(files.path(), "first.tar", &archive(b"first")), "first");
    let imports = paths.iter().map(|path| ["import", path, "--name", "tool"].to_vec());
    let others = [vec!["gc"], vec!["gc"], vec!["verify"], vec!["ls"]];
    let children: Vec<_> = imports
        .chain(others)
        .map(|arguments| (image(data.path(), &arguments).spawn().unwrap(), format!("{arguments:?}")))
        .collect();
    for (child, arguments) in children {
        let output = child.wait_with_output().unwrap();
        // gc takes what another import has just taken the name of, while verify reads it.
        let codes: &[i32] = if arguments.contains("verify") { &[0, 1] } else { &[0] };
        assert!(codes.contains(&output.status.code().unwrap()), "{arguments}: {}", told(&output));
    }
    printed(data.path(), &["gc"]);
    printed(data.path(), &["verify"]);
    assert_eq!(content(data.path()).len(), 6, "two images with a name each: {:?}", content(data.path()));
}

#[test]
fn garbage_is_shown_before_it_is_removed() {
    let (data, files) = (data_directory(), tempfile::tempdir().unwrap());
    let path = saved(files.path(), "a.tar", &archive(b"tool"));
    let digest = import(data.path(), &path, "tool");
    import(data.path(), &saved(files.path(), "b.tar", &archive(b"newer")), "tool");
    fs::create_dir(data.path().join("images/staging-dead")).unwrap();
    let before = content(data.path());
    let shown = printed(data.path(), &["gc", "--dry-run"]);
    assert!(shown.contains(&format!("{digest}  an image without a name")) && shown.contains("staging-dead"), "{shown}");
    assert_eq!(content(data.path()), before);
    assert_eq!(printed(data.path(), &["gc"]), shown);
    assert_eq!(content(data.path()).len(), 3);
    assert_eq!(printed(data.path(), &["gc"]), "nothing to remove\n");
}

#[test]
fn an_image_of_a_running_daemon_goes_through_the_daemon() {
    let (data, files, sockets) = (data_directory(), tempfile::tempdir().unwrap(), data_directory());
    import(data.path(), &saved(files.path(), "a.tar", &archive(b"tool")), "tool");
    let socket = sockets.path().join("kiln.sock");
    let daemon = Daemon::start_on(data.path(), &[("KILN_API_SOCKET", socket.to_str().unwrap())]);
    refused(data.path(), &["rm", "tool", "--server", "/nowhere/kiln.sock"], 69, &["whether a job uses it"]);
    assert_eq!(content(data.path()).len(), 3);
    printed(data.path(), &["rm", "tool", "--server", socket.to_str().unwrap()]);
    assert_eq!(content(data.path()), Vec::<String>::new());
    assert_eq!(daemon.get("/v1/images").body["total"], 0);
}
