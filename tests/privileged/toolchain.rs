//! What needs a C compiler in the image.
use serde_json::{Value, json};

use crate::cli::Local;
use crate::harness::{assert_ended_by, execute, timeout, with};

fn c(code: &str) -> Value {
    json!({"language": "c", "code": code})
}

#[test]
fn a_c_program_is_compiled_and_run() {
    let code = "#include <stdio.h>\n#include <math.h>\n\
                int main(int n, char **a) { printf(\"%s %.1f\\n\", a[1], sqrt(n)); return 3; }";
    let job = execute(&with(c(code), json!({"args": ["a", "b", "c"]})));
    assert_ended_by(&job, "exited", "completed");
    assert_eq!((&job["stdout"], &job["exit_code"]), (&json!("a 2.0\n"), &json!(3)), "{job:#}");
    assert_eq!((&job["compile"]["exit_code"], &job["compile"]["stderr"]), (&json!(0), &json!("")), "{job:#}");
}

#[test]
fn a_fault_of_the_source_is_compile_failed_with_what_the_compiler_said() {
    let job = execute(&c("int main(void) { return nothing; }"));
    assert_ended_by(&job, "compile_failed", "failed");
    assert_eq!((&job["exit_code"], &job["compile"]["exit_code"]), (&Value::Null, &json!(1)), "{job:#}");
    assert!(job["compile"]["stderr"].as_str().unwrap().contains("‘nothing’ undeclared"), "{job:#}");
    assert_eq!((&job["stdout"], &job["stderr"]), (&json!(""), &json!("")), "the program did not run");
}

#[test]
fn the_command_line_shows_what_the_compiler_said() {
    let local = Local::shared();
    let mut command = local.kiln(&["run", "-l", "c", "-c", "int main(void) { return nothing; }"]);
    let output = command.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(123), &b""[..]), "{told}");
    assert!(told.contains("‘nothing’ undeclared"), "{told}");
    assert!(told.ends_with("\nkiln: not compiled: the compiler exited with code 1\n"), "{told}");
}

#[test]
fn a_source_that_never_ends_is_held_by_the_limits_of_the_compiler() {
    let limits = json!({"limits": {"compile_timeout": timeout(20), "compile_memory": 64}});
    let job = execute(&with(c("#include \"/dev/zero\""), limits));
    assert_ended_by(&job, "compile_failed", "failed");
    let job = execute(&with(c("#include \"/dev/stdin\"\nint main(void) { return 0; }"), json!({})));
    assert_eq!(job["termination"]["reason"], "exited", "the compiler has no input: {job:#}");
}

#[test]
fn the_compiler_sees_no_file_of_the_host() {
    let job = execute(&c("#include \"/etc/shadow\""));
    assert_ended_by(&job, "compile_failed", "failed");
    assert!(job["compile"]["stderr"].as_str().unwrap().contains("No such file"), "{job:#}");
}

/// The assembler opens files by itself, past the preprocessor.
#[test]
fn the_assembler_sees_no_file_of_the_host() {
    let job = execute(&c("__asm__(\".incbin \\\"/etc/shadow\\\"\"); int main(void) { return 0; }"));
    assert_ended_by(&job, "compile_failed", "failed");
    assert!(job["compile"]["stderr"].as_str().unwrap().contains("file not found: /etc/shadow"), "{job:#}");
}

#[test]
fn a_crash_of_a_c_program_is_named() {
    let job = execute(&c("int main(void) { return *(volatile int *)0; }"));
    assert_ended_by(&job, "signaled", "failed");
    assert_eq!(job["termination"]["signal"], "SIGSEGV", "{job:#}");
}
