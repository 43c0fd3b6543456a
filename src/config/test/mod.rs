//! Whole configurations: what loads, what is reported, what is refused.
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::fault::{Fault, Faults};
use crate::base::size::ByteSize;
use crate::config::layers::{self, Sources};
use crate::config::read::Reader;
use crate::config::{Config, LogFormat, Method, names, read};

/// The example of the execution specification, without the spaces on its empty lines.
const DOCUMENTED: &str = r#"
api:
  # Server settings
  host: "0.0.0.0"
  port: 8080
  tls:
    enabled: false
    cert_file: ""
    key_file: ""

  # Authentication
  auth:
    enabled: true
    method: "api_key"
    jwt_secret: "secret"

  # Rate limiting
  rate_limit:
    enabled: true
    requests_per_hour: 1000
    requests_per_minute: 100

  # Job settings
  job:
    max_timeout: 300
    max_memory: 1024
    max_concurrent: 100
    retention_days: 7

  # Security
  security:
    cors_origins: ["*"]
    request_timeout: 30
    max_request_size: "10MB"
"#;

/// A file with this text; it goes away with the first member.
fn file_of(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kiln.yaml");
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), text.as_bytes()).unwrap();
    (directory, path)
}

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, Faults> {
    let (_directory, path) = file_of(text);
    Config::load(&sources(Some(path), environment))
}

fn sources(file: Option<PathBuf>, environment: &[(&str, &str)]) -> Sources {
    let environment = environment.iter().map(|(k, v)| (String::from(*k), String::from(*v)));
    Sources { file, environment: environment.collect(), executable: PathBuf::from("/opt/bin/kiln") }
}

/// The only fault.
#[track_caller]
fn fault(text: &str, environment: &[(&str, &str)]) -> Fault {
    let faults = load(text, environment).unwrap_err().into_vec();
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.into_iter().next().unwrap()
}

#[track_caller]
fn check_file_fault(text: &str, key: &str, expected: &str) {
    let fault = fault(text, &[]);
    assert_eq!(fault.field, key);
    assert!(fault.message.contains(expected), "{fault:?}");
    assert!(fault.message.contains("(from file /"), "{fault:?}");
}

#[track_caller]
fn check_variable_fault(name: &str, value: &str, key: &str, expected: &str) {
    let fault = fault("", &[(name, value)]);
    assert_eq!(fault.field, key);
    let whole = format!("{expected} (from variable {name})");
    assert_eq!(fault.message, whole);
}

fn keys_of_warnings(config: &Config) -> Vec<&str> {
    config.warnings().iter().map(|warning| warning.key.as_str()).collect()
}

fn keys_of_refusals(config: &Config) -> Vec<String> {
    config.refusals().into_vec().into_iter().map(|fault| fault.field).collect()
}

#[test]
fn the_documented_example_loads_with_its_warnings() {
    let config = load(DOCUMENTED, &[]).unwrap();
    assert_eq!(config.listen().to_string(), "0.0.0.0:8080");
    assert_eq!(config.api.auth.methods, [Method::ApiKey]);
    assert_eq!(config.api.tls.cert_file, None);
    assert_eq!(config.api.security.cors_origins, ["*"]);
    assert_eq!(config.api.security.max_request_size, ByteSize(10_000_000));
    assert_eq!(config.api.job.retention, Duration::from_hours(7 * 24));
    let warned =
        ["api.auth.jwt_secret", "api.rate_limit.enabled", "api.job.retention_days", "api.security.cors_origins"];
    assert_eq!(keys_of_warnings(&config), warned);
    assert_eq!(keys_of_refusals(&config), ["api.auth.enabled"]);
}

#[test]
fn defaults_alone_are_a_configuration() {
    let config = load("", &[]).unwrap();
    assert_eq!(config.data_dir, Path::new("/var/lib/kiln"));
    assert_eq!(config.api.host, Ipv4Addr::LOCALHOST);
    assert_eq!(config.log.format, LogFormat::Human);
    assert_eq!(config.sandbox.spawner_path, Path::new("/opt/bin/kiln-spawner"));
    assert_eq!(config.sandbox.spawner_socket, None);
    assert_eq!(keys_of_warnings(&config), ["api.rate_limit.enabled"]);
    assert_eq!(load("# nothing\n\n", &[]).unwrap().api.port, 8080);
}

#[test]
fn every_setting_is_read_and_every_read_is_a_setting() {
    let mut faults = Faults::default();
    let (_directory, path) = file_of("");
    let layers = layers::merge(&sources(Some(path), &[]), &mut faults);
    let mut reader = Reader::new(&layers, &mut faults);
    read(&mut reader, Path::new("/kiln"));
    let mut seen = reader.seen().to_vec();
    seen.sort_unstable();
    let mut keys = names::keys(&layers.defaults);
    keys.sort_unstable();
    assert_eq!(seen, keys);
    assert_eq!(faults.as_slice(), []);
}

