//! What a program is given: arguments, standard input, variables.
//!
//! The bounds are the kernel's (execve(2)): a request that is over them could only fail later.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::job::request::fields::{Reader, shown};

/// Bytes of one argument or variable, with its end (`MAX_ARG_STRLEN`, execve(2)).
const STRING_SPACE: usize = 128 << 10;
/// Bytes of all arguments and variables with their ends and pointers: 2 MiB, a quarter of the usual
/// stack (execve(2)), less what the interpreter's own words may take.
const EXEC_SPACE: usize = (2 << 20) - STRING_SPACE;
/// What one string takes beside its bytes: its end and a pointer.
const PER_STRING: usize = 9;

/// What a program is given.
pub(super) struct Program {
    pub(super) args: Vec<String>,
    pub(super) stdin: Vec<u8>,
    pub(super) environment: Vec<(String, String)>,
}

/// Reads `args`, `stdin`, `stdin_base64` and `environment`.
pub(super) fn read(reader: &mut Reader<'_, '_>) -> Program {
    let args = reader.texts("args").unwrap_or_default();
    check_words(reader, "args", &args);
    let stdin = stdin(reader);
    let environment = reader.pairs("environment");
    for (name, value) in &environment {
        check_variable(reader, name, value);
    }
    check_space(reader, &args, &environment);
    Program { args, stdin, environment }
}

/// Notes the words of the list `name` that no program can be given.
pub(super) fn check_words(reader: &mut Reader<'_, '_>, name: &str, words: &[String]) {
    for (index, word) in words.iter().enumerate() {
        check_string(reader, &format!("{name}[{index}]"), word, word.len());
    }
    let space: usize = words.iter().map(|word| word.len() + PER_STRING).sum();
    if space > EXEC_SPACE {
        reader.fault(name, format!("takes {space} bytes, the ceiling is {EXEC_SPACE}"));
    }
}

fn stdin(reader: &mut Reader<'_, '_>) -> Vec<u8> {
    if reader.has("stdin") && reader.has("stdin_base64") {
        reader.fault("stdin_base64", "give stdin or stdin_base64, not both");
    }
    let plain = reader.text("stdin").map(|text| text.as_bytes().to_vec());
    let coded = reader.text("stdin_base64").map(|text| STANDARD.decode(text));
    match coded {
        Some(Ok(bytes)) => bytes,
        Some(Err(reason)) => {
            reader.fault("stdin_base64", format!("not base64 (RFC 4648, with padding): {reason}"));
            Vec::new()
        }
        None => plain.unwrap_or_default(),
    }
}

fn check_variable(reader: &mut Reader<'_, '_>, name: &str, value: &str) {
    let field = format!("environment.{}", shown(name));
    if !is_variable_name(name) {
        reader.fault(&field, "a name has letters, digits and _ only, and no digit first");
    }
    check_string(reader, &field, value, name.len() + 1 + value.len());
}

fn is_variable_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(plain) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

fn check_string(reader: &mut Reader<'_, '_>, field: &str, text: &str, bytes: usize) {
    if text.contains('\0') {
        reader.fault(field, "holds a NUL character, which no program can be given");
    }
    if bytes >= STRING_SPACE {
        let ceiling = STRING_SPACE - 1;
        reader.fault(field, format!("takes {bytes} bytes, the ceiling is {ceiling}"));
    }
}

fn check_space(reader: &mut Reader<'_, '_>, args: &[String], environment: &[(String, String)]) {
    let args: usize = args.iter().map(|word| word.len() + PER_STRING).sum();
    let variable = |(name, value): &(String, String)| name.len() + 1 + value.len() + PER_STRING;
    let environment: usize = environment.iter().map(variable).sum();
    if environment > EXEC_SPACE {
        let message = format!("takes {environment} bytes, the ceiling is {EXEC_SPACE}");
        reader.fault("environment", message);
    } else if args <= EXEC_SPACE && args + environment > EXEC_SPACE {
        let both = args + environment;
        let message = format!("takes {both} bytes with args, the ceiling is {EXEC_SPACE} for both");
        reader.fault("environment", message);
    }
}
