//! What is removed from a new root: what a job never needs, and what would differ from one build to the next.
//!
//! Nothing outside of the root is touched: patterns are looked up in real directories only, and no link is followed.
//! Whatever changes who a program is (set-user-id, set-group-id) goes as well. Licences stay.
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Removed from every image.
const ALWAYS: &[&str] = &[
    // The package manager, its state, and what packages tell it.
    "etc/apt",
    "etc/dpkg",
    "usr/bin/apt*",
    "usr/bin/deb-*",
    "usr/bin/debconf*",
    "usr/bin/dpkg*",
    "usr/lib/apt",
    "usr/lib/dpkg",
    "usr/share/debconf",
    "usr/share/dpkg",
    "usr/share/keyrings",
    "usr/share/perl5/Debconf",
    "var/lib/apt",
    "var/lib/dpkg",
    "var/lib/ucf",
    // Documents, and texts in other languages than English.
    "usr/share/bug",
    "usr/share/doc-base",
    "usr/share/groff",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    // For somebody at a terminal or a screen.
    "usr/share/applications",
    "usr/share/bash-completion",
    "usr/share/fish",
    "usr/share/icons",
    "usr/share/menu",
    "usr/share/pixmaps",
    "usr/share/zsh",
    // For a system that is booted, administered and logged in to.
    "etc/cron*",
    "etc/default",
    "etc/init.d",
    "etc/issue*",
    "etc/kernel",
    "etc/logrotate.d",
    "etc/motd",
    "etc/pam*",
    "etc/rc*.d",
    "etc/security",
    "etc/selinux",
    "etc/skel",
    "etc/systemd",
    "etc/update-motd.d",
    "usr/lib/init",
    "usr/lib/pam.d",
    "usr/lib/systemd",
    "usr/lib/sysusers.d",
    "usr/lib/tmpfiles.d",
    "usr/lib/udev",
    "usr/lib/*/security",
    "usr/sbin/*",
    "usr/share/pam*",
    "var/lib/pam",
    "var/lib/systemd",
    // What says which machine this is, and accounts that are kiln's to write.
    "etc/.pwd.lock",
    "etc/fstab",
    "etc/group-",
    "etc/gshadow*",
    "etc/machine-id",
    "etc/passwd-",
    "etc/shadow*",
    "etc/subgid*",
    "etc/subuid*",
    // What programs make by themselves, or that a sandbox has of its own.
    "boot/*",
    "home/*",
    "media/*",
    "mnt/*",
    "opt/*",
    "root/*",
    "run/*",
    "srv/*",
    "usr/local/*/*",
    "var/backups/*",
    "var/cache/*",
    "var/log/*",
    "var/mail/*",
    "var/spool/*",
    "var/tmp/*",
];

/// Of what is removed above, this stays: Python's ctypes asks it where a library is.
const KEPT: &[&str] = &["usr/sbin/ldconfig"];

/// Of documents, these stay.
const DOCUMENTS: (&str, &str) = ("usr/share/doc/*/*", "copyright");

/// Bits that let a program be somebody else.
const ANOTHER_USER: u32 = 0o6000;

/// Strips a root.
///
/// # Errors
/// When something cannot be removed.
pub(super) fn strip(root: &Path, own: &[String]) -> io::Result<()> {
    let kept: Vec<PathBuf> = KEPT.iter().map(|path| root.join(path)).collect();
    for pattern in ALWAYS.iter().copied().chain(own.iter().map(String::as_str)) {
        for path in found(root, pattern)?.iter().filter(|path| !kept.contains(path)) {
            remove(path)?;
        }
    }
    let (documents, licence) = DOCUMENTS;
    for path in found(root, documents)?.iter().filter(|path| !path.ends_with(licence)) {
        remove(path)?;
    }
    tame(root)
}

/// The paths in a root that a pattern means.
fn found(root: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    let mut paths = vec![root.to_path_buf()];
    for part in pattern.split('/') {
        let mut next = Vec::new();
        for folder in paths.iter().filter(|path| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())) {
            for entry in fs::read_dir(folder)? {
                let name = entry?.file_name();
                if name.to_str().is_some_and(|name| matches(part, name)) {
                    next.push(folder.join(name));
                }
            }
        }
        paths = next;
    }
    Ok(paths)
}

/// Whether a name is as a pattern says, where `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(before) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| {
        let (_any, rest) = rest.split_at(at);
        matches(after, rest)
    })
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// Removes every file that would run as somebody else.
fn tame(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let found = fs::symlink_metadata(&path)?;
        if found.is_dir() {
            tame(&path)?;
        } else if found.is_file() && found.permissions().mode() & ANOTHER_USER != 0 {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod test {
    use std::os::unix::fs::symlink;

    use super::*;

    fn root(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for path in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::File::create(path).unwrap();
        }
        root
    }

    fn left(root: &Path) -> Vec<String> {
        let entries = walkdir::WalkDir::new(root).sort_by_file_name().into_iter().map(Result::unwrap);
        let files = entries.filter(|entry| !entry.file_type().is_dir());
        files.map(|entry| entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_no_job_needs_goes_and_the_rest_stays() {
        let root = root(&[
            "usr/bin/dpkg-query",
            "usr/bin/python3",
            "usr/sbin/ldconfig",
            "usr/sbin/mkfs",
            "usr/share/doc/bash/README",
            "usr/share/doc/bash/copyright",
            "usr/lib/python3.13/test/a.py",
            "usr/lib/python3.13/os.py",
            "var/log/apt/history.log",
            "etc/shadow",
            "etc/passwd",
        ]);
        strip(root.path(), &[String::from("usr/lib/python3*/test")]).unwrap();
        let wanted = [
            "etc/passwd",
            "usr/bin/python3",
            "usr/lib/python3.13/os.py",
            "usr/sbin/ldconfig",
            "usr/share/doc/bash/copyright",
        ];
        assert_eq!(left(root.path()), wanted);
    }

    #[test]
    fn what_would_run_as_somebody_else_goes() {
        let root = root(&["usr/bin/su", "usr/bin/wall", "usr/bin/true"]);
        for (name, mode) in [("su", 0o4755), ("wall", 0o2755), ("true", 0o755)] {
            fs::set_permissions(root.path().join("usr/bin").join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        strip(root.path(), &[]).unwrap();
        assert_eq!(left(root.path()), ["usr/bin/true"]);
    }

    #[test]
    fn nothing_is_removed_through_a_link() {
        let outside = root(&["kept/file"]);
        let root = root(&["usr/share/real/file"]);
        symlink(outside.path(), root.path().join("usr/share/link")).unwrap();
        symlink(outside.path().join("kept"), root.path().join("usr/share/real/folder")).unwrap();
        strip(root.path(), &[String::from("usr/share/link/kept"), String::from("usr/share/real/*")]).unwrap();
        assert_eq!(left(outside.path()), ["kept/file"]);
        assert_eq!(left(root.path()), ["usr/share/link"]);
    }

    #[test]
    fn a_star_stands_for_any_text_of_one_name() {
        for (pattern, name) in [("a", "a"), ("a*", "a"), ("a*", "abc"), ("*c", "abc"), ("a*c*e", "abcde"), ("*", ".x")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("a*", "ba"), ("*c", "abcd"), ("a*c*e", "abde"), ("", "a")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
