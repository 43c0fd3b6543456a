//! argv in, exit code out.
//!
//! [`main`] is the only place that reads the process's arguments and environment; everything
//! below takes them as values. One file for each group of commands.
//! Not here: what the commands do, beyond telling how it ended.
mod answer;
mod bench;
mod completions;
mod config;
pub mod doctor;
pub mod exit;
mod follow;
mod image;
mod interrupt;
mod job;
mod jobs;
mod manual;
mod remote;
mod run;
mod serve;
mod status;
pub mod surroundings;
mod table;
mod verify;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::cli::answer::{printed, written};
use crate::cli::bench::BenchArguments;
use crate::cli::completions::Shell;
use crate::cli::config::ConfigCommand;
use crate::cli::exit::Exit;
use crate::cli::image::ImageCommand;
use crate::cli::job::{JobArguments, LogArguments, RemoveArguments};
use crate::cli::jobs::ListArguments;
use crate::cli::run::RunArguments;
use crate::cli::status::ShowArguments;
use crate::cli::surroundings::{SettingArguments, Surroundings};
use crate::cli::table::Colours;

#[derive(Debug, Parser)]
#[command(name = "kiln", version, about = "Runs untrusted code in raw Linux isolation behind an HTTP API")]
#[command(after_help = "Exit codes: 0 well, 1 refused by the daemon, 2 usage, 3 and 4 of `kiln verify`: an \
                        attempt got through, or not every one was seen to be stopped, 69 missing privilege or kernel feature, or \
                        no daemon, 70 internal, 75 spawner lost, 77 not permitted, 78 configuration. `kiln run` has the \
                        program's, and some of its own: kiln run --help")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a program in a sandbox, with its input, output and exit code
    Run(Box<RunArguments>),
    /// List jobs, newest first
    Jobs(ListArguments),
    /// Show a job
    Job(JobArguments),
    /// Print what a job printed
    Logs(LogArguments),
    /// End a job
    Cancel(JobArguments),
    /// Remove ended jobs with all that they printed
    Rm(RemoveArguments),
    /// List the languages that there are
    Languages(ShowArguments),
    /// Show what a daemon does and how it is
    Status(ShowArguments),
    /// Attack the sandbox of a daemon, and show how each attempt was stopped
    Verify(ShowArguments),
    /// Measure how long jobs take, beside other ways to run the same
    Bench(Box<BenchArguments>),
    /// Build, import, list, verify and remove the images that jobs run in
    #[command(subcommand)]
    Image(ImageCommand),
    /// Serve the HTTP API
    #[command(visible_alias = "api")]
    Serve(SettingArguments),
    /// Check whether this host can run sandboxes, and say what to do where it cannot
    Doctor(SettingArguments),
    /// Show and check settings
    #[command(subcommand)]
    Config(ConfigCommand),
    #[command(about = "Print the OpenAPI document")]
    Openapi,
    /// Print a script that lets a shell complete this command line
    Completions { shell: Shell },
    /// Write the manual pages into a folder
    Manual { folder: PathBuf },
}

/// Reads the arguments and the environment, and runs.
pub fn main() -> ExitCode {
    run(std::env::args_os(), Surroundings::of_this_process()).into()
}

