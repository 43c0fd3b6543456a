//! The arguments of `kiln run`.
use std::path::PathBuf;

use clap::Args;

use crate::cli::remote::RemoteArguments;

/// What to run, and how.
#[derive(Clone, Debug, Default, Args)]
#[command(override_usage = "kiln run [OPTIONS] FILE... [-- ARGUMENTS...]\n       \
                            kiln run [OPTIONS] --language LANGUAGE --code CODE [-- ARGUMENTS...]\n       \
                            kiln run [OPTIONS] --image IMAGE -- PROGRAM [ARGUMENTS...]")]
#[command(
    after_help = "Exit codes: the program's own; 128 + N if signal N ended it; 124 a time limit; 126 another limit \
                        or rule; 123 not compiled; 125 kiln failed; 2 usage. Whenever the code is not the \
                        program's, the reason is on stderr."
)]
pub(in crate::cli) struct RunArguments {
    #[command(flatten)]
    pub(super) remote: RemoteArguments,
    /// Source files, the entry point first; the others must lie in its folder or below; `-` reads the source from stdin
    #[arg(value_name = "FILE", required_unless_present_any = ["code", "image"], conflicts_with = "code")]
    pub(super) files: Vec<PathBuf>,
    /// Source text instead of files
    #[arg(short, long, value_name = "CODE", requires = "language")]
    pub(super) code: Option<String>,
    /// Language of the source; see `kiln languages` [default: by the ending of the first file]
    #[arg(short, long, value_name = "LANGUAGE")]
    pub(super) language: Option<String>,
    /// Version of the language, or its first parts
    #[arg(long, value_name = "VERSION")]
    pub(super) language_version: Option<String>,
    /// Image to run in, see `kiln image ls`; without a source the program of the image and its arguments follow `--`
    #[arg(long, value_name = "IMAGE")]
    pub(super) image: Option<String>,
    /// One argument of the program; may be repeated
    #[arg(long = "arg", value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub(super) arguments: Vec<String>,
    /// Arguments of the program; with --image and no source the program and its arguments
    #[arg(last = true, value_name = "ARGUMENTS")]
    pub(super) rest: Vec<String>,
    /// One variable of the program's environment; may be repeated
    #[arg(short, long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    pub(super) environment: Vec<(String, String)>,
    /// Let the program use the network, where the operator permits it
    #[arg(long)]
    pub(super) network: bool,
    /// Print the job as JSON when it has ended, instead of what it prints
    #[arg(long)]
    pub(super) json: bool,
    /// Print the job's id and leave it running
    #[arg(short, long)]
    pub(super) detach: bool,
    // Last, because its heading is that of all that follows.
    #[command(flatten)]
    pub(super) limits: LimitArguments,
}

/// One argument for each limit; the daemon has a default and a ceiling for each.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitArguments {
    /// Wall time
    #[arg(short, long, value_name = "SECONDS", value_parser = number)]
    pub(super) timeout: Option<f64>,
    /// Memory of all processes with their files
    #[arg(short, long, value_name = "MIB")]
    pub(super) memory: Option<u64>,
    /// Processor time of all processes
    #[arg(long, value_name = "SECONDS", value_parser = number)]
    pub(super) cpu_time: Option<f64>,
    /// Processors at a time
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    pub(super) cpus: Option<f64>,
    /// Processes and threads at a time
    #[arg(long, value_name = "NUMBER")]
    pub(super) processes: Option<u64>,
    /// Open descriptors of one process
    #[arg(long, value_name = "NUMBER")]
    pub(super) open_files: Option<u64>,
    /// Size of one file
    #[arg(long, value_name = "MIB")]
    pub(super) file_size: Option<u64>,
    /// Size of the working directory, which counts as memory
    #[arg(long, value_name = "MIB")]
    pub(super) disk: Option<u64>,
    /// Both output streams together
    #[arg(long, value_name = "MIB")]
    pub(super) output_limit: Option<u64>,
    /// Wall time of the compiler
    #[arg(long, value_name = "SECONDS", value_parser = number)]
    pub(super) compile_timeout: Option<f64>,
    /// Memory of the compiler
    #[arg(long, value_name = "MIB")]
    pub(super) compile_memory: Option<u64>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// JSON has no other numbers.
fn number(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| String::from("a number is expected"))
}
