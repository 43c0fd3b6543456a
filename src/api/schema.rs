//! The body of `POST /v1/execute` as the document shows it. `job::request::read` reads it; a test
//! holds that both know the same members.
use std::collections::BTreeMap;

use poem_openapi::Object;
use poem_openapi::types::Example;

/// Give `language` with `code` or `files`, or `image` with `command`. `image` may also go with `language`. Unknown members are refused.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields, example, skip_serializing_if_is_none)]
pub(super) struct ExecuteRequest {
    /// Id or alias of a language, as `GET /v1/languages` lists them.
    language: Option<String>,
    /// Version of the language, or its first parts; the first image that has it is taken. Left out: that of the first image.
    version: Option<String>,
    /// Source text.
    code: Option<String>,
    /// Source files, instead of `code`. At most 1000; no path twice.
    #[oai(validator(min_items = 1, max_items = 1000))]
    files: Option<Vec<ExecuteFile>>,
    /// Path of the file that is started, or that the compiler is given first. Left out: the first one.
    entrypoint: Option<String>,
    /// Image to run in, by a name or digest of `GET /v1/images`; `host` are the host's own programs. Required with `command`. With a language and left out: the first of its images in `GET /v1/languages`.
    image: Option<String>,
    /// The program and its arguments.
    #[oai(validator(min_items = 1))]
    command: Option<Vec<String>>,
    /// Arguments after the program's own.
    args: Option<Vec<String>>,
    /// What the program reads; or give `stdin_base64`.
    stdin: Option<String>,
    /// What the program reads, as base64 (RFC 4648, with padding).
    stdin_base64: Option<String>,
    /// Variables beside `PATH`, `HOME`, `LANG` and `USER`.
    environment: Option<BTreeMap<String, String>>,
    /// Wall time of the run phase, seconds. Default and ceiling: `GET /v1/capabilities`.
    #[oai(validator(minimum(value = "0.001")))]
    timeout: Option<f64>,
    /// Memory of all processes with their files in `/work` and `/tmp`, MiB. Default and ceiling: `GET /v1/capabilities`.
    #[oai(validator(minimum(value = "4")))]
    memory_limit: Option<u32>,
    /// Whether the program may use the network: answered 403 where the operator has not switched it on.
    network_access: Option<bool>,
    /// Answer 202 at once, as `Prefer: respond-async` does.
    r#async: Option<bool>,
    /// Further limits.
    limits: Option<ExecuteLimits>,
}

/// A source file. Give `content` or `content_base64`.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields, skip_serializing_if_is_none)]
pub(super) struct ExecuteFile {
    /// Below the working directory `/work`: plain names with `/` between them, 1024 bytes at most.
    #[oai(validator(min_length = 1, max_length = 1024))]
    path: String,
    /// Its text.
    content: Option<String>,
    /// Its bytes, as base64 (RFC 4648, with padding).
    content_base64: Option<String>,
    /// Whether it may be executed.
    executable: Option<bool>,
}

/// The form of `POST /v1/execute/file`: the members of `POST /v1/execute` as fields, structured ones as JSON, and the source files as parts named `file`. The first file is the entry point unless `entrypoint` says otherwise.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(super) struct ExecuteForm {
    /// The files; the name of each is its path in the working directory.
    #[oai(validator(min_items = 1, max_items = 1000))]
    file: Vec<String>,
    /// Id or alias of a language, as `GET /v1/languages` lists them.
    language: String,
    /// Version of the language.
    version: Option<String>,
    /// Path of the file that is started. Left out: the first one.
    entrypoint: Option<String>,
    /// Arguments, as a JSON list of strings.
    args: Option<Vec<String>>,
    /// What the program reads; or give `stdin_base64`.
    stdin: Option<String>,
    /// What the program reads, as base64.
    stdin_base64: Option<String>,
    /// Variables, as a JSON object of strings.
    environment: Option<BTreeMap<String, String>>,
    /// Wall time of the run phase, seconds.
    #[oai(validator(minimum(value = "0.001")))]
    timeout: Option<f64>,
    /// Memory, MiB.
    #[oai(validator(minimum(value = "4")))]
    memory_limit: Option<u32>,
    /// Whether the program may use the network: answered 403 where the operator has not switched it on.
    network_access: Option<bool>,
    /// Answer 202 at once.
    r#async: Option<bool>,
    /// Further limits, as a JSON object.
    limits: Option<ExecuteLimits>,
}

/// Further limits. Each has a default and a ceiling in the configuration; 0 is never "no limit".
#[derive(Debug, Object)]
#[oai(deny_unknown_fields, skip_serializing_if_is_none)]
pub(super) struct ExecuteLimits {
    /// Processor time of all processes, seconds.
    #[oai(validator(minimum(value = "0.001")))]
    cpu_time: Option<f64>,
    /// Processors, at least 0.01.
    #[oai(validator(minimum(value = "0.01")))]
    cpus: Option<f64>,
    /// Processes and threads alive at once.
    #[oai(validator(minimum(value = "1")))]
    processes: Option<u32>,
    /// Descriptors of one process.
    #[oai(validator(minimum(value = "16")))]
    open_files: Option<u32>,
    /// Largest file, MiB.
    #[oai(validator(minimum(value = "1")))]
    file_size: Option<u32>,
    /// Bytes in `/work`, and as many in `/tmp`, MiB. Counts as memory.
    #[oai(validator(minimum(value = "1")))]
    disk: Option<u32>,
    /// Both output streams together, MiB.
    #[oai(validator(minimum(value = "1")))]
    output: Option<u32>,
    /// Wall time of the compile phase, seconds.
    #[oai(validator(minimum(value = "0.001")))]
    compile_timeout: Option<f64>,
    /// Memory of the compile phase, MiB.
    #[oai(validator(minimum(value = "4")))]
    compile_memory: Option<u32>,
}

impl Example for ExecuteRequest {
    fn example() -> Self {
        Self {
            language: Some(String::from("python")),
            version: None,
            code: Some(String::from("print('Hello, World!')")),
            files: None,
            entrypoint: None,
            image: None,
            command: None,
            args: None,
            stdin: None,
            stdin_base64: None,
            environment: None,
            timeout: None,
            memory_limit: None,
            network_access: None,
            r#async: None,
            limits: None,
        }
    }
}
