//! A store from its making to its last image: what is installed, what is the same, what an interrupted one leaves.
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use tar::{Builder, EntryType, Header};

use crate::image::archive::bounds::Bounds;
use crate::image::catalog::Catalog;
use crate::image::fault::ImageError;
use crate::image::manifest::Manifest;
use crate::image::removal::{Attempt, Removal};
use crate::image::staging::{Description, Staging, Step};
use crate::image::store::ImageStore;
use crate::image::verify::{self, Condition};

/// An entry: name, kind, mode, and content or target.
type Row<'a> = (&'a str, EntryType, u32, &'a str);

const ROOT: &[Row<'_>] = &[
    ("./", EntryType::Directory, 0o755, ""),
    ("./usr/", EntryType::Directory, 0o755, ""),
    ("./usr/bin/", EntryType::Directory, 0o755, ""),
    ("./usr/bin/tool", EntryType::Regular, 0o755, "#!/bin/sh\necho tool\n"),
    ("./usr/bin/su", EntryType::Regular, 0o4755, "setuid"),
    ("./usr/bin/other", EntryType::Link, 0o755, "./usr/bin/tool"),
    ("./bin", EntryType::Symlink, 0o777, "usr/bin"),
    ("./etc/", EntryType::Directory, 0o755, ""),
    ("./etc/passwd", EntryType::Regular, 0o644, "root::0:0::/:/bin/sh\n"),
    ("./dev/", EntryType::Directory, 0o755, ""),
    ("./dev/null", EntryType::Char, 0o666, ""),
    ("./tmp/", EntryType::Directory, 0o1777, ""),
];

