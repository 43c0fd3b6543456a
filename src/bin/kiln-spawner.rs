//! The privileged helper: builds and ends sandboxes for one `kiln serve`, and does nothing else.
use std::process::ExitCode;

use kiln::spawner::options::Options;

/// Wrong arguments (sysexits.h `EX_USAGE`).
const USAGE: u8 = 64;
/// The host lacks something (`EX_UNAVAILABLE`).
const UNAVAILABLE: u8 = 69;

fn main() -> ExitCode {
    kiln::spawner::start_log();
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(usage) => {
            tracing::error!("{usage}");
            return ExitCode::from(USAGE);
        }
    };
    match kiln::spawner::run_on_standard_input(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(UNAVAILABLE)
        }
    }
}