/// Runs a command line.
pub fn run(args: impl IntoIterator<Item = OsString>, surroundings: Surroundings) -> Exit {
    let asked = match Cli::try_parse_from(args) {
        Ok(Cli { command }) => command,
        Err(told) => {
            let exit = if told.use_stderr() { Exit::Usage } else { Exit::Ok };
            return written(told.print(), exit);
        }
    };
    let colours = || Colours::of(std::io::stdout().is_terminal(), &surroundings.environment);
    match asked {
        Command::Run(arguments) => run::run(&arguments, &surroundings),
        Command::Jobs(arguments) => jobs::run(&arguments, &surroundings, colours()),
        Command::Job(arguments) => job::show(&arguments, &surroundings, colours()),
        Command::Logs(arguments) => job::logs(&arguments, &surroundings),
        Command::Cancel(arguments) => job::cancel(&arguments, &surroundings),
        Command::Rm(arguments) => job::remove(&arguments, &surroundings),
        Command::Languages(arguments) => status::languages(&arguments, &surroundings, colours()),
        Command::Status(arguments) => status::status(&arguments, &surroundings, colours()),
        Command::Verify(arguments) => verify::run(&arguments, &surroundings, colours()),
        Command::Bench(arguments) => bench::run(&arguments, &surroundings, colours()),
        Command::Image(command) => image::run(command, &surroundings, colours()),
        Command::Serve(arguments) => serve::serve(&arguments.sources(surroundings)),
        Command::Doctor(arguments) => serve::examine(&arguments.sources(surroundings)),
        Command::Config(command) => config::run(command, surroundings),
        Command::Openapi => printed(&format!("{}\n", crate::api::document())),
        Command::Completions { shell } => completions::run(shell, command()),
        Command::Manual { folder } => manual::run(&folder, command()),
    }
}

/// The definition of the command line.
fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod test {
    use super::*;

    fn code(args: &[&str], environment: &[(&str, &str)]) -> u8 {
        let environment = environment.iter().map(|(k, v)| (String::from(*k), String::from(*v)));
        let executable = PathBuf::from("/nowhere/kiln");
        let surroundings = Surroundings { environment: environment.collect(), executable };
        run(args.iter().map(OsString::from), surroundings).number()
    }

    const LOCAL: [(&str, &str); 2] = [("KILN_API_AUTH_ENABLED", "false"), ("KILN_API_HOST", "127.0.0.1")];

    #[test]
    fn usage_has_its_own_code_and_help_is_none() {
        assert_eq!(code(&["kiln", "bake"], &[]), 2);
        assert_eq!(code(&["kiln"], &[]), 2);
        assert_eq!(code(&["kiln", "config"], &[]), 2);
        assert_eq!(code(&["kiln", "completions", "elvish"], &[]), 2);
        assert_eq!(code(&["kiln", "--version"], &[]), 0);
        assert_eq!(code(&["kiln", "serve", "--help"], &[]), 0);
    }

    #[test]
    fn settings_that_are_wrong_or_must_not_be_served_end_with_78() {
        assert_eq!(code(&["kiln", "serve"], &[("KILN_API_PORT", "x")]), 78);
        assert_eq!(code(&["kiln", "api"], &[]), 78);
        assert_eq!(code(&["kiln", "serve", "--config", "/nowhere/k.yaml"], &[]), 78);
        assert_eq!(code(&["kiln", "serve", "--set", "api.port=x"], &[]), 78);
        let open = [("KILN_API_AUTH_ENABLED", "false"), ("KILN_API_HOST", "0.0.0.0")];
        assert_eq!(code(&["kiln", "serve"], &open), 78);
        assert_eq!(code(&["kiln", "config", "check"], &open), 78);
        assert_eq!(code(&["kiln", "config", "check", "--config", "/nowhere/k.yaml"], &LOCAL), 78);
        assert_eq!(code(&["kiln", "config", "show"], &[("KILN_API_PORT", "x")]), 78);
    }

    #[test]
    fn what_is_asked_for_and_well_ends_with_0() {
        assert_eq!(code(&["kiln", "config", "check"], &LOCAL), 0);
        assert_eq!(code(&["kiln", "config", "check", "--set", "api.auth.enabled=false"], &[]), 0);
        assert_eq!(code(&["kiln", "config", "show"], &[]), 0);
        assert_eq!(code(&["kiln", "config", "default"], &[]), 0);
        assert_eq!(code(&["kiln", "config", "docs"], &[]), 0);
        for shell in ["bash", "zsh", "fish"] {
            assert_eq!(code(&["kiln", "completions", shell], &[]), 0);
        }
    }

    #[test]
    fn a_host_without_a_spawner_ends_with_69() {
        assert_eq!(code(&["kiln", "doctor"], &[]), 69);
        assert_eq!(code(&["kiln", "serve"], &LOCAL), 69);
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        command().debug_assert();
    }
}
