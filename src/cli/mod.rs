//! argv in, exit code out.
//!
//! [`main`] is the only place that reads the process's arguments and environment; everything
//! below takes them as values. Not here: what the commands do, beyond telling how it ended.
pub mod doctor;
pub mod exit;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::base::fault::Faults;
use crate::cli::exit::Exit;
use crate::config::Config;
use crate::config::layers::Sources;
use crate::daemon::DaemonError;
use crate::lang::Languages;
use crate::telemetry;

#[derive(Debug, Parser)]
#[command(name = "kiln", version, about = "Runs untrusted code in raw Linux isolation behind an HTTP API")]
#[command(after_help = "Exit codes: 0 well, 2 usage, 69 missing privilege or kernel feature, \
                        70 internal, 75 spawner lost, 78 configuration")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API
    #[command(visible_alias = "api")]
    Serve(File),
    /// Check whether this host can run sandboxes, and say what to do where it cannot
    Doctor(File),
    #[command(about = "Print the OpenAPI document")]
    Openapi,
}

#[derive(Debug, clap::Args)]
struct File {
    /// Configuration file [default: that of the variable `KILN_CONFIG`, else /etc/kiln/kiln.yaml if there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What surrounds the process.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The environment; what is not UTF-8 in it holds U+FFFD, which no setting takes.
    pub environment: BTreeMap<String, String>,
    /// The running program.
    pub executable: PathBuf,
}

/// Reads the arguments and the environment, and runs.
pub fn main() -> ExitCode {
    let lossy = |text: OsString| text.to_string_lossy().into_owned();
    let environment = std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value)));
    let surroundings = Surroundings {
        environment: environment.collect(),
        executable: std::env::current_exe().unwrap_or_else(|_unknown| PathBuf::from("/proc/self/exe")),
    };
    run(std::env::args_os(), surroundings).into()
}

/// Runs a command line.
pub fn run(args: impl IntoIterator<Item = OsString>, surroundings: Surroundings) -> Exit {
    match Cli::try_parse_from(args) {
        Ok(Cli { command: Command::Serve(file) }) => serve(&sources(file, surroundings)),
        Ok(Cli { command: Command::Doctor(file) }) => examine(&sources(file, surroundings)),
        Ok(Cli { command: Command::Openapi }) => {
            written(writeln!(io::stdout(), "{}", crate::api::document()), Exit::Ok)
        }
        Err(told) => {
            let exit = if told.use_stderr() { Exit::Usage } else { Exit::Ok };
            written(told.print(), exit)
        }
    }
}

fn sources(file: File, surroundings: Surroundings) -> Sources {
    let Surroundings { environment, executable } = surroundings;
    Sources { file: file.config, environment, executable }
}

fn serve(sources: &Sources) -> Exit {
    let config = match Config::load(sources) {
        Ok(config) => config,
        Err(faults) => return refused(&faults),
    };
    let refusals = config.refusals();
    if !refusals.is_empty() {
        return refused(&refusals);
    }
    // A spawner that is a unit of its own has the privileges, and answers for them.
    if config.sandbox.spawner_socket.is_none()
        && let Err(exit) = able(&config)
    {
        return exit;
    }
    if let Err(error) = telemetry::start(&config.log) {
        return complain(&error, Exit::Configuration);
    }
    let warnings = config.warnings().to_vec();
    ended(crate::daemon::run(config, &warnings))
}

/// The doctor's lines where this host cannot run sandboxes.
fn able(config: &Config) -> Result<(), Exit> {
    let checks = diagnose(config)?;
    if doctor::healthy(&checks) {
        return Ok(());
    }
    Err(written(doctor::print(&checks, &mut io::stderr()), Exit::Unavailable))
}

fn diagnose(config: &Config) -> Result<Vec<doctor::judge::Check>, Exit> {
    let languages = Languages::embedded().map_err(|faults| complain(&faults, Exit::Internal))?;
    Ok(doctor::judge::judge(&doctor::facts::gather(&config.sandbox.spawner_path, &languages)))
}

fn examine(sources: &Sources) -> Exit {
    let config = match Config::load(sources) {
        Ok(config) => config,
        Err(faults) => return refused(&faults),
    };
    let checks = match diagnose(&config) {
        Ok(checks) => checks,
        Err(exit) => return exit,
    };
    let exit = if doctor::healthy(&checks) { Exit::Ok } else { Exit::Unavailable };
    written(doctor::print(&checks, &mut io::stdout()), exit)
}

fn ended(result: Result<(), DaemonError>) -> Exit {
    let Err(error) = result else { return Exit::Ok };
    let exit = match &error {
        DaemonError::Unavailable { .. } => Exit::Unavailable,
        DaemonError::SpawnerLost => Exit::SpawnerLost,
        DaemonError::Configuration { .. } => Exit::Configuration,
        DaemonError::Internal { .. } => Exit::Internal,
    };
    complain(&error, exit)
}

/// One line a fault: all of them at once.
fn refused(faults: &Faults) -> Exit {
    let mut exit = Exit::Configuration;
    for fault in faults.as_slice() {
        exit = complain(&format!("{}: {}", fault.field, fault.message), exit);
    }
    exit
}

fn complain(what: &dyn Display, exit: Exit) -> Exit {
    written(writeln!(io::stderr(), "kiln: {what}"), exit)
}

/// A reader that went away (`kiln doctor | head`) makes the answer no other; any other failure to
/// write an answer that was well is one.
fn written(result: io::Result<()>, exit: Exit) -> Exit {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe && exit == Exit::Ok => Exit::Internal,
        Ok(()) | Err(_) => exit,
    }
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

    #[test]
    fn usage_has_its_own_code_and_help_is_none() {
        assert_eq!(code(&["kiln", "bake"], &[]), 2);
        assert_eq!(code(&["kiln"], &[]), 2);
        assert_eq!(code(&["kiln", "--version"], &[]), 0);
        assert_eq!(code(&["kiln", "serve", "--help"], &[]), 0);
    }

    #[test]
    fn settings_that_are_wrong_or_must_not_be_served_end_with_78() {
        assert_eq!(code(&["kiln", "serve"], &[("KILN_API_PORT", "x")]), 78);
        assert_eq!(code(&["kiln", "api"], &[]), 78);
        assert_eq!(code(&["kiln", "serve", "--config", "/nowhere/k.yaml"], &[]), 78);
        let open = [("KILN_API_AUTH_ENABLED", "false"), ("KILN_API_HOST", "0.0.0.0")];
        assert_eq!(code(&["kiln", "serve"], &open), 78);
    }

    #[test]
    fn a_host_without_a_spawner_ends_with_69() {
        assert_eq!(code(&["kiln", "doctor"], &[]), 69);
        let local = [("KILN_API_AUTH_ENABLED", "false"), ("KILN_API_HOST", "127.0.0.1")];
        assert_eq!(code(&["kiln", "serve"], &local), 69);
    }

    #[test]
    fn how_the_daemon_ended_decides_the_code() {
        assert_eq!(ended(Ok(())), Exit::Ok);
        assert_eq!(ended(Err(DaemonError::SpawnerLost)).number(), 75);
    }

    #[test]
    fn a_reader_that_went_away_changes_no_code() {
        let gone = || Err(io::ErrorKind::BrokenPipe.into());
        assert_eq!(written(gone(), Exit::Ok), Exit::Ok);
        assert_eq!(written(Err(io::ErrorKind::StorageFull.into()), Exit::Ok), Exit::Internal);
        assert_eq!(written(gone(), Exit::Unavailable), Exit::Unavailable);
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