fn archive<'a>(rows: impl IntoIterator<Item = &'a Row<'a>>) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, mode, text) in rows {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        let content = if *kind == EntryType::Regular { text.as_bytes() } else { b"" };
        if content.is_empty() {
            header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_size(content.len().try_into().unwrap());
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn description(name: &str, aliases: &[&str]) -> Description {
    Description {
        name: name.parse().unwrap(),
        aliases: aliases.iter().map(|alias| alias.parse().unwrap()).collect(),
        recipe: None,
        created: String::from("2026-01-01T00:00:00Z"),
        epoch: 1_700_000_000,
        languages: Vec::new(),
        tables: String::new(),
    }
}

fn import(store: &ImageStore, archive: &[u8], description: &Description) -> Result<Manifest, ImageError> {
    let mut staging = store.stage()?;
    staging.unpack(archive, &Bounds::STANDARD, &mut |_| {})?;
    staging.install(description, &mut |_| {})
}

/// Everything in the store but its locks.
fn content(store: &ImageStore) -> Vec<String> {
    let names = |folder: &Path| {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<Vec<_>>()
    };
    let mut all = names(store.path());
    all.extend(names(&store.path().join("tags")));
    all.retain(|name| !["lock", "in-use", "tags"].contains(&name.as_str()));
    all.sort();
    all
}

fn staged<'a>(store: &'a ImageStore, rows: &[Row<'_>]) -> Result<Staging<'a>, ImageError> {
    let mut staging = store.stage()?;
    staging.unpack(archive(rows).as_slice(), &Bounds::STANDARD, &mut |_| {})?;
    Ok(staging)
}

#[test]
fn an_image_is_found_under_all_its_names_and_is_whole() {
    let data = tempfile::tempdir().unwrap();
    let store = ImageStore::open(data.path()).unwrap();
    let made = import(&store, &archive(ROOT), &description("tool:1", &["tool", "team/tool:x"])).unwrap();
    let catalog = Catalog::read(store.path()).unwrap();
    assert_eq!(catalog.faults(), []);
    for name in ["tool:1", "tool", "team/tool:x", &made.digest.to_string()] {
        assert_eq!(catalog.find(name).unwrap().manifest, made, "{name}");
    }
    let verified = verify::verify(&store, &verify::everything(&store).unwrap(), 4, &|_| {}).unwrap();
    assert_eq!(verified.iter().map(|one| one.condition.clone()).collect::<Vec<_>>(), [Condition::Whole]);
    let file = fs::metadata(store.path().join(format!("{}.erofs", made.digest.digits()))).unwrap();
    assert_eq!((file.mode() & 0o7777, file.len()), (0o444, made.size));
}

#[test]
fn the_same_content_is_the_same_image_in_whatever_order_and_with_whatever_times_it_comes() {
    let data = tempfile::tempdir().unwrap();
    let store = ImageStore::open(data.path()).unwrap();
    let first = import(&store, &archive(ROOT), &description("a", &[])).unwrap();
    let before = content(&store);
    assert_eq!(import(&store, &archive(ROOT), &description("a", &[])).unwrap().digest, first.digest);
    assert_eq!(content(&store), before);
    let (links, others): (Vec<&Row<'_>>, Vec<&Row<'_>>) = ROOT.iter().partition(|row| row.1 == EntryType::Link);
    let reversed = others.into_iter().rev().chain(links);
    assert_eq!(import(&store, &archive(reversed), &description("b", &[])).unwrap().digest, first.digest);
    let changed = ROOT.iter().map(|row| if row.0 == "./usr/bin/tool" { (row.0, row.1, row.2, "new") } else { *row });
    let changed: Vec<Row<'_>> = changed.collect();
    assert_ne!(import(&store, &archive(&changed), &description("b", &[])).unwrap().digest, first.digest);
}

#[test]
fn what_is_staged_is_tame() {
    let data = tempfile::tempdir().unwrap();
    let store = ImageStore::open(data.path()).unwrap();
    let mut staging = store.stage().unwrap();
    let mut steps = Vec::new();
    let unpacked = staging.unpack(archive(ROOT).as_slice(), &Bounds::STANDARD, &mut |step| steps.push(step)).unwrap();
    assert_eq!((unpacked.entries, unpacked.left_out, unpacked.tamed), (10, 1, 1));
    assert!(steps.iter().all(|step| matches!(step, Step::Unpacking(_))) && !steps.is_empty());
    let root = staging.root();
    let mode = |name: &str| fs::symlink_metadata(root.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("usr/bin/su"), mode("tmp"), mode("usr/bin/tool")), (0o755, 0o755, 0o755));
    assert_eq!(fs::metadata(root.join("usr/bin/other")).unwrap().nlink(), 2);
    for name in ["proc", "dev", "tmp", "work", "usr", "etc"] {
        assert!(fs::symlink_metadata(root.join(name)).unwrap().is_dir(), "{name}");
    }
    assert_eq!(fs::read_dir(root.join("dev")).unwrap().count(), 0);
    assert!(fs::read_to_string(root.join("etc/passwd")).unwrap().contains("\nkiln:x:1000:1000:"));
    drop(staging);
    assert_eq!(content(&store), Vec::<String>::new());
}

#[test]
fn files_of_kiln_replace_links_and_do_not_write_through_other_names() {
    let data = tempfile::tempdir().unwrap();
    let store = ImageStore::open(data.path()).unwrap();
    let rows = [
        ("etc/resolv.conf", EntryType::Symlink, 0o777, "../usr/kept"),
        ("usr/kept", EntryType::Regular, 0o644, "kept"),
        ("etc/hosts", EntryType::Link, 0o644, "usr/kept"),
    ];
    let staging = staged(&store, &rows).unwrap();
    assert_eq!(fs::read_to_string(staging.root().join("usr/kept")).unwrap(), "kept");
    let resolver = fs::symlink_metadata(staging.root().join("etc/resolv.conf")).unwrap();
    assert!(resolver.is_file() && resolver.len() == 0);
}

#[track_caller]
fn refuse(rows: &[Row<'_>], word: &str) {
    let data = tempfile::tempdir().unwrap();
    let store = ImageStore::open(data.path()).unwrap();
    let refused = staged(&store, rows).map(drop).unwrap_err().to_string();
    assert!(refused.contains(word), "{word}: {refused}");
    assert_eq!(content(&store), Vec::<String>::new(), "{word}");
}

#[test]
fn no_entry_leads_another_elsewhere() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let link = ("a", EntryType::Symlink, 0o777, target);
    let file = |name| (name, EntryType::Regular, 0o644, "planted");
    refuse(&[link, file("a/x")], "a/x: lies below a symbolic link");
    refuse(&[link, file("a/b/x")], "a/b/x: lies below a symbolic link");
    refuse(&[link, ("a/d/", EntryType::Directory, 0o755, "")], "a/d/: lies below a symbolic link");
    refuse(&[link, ("b", EntryType::Link, 0o644, "a/x")], "b: is a hard link to a/x, which is no file");
    refuse(&[link, file("a")], "a: comes twice");
    refuse(&[link, ("a/", EntryType::Directory, 0o755, "")], "a/: comes twice");
    refuse(&[("l", EntryType::Symlink, 0o777, "."), file("l/x")], "l/x: lies below a symbolic link");
    refuse(&[file("f"), file("f/x")], "f/x: lies below what is no directory");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn devices_pipes_and_false_mount_points_are_refused() {
    refuse(&[("usr/null", EntryType::Char, 0o666, "")], "usr/null: is a device");
    refuse(&[("disk", EntryType::Block, 0o666, "")], "disk: is a device");
    refuse(&[("pipe", EntryType::Fifo, 0o666, "")], "pipe: is a named pipe");
    for name in ["dev", "proc", "sys", "tmp", "work", "etc", "usr"] {
        refuse(&[(name, EntryType::Symlink, 0o777, "/")], "is no directory of the image itself");
        refuse(&[(name, EntryType::Regular, 0o644, "x")], "is no directory of the image itself");
    }
    refuse(&[("etc/passwd/", EntryType::Directory, 0o755, "")], "etc/passwd: is a directory");
}

#[test]
fn names_that_come_twice_and_links_to_nothing_are_refused() {
    let file = ("f", EntryType::Regular, 0o644, "1");
    refuse(&[file, file], "f: comes twice");
    refuse(&[("h", EntryType::Link, 0o644, "f"), file], "h: is a hard link to f, which is no file before it");
    refuse(&[("d/", EntryType::Directory, 0o755, ""), ("h", EntryType::Link, 0o644, "d")], "which is no file");
    refuse(&[("h", EntryType::Link, 0o644, "./")], "which is no file");
    refuse(&[], "has nothing in it");
}

#[test]
fn a_dead_staging_is_removed_by_the_next_one_and_a_living_one_is_not() {
    let data = tempfile::tempdir().unwrap();
    let store = ImageStore::open(data.path()).unwrap();
    fs::create_dir_all(store.path().join("staging-dead/root/usr")).unwrap();
    let living = store.stage().unwrap();
    assert_eq!(content(&store).len(), 1);
    let other = store.stage().unwrap();
    assert_eq!(content(&store).len(), 2);
    assert!(store.garbage().unwrap().is_empty());
    drop((living, other));
    assert_eq!(content(&store), Vec::<String>::new());
}

#[test]
fn halves_tags_of_nothing_and_nameless_images_are_garbage() {
    let data = tempfile::tempdir().unwrap();
    let store = ImageStore::open(data.path()).unwrap();
    let made = import(&store, &archive(ROOT), &description("a", &[])).unwrap();
    let whole = content(&store);
    for half in [format!("{}.erofs", "1".repeat(64)), format!("{}.json", "2".repeat(64)), String::from("tags/x:1")] {
        fs::File::create(store.path().join(half)).unwrap();
    }
    let digits = format!("{}\n", "3".repeat(64));
    std::io::Write::write_all(&mut fs::File::create(store.path().join("tags/y:1")).unwrap(), digits.as_bytes())
        .unwrap();
    let garbage = store.sweep().unwrap();
    assert_eq!((garbage.halves.len(), garbage.tags.len(), garbage.images.len()), (2, 1, 0));
    fs::remove_file(store.path().join("tags/x:1")).unwrap();
    assert_eq!(content(&store), whole);
    store.remove_name(&"a".parse().unwrap()).unwrap();
    assert_eq!(store.garbage().unwrap().images, [made.digest]);
}

#[test]
fn a_removed_image_leaves_nothing_and_one_that_a_spawner_serves_stays() {
    let data = tempfile::tempdir().unwrap();
    let store = ImageStore::open(data.path()).unwrap();
    import(&store, &archive(ROOT), &description("a", &["b"])).unwrap();
    let spawner = fs::File::open(store.path().join("in-use")).unwrap();
    spawner.lock_shared().unwrap();
    let Some(Removal::Name(name)) = store.holdings().unwrap().asked("b") else { panic!("not a name") };
    store.remove_name(&name).unwrap();
    let Some(Removal::Image(digest, names)) = store.holdings().unwrap().asked("a") else { panic!("not an image") };
    assert_eq!(store.remove_unserved(&digest, &names).unwrap(), Attempt::Served);
    assert_eq!(content(&store).len(), 3);
    drop(spawner);
    // Another test's child process may hold a copy of the descriptor until its exec.
    let removed = std::iter::repeat_with(|| store.remove_unserved(&digest, &names).unwrap());
    let tried = removed.inspect(|_| std::thread::yield_now()).take(100_000);
    assert!(tried.into_iter().any(|attempt| attempt == Attempt::Removed));
    assert_eq!(content(&store), Vec::<String>::new());
}

#[test]
fn a_changed_image_is_found_and_mended_by_the_same_archive() {
    let data = tempfile::tempdir().unwrap();
    let store = ImageStore::open(data.path()).unwrap();
    let made = import(&store, &archive(ROOT), &description("a", &[])).unwrap();
    let file = store.path().join(format!("{}.erofs", made.digest.digits()));
    let conditions = || {
        let found = verify::verify(&store, &verify::everything(&store).unwrap(), 1, &|_| {}).unwrap();
        found.into_iter().map(|one| one.condition).collect::<Vec<_>>()
    };
    let mut bytes = fs::read(&file).unwrap();
    bytes[2000] ^= 1;
    fs::remove_file(&file).unwrap();
    std::io::Write::write_all(&mut fs::File::create(&file).unwrap(), &bytes).unwrap();
    assert_eq!(conditions(), [Condition::Changed]);
    import(&store, &archive(ROOT), &description("a", &[])).unwrap();
    assert_eq!(conditions(), [Condition::Whole]);
    fs::remove_file(&file).unwrap();
    assert_eq!(conditions(), [Condition::NoFile]);
    symlink("/dev/zero", &file).unwrap();
    assert!(matches!(conditions()[..], [Condition::Unreadable(_)]));
}

#[test]
fn a_store_that_others_may_write_to_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let path = ImageStore::open(data.path()).unwrap().path().to_path_buf();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o775)).unwrap();
    assert!(ImageStore::open(data.path()).unwrap_err().to_string().contains("chmod go-w"));
    fs::remove_dir_all(&path).unwrap();
    symlink("/tmp", &path).unwrap();
    assert!(ImageStore::open(data.path()).is_err());
}
