//! Archives that an attacker might write, each made by code, and what is said of each.
use tar::{EntryType, Header};

use super::*;
use crate::base::size::ByteSize;

/// What members there were, and how long their content was.
#[derive(Debug, Default)]
struct Seen(Vec<(String, u64)>);

impl Sink for Seen {
    fn take(&mut self, member: &Member, content: &mut dyn Read) -> Result<(), Refusal> {
        let length = io::copy(content, &mut io::sink()).map_err(|error| Refusal::Failed(damaged(&error)))?;
        self.0.push((member.path.as_str().to_owned(), length));
        Ok(())
    }
}

fn walk(archive: &[u8], bounds: &Bounds) -> Result<Vec<(String, u64)>, String> {
    let mut seen = Seen::default();
    read(archive, bounds, &mut seen).map(|()| seen.0).map_err(|error| error.to_string())
}

/// One entry with its content, padded.
fn entry(name: &[u8], kind: EntryType, link: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(content.len().try_into().unwrap());
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &[u8], content: &[u8]) -> Vec<u8> {
    entry(name, EntryType::Regular, b"", content)
}

fn end() -> Vec<u8> {
    vec![0; 1024]
}

#[track_caller]
fn check(entries: &[Vec<u8>], expected: &[(&str, u64)]) {
    let archive = [entries.concat(), end()].concat();
    let expected: Vec<(String, u64)> = expected.iter().map(|(name, length)| ((*name).to_owned(), *length)).collect();
    assert_eq!(walk(&archive, &Bounds::STANDARD), Ok(expected));
}

#[track_caller]
fn refuse(entries: &[Vec<u8>], words: &[&str]) {
    let refused = walk(&[entries.concat(), end()].concat(), &Bounds::STANDARD).unwrap_err();
    for word in words {
        assert!(refused.contains(word), "{word}: {refused}");
    }
}

#[test]
fn long_names_are_read_in_both_forms() {
    let long = format!("usr/{}/x", "l".repeat(120));
    let gnu = entry(b"././@LongLink", EntryType::GNULongName, b"", format!("{long}\0").as_bytes());
    check(&[gnu, file(b"short", b"abc")], &[(&long, 3)]);
    let record = format!("path={long}\n");
    let pax = entry(b"x", EntryType::XHeader, b"", format!("{} {record}", record.len() + 4).as_bytes());
    check(&[pax, file(b"short", b"")], &[(&long, 0)]);
}

#[test]
fn a_name_given_ahead_is_that_of_one_entry_only() {
    let ahead = entry(b"x", EntryType::GNULongName, b"", b"a/b");
    check(&[ahead, file(b"x", b""), file(b"y", b"")], &[("a/b", 0), ("y", 0)]);
}

#[test]
fn extended_attributes_with_line_feeds_in_them_are_passed_over() {
    let record = b"31 SCHILY.xattr.security.c=\n\n1\n";
    assert_eq!(record.len(), 31);
    check(&[entry(b"x", EntryType::XHeader, b"", record), file(b"a", b"1")], &[("a", 1)]);
    check(&[entry(b"g", EntryType::XGlobalHeader, b"", b"12 comment=\n"), file(b"a", b"1")], &[("a", 1)]);
}

#[test]
fn every_fault_is_told_with_the_name_of_its_entry() {
    let entries = [
        file(b"../escape", b""),
        file(b"/etc/passwd", b""),
        file(b"new\nline", b""),
        entry(b"sparse", EntryType::GNUSparse, b"", b""),
        entry(b"volume", EntryType::new(b'V'), b"", b""),
        entry(b"link", EntryType::Link, b"../../etc/shadow", b""),
        entry(b"empty", EntryType::Symlink, b"", b""),
    ];
    refuse(
        &entries,
        &[
            "../escape: climbs out",
            "/etc/passwd: is absolute",
            "new\\nline: has control characters",
            "sparse: is a file with holes",
            "volume: is of the type 'V'",
            "link: is a hard link to a name that climbs out",
            "empty: is a symbolic link to nothing",
        ],
    );
}

#[test]
fn only_so_many_faults_are_told() {
    let entries = vec![file(b"/x", b""); 1000];
    let refused = walk(&entries.concat(), &Bounds::STANDARD).unwrap_err();
    assert_eq!(refused.matches("is absolute").count(), FAULTS_AT_MOST);
}

#[test]
fn sizes_that_contradict_each_other_are_refused() {
    let ahead = entry(b"x", EntryType::XHeader, b"", b"12 size=600\n");
    refuse(&[ahead, file(b"a", b"1")], &["says two sizes of a"]);
    let agreeing = entry(b"x", EntryType::XHeader, b"", b"10 size=1\n");
    check(&[agreeing, file(b"a", b"1")], &[("a", 1)]);
    refuse(&[entry(b"g", EntryType::XGlobalHeader, b"", b"11 path=ab\n"), file(b"a", b"")], &["for all its entries"]);
}

#[test]
fn an_extended_header_that_would_fill_the_memory_is_not_read() {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::XHeader);
    header.set_size(1 << 40);
    header.set_cksum();
    refuse(&[header.as_bytes().to_vec()], &["an extended header of 1099511627776 bytes"]);
}

#[test]
fn an_archive_that_was_cut_off_anywhere_is_refused() {
    let whole = [file(b"a", &[7; 700]), file(b"b", b"1")].concat();
    for length in (0..whole.len()).step_by(100).chain([whole.len()]) {
        let refused = walk(&whole[..length], &Bounds::STANDARD).unwrap_err();
        assert!(refused.contains("cut off"), "{length}: {refused}");
    }
    let ahead = entry(b"x", EntryType::GNULongName, b"", b"a");
    refuse(&[ahead], &["has no end"]);
}

#[test]
fn what_follows_the_end_is_not_left_out_silently() {
    let two = [file(b"a", b""), end(), file(b"b", b"")].concat();
    assert!(walk(&two, &Bounds::STANDARD).unwrap_err().contains("several archives"));
}

#[test]
fn what_is_no_archive_is_refused() {
    let text = b"This is a letter to you. ".repeat(100);
    assert!(walk(&text, &Bounds::STANDARD).unwrap_err().contains("no tar archive"));
}

#[test]
fn layouts_of_images_are_refused_by_name() {
    for name in ["oci-layout", "manifest.json", "./index.json"] {
        refuse(&[file(name.as_bytes(), b"{}")], &["docker export", "not built yet"]);
    }
}

#[test]
fn entries_and_bytes_have_bounds() {
    let many: Vec<u8> = [vec![file(b"a", &[1; 600]); 10].concat(), end()].concat();
    let few = Bounds { entries: 9, ..Bounds::STANDARD };
    assert!(walk(&many, &few).unwrap_err().contains("more than 9 entries"));
    let small = Bounds { size: ByteSize::kib(4), ..Bounds::STANDARD };
    assert!(walk(&many, &small).unwrap_err().contains("more than 4 KiB"));
}
