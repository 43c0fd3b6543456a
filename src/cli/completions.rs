//! `kiln completions`: a script that lets a shell complete kiln's command line.
use std::io;

use clap::{Command, ValueEnum};
use clap_complete::{Shell as Generator, generate};

use crate::cli::answer::printed;
use crate::cli::exit::Exit;

/// A shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script for this shell.
pub(super) fn run(shell: Shell, mut command: Command) -> Exit {
    printed(&script(shell, &mut command))
}

fn script(shell: Shell, command: &mut Command) -> String {
    let generator = match shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
    };
    let mut script = io::Cursor::new(Vec::new());
    generate(generator, command, "kiln", &mut script);
    String::from_utf8_lossy(&script.into_inner()).into_owned()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_script_knows_every_command() {
        for shell in Shell::value_variants() {
            let script = script(*shell, &mut crate::cli::command());
            for command in crate::cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
                assert!(script.contains(command.get_name()), "{shell:?}: {}", command.get_name());
            }
        }
    }
}
