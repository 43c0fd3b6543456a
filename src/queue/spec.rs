//! What was in force for a phase of a job, in the form of the OCI runtime specification.
use oci_spec::runtime::Spec;

use super::outcome::PhaseLimits;
use super::program;
use super::run::{network_of, sandbox_limits};
use super::runtimes::Runtimes;
use crate::base::id::TreeId;
use crate::job::record::Record;
use crate::launch;
use crate::oci::{self, Facts};
use crate::output::Phase;
use crate::plan::isolation::Isolation;
use crate::plan::mount::BoxPath;
use crate::plan::process::Program;

/// The spec of a phase of the last attempt, or of the attempt to come; nothing where the job has no such phase.
///
/// # Errors
/// When this daemon could not make the job's sandbox any more, for people.
pub fn of(record: &Record, phase: Phase, runtimes: &Runtimes, isolation: &Isolation) -> Result<Option<Spec>, String> {
    let image = &record.request.image;
    let languages = runtimes.languages(image)?;
    let prepared = program::prepare(&record.request, &languages)?;
    let started = match phase {
        Phase::Run => Some(prepared.run),
        Phase::Compile => prepared.compile.map(|compile| compile.program),
    };
    let Some(started) = started else { return Ok(None) };
    let limits = sandbox_limits(&PhaseLimits::of(phase, &record.request.limits), &record.request.limits);
    let network = network_of(phase, record.request.reach);
    let plan = launch::plan_of(image.root(), network, TreeId(0), &limits).map_err(|error| error.to_string())?;
    let directory = std::str::from_utf8(&started.cwd).ok().and_then(|path| BoxPath::try_from(path).ok());
    let directory = directory.ok_or("the working directory is no path")?;
    let program = Program { arguments: started.argv, variables: started.env, directory };
    let attempt = record.attempts.last();
    let note = |name: &str, value: String| (format!("kiln.{name}"), value);
    let facts = Facts {
        first_id: attempt.and_then(|attempt| attempt.first_id),
        isolation: isolation.clone(),
        annotations: vec![
            note("job", record.id.to_string()),
            note(
                "image",
                image.digest().map_or_else(|| image.name().to_owned(), |digest| format!("{}@{digest}", image.name())),
            ),
            note("attempt", attempt.map_or(0, |attempt| attempt.number).to_string()),
        ],
    };
    oci::spec(&plan, &program, &facts).map(Some).map_err(|error| error.to_string())
}
