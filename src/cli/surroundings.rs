//! What surrounds a command: its environment, and the arguments that choose settings.
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::layers::Sources;

/// What surrounds the process.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The environment; what is not UTF-8 in it holds U+FFFD, which no setting takes.
    pub environment: BTreeMap<String, String>,
    /// The running program.
    pub executable: PathBuf,
}

impl Surroundings {
    /// Those of this process.
    pub(super) fn of_this_process() -> Self {
        let lossy = |text: OsString| text.to_string_lossy().into_owned();
        let environment = std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value)));
        Self {
            environment: environment.collect(),
            executable: std::env::current_exe().unwrap_or_else(|_unknown| PathBuf::from("/proc/self/exe")),
        }
    }
}

/// Arguments of the commands that read settings.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SettingArguments {
    /// Configuration file [default: that of the variable `KILN_CONFIG`, else /etc/kiln/kiln.yaml if there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one key, over file and environment; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl SettingArguments {
    /// Everything that settings come from.
    pub(super) fn sources(self, surroundings: Surroundings) -> Sources {
        let Surroundings { environment, executable } = surroundings;
        Sources { file: self.config, flags: self.set, environment, executable }
    }
}