#[test]
fn the_command_of_the_readme_may_serve() {
    let environment = [
        ("KILN_DATA_DIR", "/tmp/d"),
        ("KILN_API_HOST", "127.0.0.1"),
        ("KILN_API_PORT", "0"),
        ("KILN_API_AUTH_ENABLED", "false"),
    ];
    let config = load("", &environment).unwrap();
    assert_eq!(keys_of_refusals(&config), Vec::<String>::new());
    assert_eq!(config.data_dir, Path::new("/tmp/d"));
    assert_eq!(config.listen().to_string(), "127.0.0.1:0");
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let text = "api: { port: 1, job: { max_queued: 5 } }";
    let config = load(text, &[("KILN_API_PORT", "2")]).unwrap();
    assert_eq!((config.api.port, config.api.job.max_queued), (2, 5));
    assert_eq!(config.api.job.max_concurrent, 100);
}

#[test]
fn documented_variables_are_aliases() {
    let environment = [
        ("FORGEAI_API_HOST", "localhost"),
        ("FORGEAI_API_PORT", "9"),
        ("FORGEAI_API_TLS_ENABLED", "true"),
        ("FORGEAI_API_AUTH_ENABLED", "false"),
        ("FORGEAI_API_RATE_LIMIT_ENABLED", "false"),
        ("CORS_ORIGINS", "https://a.example, https://b.example"),
    ];
    let config = load("", &environment).unwrap();
    assert_eq!(config.listen().to_string(), "127.0.0.1:9");
    assert!(config.api.tls.enabled && !config.api.auth.enabled && !config.api.rate_limit.enabled);
    assert_eq!(config.api.security.cors_origins, ["https://a.example", "https://b.example"]);
}

#[test]
fn our_own_name_wins_over_an_alias_and_says_so() {
    let config = load("", &[("KILN_API_PORT", "1"), ("FORGEAI_API_PORT", "2")]).unwrap();
    assert_eq!(config.api.port, 1);
    let warning = config.warnings().last().unwrap();
    let message = "variable FORGEAI_API_PORT has no effect: KILN_API_PORT says otherwise";
    assert_eq!((warning.key.as_str(), warning.message.as_str()), ("api.port", message));
}

#[test]
fn a_wrong_type_in_the_file_names_key_and_file() {
    check_file_fault("api: { port: '80' }", "api.port", "0 to 65535 is expected, not \"80\"");
    check_file_fault("api: { port: 65536 }", "api.port", "not 65536");
    check_file_fault("api: { port: -1 }", "api.port", "not -1");
    check_file_fault("api: { port: 1.5 }", "api.port", "not 1.5");
    check_file_fault("api: { host: ~ }", "api.host", "not nothing");
    check_file_fault("api: { host: example.org }", "api.host", "an IP address or localhost");
    check_file_fault("api: { auth: { enabled: 'yes' } }", "api.auth.enabled", "true or false");
    check_file_fault("api: { auth: { method: magic } }", "api.auth.method", "\"magic\" is unknown");
    check_file_fault("api: { job: { max_timeout: 0 } }", "api.job.max_timeout", "above 0");
    check_file_fault("api: { job: { max_memory: 1 } }", "api.job.max_memory", "at least 8");
    check_file_fault("api: { job: { max_cpus: .nan } }", "api.job.max_cpus", "processors");
    check_file_fault("data_dir: here", "data_dir", "an absolute path");
    check_file_fault("log_format: xml", "log_format", "human or json");
    check_file_fault("sandbox: { uid: 0 }", "sandbox.uid", "a whole number from 1");
    let size = "api: { security: { max_request_size: 10 apples } }";
    check_file_fault(size, "api.security.max_request_size", "like 10MB");
}

#[test]
fn an_unknown_setting_in_the_file_names_key_and_file() {
    check_file_fault("api: { prot: 1 }", "api.prot", "unknown setting");
    check_file_fault("colour: { red: 1 }", "colour", "unknown setting");
    check_file_fault("api: 5", "api", "a section with settings is expected");
    check_file_fault("api: { job: }", "api.job", "a section with settings is expected");
    check_file_fault("api: { port: { number: 1 } }", "api.port", "not a section");
}

#[test]
fn a_fault_in_a_variable_names_key_and_variable() {
    let number = "a whole number from 0 to 65535 is expected, not \"x\"";
    check_variable_fault("KILN_API_PORT", "x", "api.port", number);
    check_variable_fault("FORGEAI_API_PORT", "x", "api.port", number);
    let switch = "true or false is expected, not \"maybe\"";
    check_variable_fault("KILN_API_AUTH_ENABLED", "maybe", "api.auth.enabled", switch);
    let path = "a text is expected, not \"/\u{fffd}\"";
    check_variable_fault("KILN_DATA_DIR", "/\u{fffd}", "data_dir", path);
    let unknown = fault("", &[("KILN_API_PROT", "1")]);
    assert_eq!(unknown.field, "variable KILN_API_PROT");
}

