//! `kiln serve` and `kiln doctor`: both look at the settings and at the host.
use std::io;

use crate::cli::answer::{complain, refused, written};
use crate::cli::doctor;
use crate::cli::exit::Exit;
use crate::config::Config;
use crate::config::layers::Sources;
use crate::daemon::DaemonError;
use crate::daemon::service::Service;
use crate::lang::{Languages, folder};
use crate::telemetry;

pub(super) fn serve(sources: &Sources) -> Exit {
    let config = match Config::load(sources) {
        Ok(config) => config,
        Err(faults) => return refused(&faults),
    };
    let refusals = config.refusals();
    if !refusals.is_empty() {
        return refused(&refusals);
    }
    let languages = match languages(&config) {
        Ok(languages) => languages,
        Err(exit) => return exit,
    };
    // A spawner that is a unit of its own has the privileges, and answers for them.
    if config.sandbox.spawner_socket.is_none()
        && let Err(exit) = able(&config, &languages)
    {
        return exit;
    }
    if let Err(error) = telemetry::start(&config.log) {
        return complain(&error, Exit::Configuration);
    }
    match Service::find(&|name| sources.environment.get(name).cloned()) {
        Ok(service) => ended(crate::daemon::run(config, &languages, service)),
        Err(error) => complain(&error, Exit::Unavailable),
    }
}

/// The doctor's lines where this host cannot run sandboxes.
fn able(config: &Config, languages: &Languages) -> Result<(), Exit> {
    let checks = diagnose(config, languages);
    if doctor::healthy(&checks) {
        return Ok(());
    }
    Err(written(doctor::print(&checks, &mut io::stderr()), Exit::Unavailable))
}

fn diagnose(config: &Config, languages: &Languages) -> Vec<doctor::judge::Check> {
    doctor::judge::judge(&doctor::facts::gather(&config.sandbox, &config.network, languages))
}

/// The embedded languages and the operator's; else every fault of these, one a line.
pub(super) fn languages(config: &Config) -> Result<Languages, Exit> {
    folder::load(&config.languages_dir).map_err(|faults| {
        let complaints = faults.into_vec().into_iter().map(|fault| format!("{}: {}", fault.field, fault.message));
        complaints.fold(Exit::Configuration, |exit, complaint| complain(&complaint, exit))
    })
}

pub(super) fn examine(sources: &Sources) -> Exit {
    let config = match Config::load(sources) {
        Ok(config) => config,
        Err(faults) => return refused(&faults),
    };
    let checks = match languages(&config) {
        Ok(languages) => diagnose(&config, &languages),
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

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn how_the_daemon_ended_decides_the_code() {
        assert_eq!(ended(Ok(())), Exit::Ok);
        assert_eq!(ended(Err(DaemonError::SpawnerLost)).number(), 75);
    }
}
