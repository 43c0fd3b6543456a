//! `kiln config`: what the settings are, whether they may be served, which there are.
//!
//! Not here: what a setting is (`config`).
use clap::Subcommand;

use crate::cli::answer::{complain, printed, refused};
use crate::cli::exit::Exit;
use crate::cli::serve::languages;
use crate::cli::surroundings::{SettingArguments, Surroundings};
use crate::config::layers::Sources;
use crate::config::{Config, render};

/// What is wanted.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Say whether `kiln serve` would take the settings: every fault, and what has no effect
    Check(SettingArguments),
    /// Print the settings in force as YAML, each with where it comes from; secrets are masked
    Show(SettingArguments),
    /// Print a YAML file with every setting, its default and its meaning
    Default,
    /// Print the reference of all settings as Markdown
    #[command(hide = true)]
    Docs,
}

pub(super) fn run(command: ConfigCommand, surroundings: Surroundings) -> Exit {
    match command {
        ConfigCommand::Check(arguments) => check(&arguments.sources(surroundings)),
        ConfigCommand::Show(arguments) => show(&arguments.sources(surroundings)),
        ConfigCommand::Default => printed(&render::default()),
        ConfigCommand::Docs => printed(&render::reference()),
    }
}

fn check(sources: &Sources) -> Exit {
    let config = match Config::load(sources) {
        Ok(config) => config,
        Err(faults) => return refused(&faults),
    };
    let mut exit = Exit::Ok;
    for warning in config.warnings() {
        exit = complain(&format!("warning: {}: {}", warning.key, warning.message), exit);
    }
    let refusals = config.refusals();
    if !refusals.is_empty() {
        exit = refused(&refusals);
    }
    languages(&config).map_or_else(|faulty| faulty, |_well| exit)
}

fn show(sources: &Sources) -> Exit {
    match Config::load(sources) {
        Ok(config) => printed(&render::effective(config.settings())),
        Err(faults) => refused(&faults),
    }
}
