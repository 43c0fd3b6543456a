//! The server and the command line.
fn main() -> std::process::ExitCode {
    kiln::cli::main()
}
