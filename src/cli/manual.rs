//! `kiln manual`: the manual pages, one for each command, made from the definition of the command line.
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use clap::Command;
use clap_mangen::Man;

use crate::cli::answer::complain;
use crate::cli::exit::Exit;

/// Writes the pages into this folder: `kiln.1`, `kiln-run.1` and so on (man-pages(7)).
pub(super) fn run(folder: &Path, command: Command) -> Exit {
    for (name, page) in pages(command) {
        let path = folder.join(name);
        if let Err(error) = File::create(&path).and_then(|mut file| file.write_all(page.as_bytes())) {
            return complain(&format_args!("{}: {error}", path.display()), Exit::Unavailable);
        }
    }
    Exit::Ok
}

/// Names and texts, for a command and all below it.
fn pages(command: Command) -> Vec<(String, String)> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add(&command, &mut pages);
    pages
}

fn add(command: &Command, pages: &mut Vec<(String, String)>) {
    // Without a date: the same source makes the same page.
    let man = Man::new(command.clone()).date("").source(concat!("kiln ", env!("CARGO_PKG_VERSION"))).manual("kiln");
    let mut page = Vec::new();
    // Writing into memory does not fail.
    if man.render(&mut page).is_ok() {
        // What the help says after the options is always about exit codes.
        let page = String::from_utf8_lossy(&page).replace("\n.SH EXTRA\nExit codes: ", "\n.SH \"EXIT STATUS\"\n");
        pages.push((man.get_filename(), page));
    }
    for part in command.get_subcommands().filter(|part| !part.is_hide_set()) {
        add(part, pages);
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn text_of(page: &str) -> String {
        let pages = pages(crate::cli::command());
        pages.into_iter().find(|(name, _)| name == page).unwrap_or_else(|| panic!("no {page}")).1
    }

    #[test]
    fn every_command_has_a_page_that_the_first_one_names() {
        let first = text_of("kiln.1");
        for command in crate::cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let page = text_of(&format!("kiln-{}.1", command.get_name()));
            assert!(page.contains(".SH SYNOPSIS") && page.contains(".SH OPTIONS"), "{page}");
            assert!(first.contains(&format!("kiln\\-{}(1)", command.get_name())), "{first}");
        }
    }

    #[test]
    fn exit_codes_stand_under_their_own_heading() {
        for page in ["kiln.1", "kiln-run.1", "kiln-bench.1"] {
            let text = text_of(page);
            assert!(text.contains(".SH \"EXIT STATUS\"") && !text.contains("EXTRA"), "{text}");
        }
    }

    #[test]
    fn commands_below_a_command_have_their_own() {
        assert!(text_of("kiln-image-build.1").contains("kiln image build"));
    }

    #[test]
    fn pages_are_written_and_a_folder_that_is_not_there_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(run(folder.path(), crate::cli::command()), Exit::Ok);
        assert!(folder.path().join("kiln-serve.1").metadata().unwrap().len() > 500);
        assert_eq!(run(&folder.path().join("none"), crate::cli::command()), Exit::Unavailable);
    }
}