#[test]
fn a_secret_stays_secret_in_a_fault() {
    let fault = fault("api: { auth: { jwt_secret: 1234567 } }", &[]);
    assert!(!fault.message.contains("1234567"), "{fault:?}");
    let config = load("api: { auth: { jwt_secret: hunter2 } }", &[]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_text_of_digits_is_a_text_in_a_variable() {
    let config = load("", &[("KILN_API_AUTH_JWT_SECRET", "12345678901234567890123456789012")]);
    assert_eq!(keys_of_warnings(&config.unwrap()), ["api.rate_limit.enabled"]);
}

#[test]
fn all_faults_are_reported_at_once() {
    let text = "api: { port: x, prot: 1 }\nlog: 5";
    let faults = load(text, &[("KILN_NOTHING", "1"), ("KILN_SANDBOX_UID", "x")]).unwrap_err();
    let fields: Vec<_> = faults.as_slice().iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["variable KILN_NOTHING", "api.prot", "log", "api.port", "sandbox.uid"]);
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault_with_its_path() {
    let missing = Config::load(&sources(Some(PathBuf::from("/nowhere/k.yaml")), &[])).unwrap_err();
    assert!(missing.to_string().starts_with("file /nowhere/k.yaml: cannot be read"), "{missing}");
    let named = Config::load(&sources(None, &[("KILN_CONFIG", "/nowhere/e.yaml")])).unwrap_err();
    assert!(named.to_string().starts_with("file /nowhere/e.yaml: cannot be read"), "{named}");
    assert!(fault("api: [", &[]).field.starts_with("file /"));
    assert!(fault("just text", &[]).message.contains("holds no settings"));
    assert!(fault("log: info\nlog: debug", &[]).message.contains("duplicate"));
    assert!(fault(&"# \n".repeat(1 << 19), &[]).message.contains("larger than"));
}

#[test]
fn the_command_line_wins_over_the_variable_that_names_the_file() {
    let (_directory, path) = file_of("api: { port: 7 }");
    let config = Config::load(&sources(Some(path), &[("KILN_CONFIG", "/nowhere")])).unwrap();
    assert_eq!(config.api.port, 7);
}

#[test]
fn what_weakens_security_is_refused() {
    let text = "api: { host: 0.0.0.0, tls: { enabled: true }, auth: { enabled: false } }";
    assert_eq!(keys_of_refusals(&load(text, &[]).unwrap()), ["api.tls.enabled", "api.host"]);
    let twice = [("KILN_API_AUTH_ALLOW_UNAUTHENTICATED_REMOTE", "true")];
    let config = load("api: { host: '::', auth: { enabled: false } }", &twice).unwrap();
    assert_eq!(keys_of_refusals(&config), Vec::<String>::new());
    assert!(keys_of_warnings(&config).contains(&"api.auth.allow_unauthenticated_remote"));
    let refused = load("", &[]).unwrap().refusals().to_string();
    assert!(refused.contains("KILN_API_AUTH_ENABLED=false"), "{refused}");
}

#[test]
fn method_jwt_needs_a_strong_secret() {
    let text = "api: { auth: { method: [api_key, jwt], jwt_secret: short } }";
    let refused = keys_of_refusals(&load(text, &[]).unwrap());
    assert_eq!(refused, ["api.auth.enabled", "api.auth.jwt_secret"]);
}

#[test]
fn defaults_of_jobs_are_never_above_a_ceiling() {
    let policy = load("", &[]).unwrap().policy();
    assert_eq!(policy.default.wall, Duration::from_secs(30));
    assert_eq!(policy.ceiling.wall, Duration::from_mins(5));
    assert_eq!(policy.default.memory, ByteSize::mib(128));
    assert_eq!((policy.default.processes, policy.ceiling.processes), (64, 512));
    let low = load("api: { job: { max_timeout: 0.5, max_memory: 64, max_cpus: 0.5 } }", &[]);
    let low = low.unwrap().policy().default;
    assert_eq!(low.wall, Duration::from_millis(500));
    assert_eq!((low.memory, low.disk, low.milli_cpus), (ByteSize::mib(64), ByteSize::mib(16), 500));
}

#[test]
fn no_two_keys_share_a_variable() {
    let (_directory, path) = file_of("");
    let layers = layers::merge(&sources(Some(path), &[]), &mut Faults::default());
    let mut owners = BTreeMap::new();
    for key in names::keys(&layers.defaults) {
        for variable in names::variables(&key) {
            assert_eq!(owners.insert(variable, key.clone()), None, "{key}");
        }
    }
}
