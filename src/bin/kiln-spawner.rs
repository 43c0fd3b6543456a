//! The privileged helper: builds and ends sandboxes for one `kiln serve`, and does nothing else.
use std::process::ExitCode;

use kiln::spawner::options::{Options, Server};

/// Wrong arguments (sysexits.h `EX_USAGE`).
const USAGE: u8 = 64;
/// The host lacks something (`EX_UNAVAILABLE`).
const UNAVAILABLE: u8 = 69;

fn main() -> ExitCode {
    kiln::spawner::start_log();
    let outcome = match Options::parse(std::env::args().skip(1)) {
        Ok(Options { server: Server::OnStandardInput(instance), images }) => {
            kiln::spawner::run_on_standard_input(instance, images.as_deref())
        }
        Ok(Options { server: Server::AsService, images }) => {
            kiln::spawner::run_as_a_service(images.as_deref(), &|name| std::env::var_os(name)?.into_string().ok())
        }
        Err(usage) => {
            tracing::error!("{usage}");
            return ExitCode::from(USAGE);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(UNAVAILABLE)
        }
    }
}
