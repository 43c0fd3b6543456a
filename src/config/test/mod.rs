//! Whole configurations: what loads, what is reported, what is refused.
mod key;
mod random;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::size::ByteSize;
use crate::config::fault::{ConfigFault, ConfigFaults};
use crate::config::layers::Sources;
use crate::config::{Config, LogFormat, Method, render};

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

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigFaults> {
    let (_directory, path) = file_of(text);
    Config::load(&sources(Some(path), environment))
}

fn sources(file: Option<PathBuf>, environment: &[(&str, &str)]) -> Sources {
    let environment = environment.iter().map(|(k, v)| (String::from(*k), String::from(*v)));
    let executable = PathBuf::from("/opt/bin/kiln");
    Sources { file, flags: Vec::new(), environment: environment.collect(), executable }
}

fn load_flags(flags: &[&str], environment: &[(&str, &str)]) -> Result<Config, ConfigFaults> {
    let (_directory, path) = file_of("");
    let flags = flags.iter().map(|flag| String::from(*flag)).collect();
    Config::load(&Sources { flags, ..sources(Some(path), environment) })
}

/// The only fault.
#[track_caller]
fn only(loaded: Result<Config, ConfigFaults>) -> ConfigFault {
    let faults = loaded.unwrap_err().as_slice().to_vec();
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.into_iter().next().unwrap()
}

#[track_caller]
fn check_file_fault(text: &str, key: &str, expected: &str, line_and_column: (usize, usize)) {
    let fault = only(load(text, &[]));
    assert_eq!(fault.key.as_deref(), Some(key));
    assert!(fault.message.contains(expected), "{fault:?}");
    let (line, column) = line_and_column;
    let place = fault.place.to_string();
    assert!(place.starts_with("file /") && place.ends_with(&format!(", line {line}, column {column}")), "{fault}");
}

#[track_caller]
fn check_variable_fault(name: &str, value: &str, key: &str, expected: &str) {
    let fault = only(load("", &[(name, value)]));
    assert_eq!(fault.to_string(), format!("{key}: {expected} (from variable {name})"));
}

fn keys_of_warnings(config: &Config) -> Vec<&str> {
    config.warnings().iter().map(|warning| warning.key.as_str()).collect()
}

fn keys_of_refusals(config: &Config) -> Vec<String> {
    config.refusals().as_slice().iter().filter_map(|fault| fault.key.clone()).collect()
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
    let warned = ["api.auth.jwt_secret", "api.rate_limit.enabled", "api.security.cors_origins"];
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
fn a_text_of_digits_is_a_text_in_a_variable() {
    let config = load("", &[("KILN_API_AUTH_JWT_SECRET", "12345678901234567890123456789012")]);
    assert_eq!(keys_of_warnings(&config.unwrap()), ["api.rate_limit.enabled"]);
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
fn our_own_sections_stand_beside_the_documented_example() {
    let ours = "log: debug\nsandbox:\n  uid: 1234\ndata_dir: /srv/k\n";
    let config = load(&format!("{DOCUMENTED}{ours}"), &[]).unwrap();
    assert_eq!((config.sandbox.uid, config.log.filter.as_str()), (1234, "debug"));
    assert_eq!((config.data_dir.as_path(), config.api.port), (Path::new("/srv/k"), 8080));
}

#[test]
fn a_wrong_value_in_the_file_names_key_and_line() {
    check_file_fault("api:\n  port: '80'", "api.port", "0 to 65535 is expected, not \"80\"", (2, 9));
    check_file_fault("api: { port: -1 }", "api.port", "not -1", (1, 14));
    check_file_fault("api:\n\n  host: ~", "api.host", "not nothing", (3, 9));
    check_file_fault("api: { host: example.org }", "api.host", "an IP address or localhost", (1, 14));
    check_file_fault("api: { auth: { enabled: yes } }", "api.auth.enabled", "true or false", (1, 25));
    let magic = "api: { auth: { method: [jwt, magic] } }";
    check_file_fault(magic, "api.auth.method", "oauth2, certificate is expected, not [\"jwt\", \"magic\"]", (1, 24));
    check_file_fault("api: { job: { max_memory: 1 } }", "api.job.max_memory", "from 8 to 65536", (1, 27));
    check_file_fault("api: { port: { number: 1 } }", "api.port", "not a section", (1, 14));
    check_file_fault("api: { port: 0080 }", "api.port", "not 0080", (1, 14));
    let size = "api: { security: { max_request_size: 10 apples } }";
    check_file_fault(size, "api.security.max_request_size", "like 10MB", (1, 38));
}

#[test]
fn an_unknown_setting_in_the_file_names_its_line_and_a_near_one() {
    check_file_fault("api:\n  prot: 1", "api.prot", "unknown setting; did you mean api.port?", (2, 3));
    check_file_fault("colour: { red: 1 }", "colour", "unknown setting", (1, 1));
    check_file_fault("api: 5", "api", "a section with settings is expected", (1, 1));
    check_file_fault("log: info\napi: { job: }", "api.job", "a section with settings is expected", (2, 8));
}

#[test]
fn a_fault_in_a_variable_names_key_and_variable() {
    let number = "a whole number from 0 to 65535 is expected, not \"x\"";
    check_variable_fault("KILN_API_PORT", "x", "api.port", number);
    check_variable_fault("FORGEAI_API_PORT", "x", "api.port", number);
    let switch = "true or false is expected, not \"maybe\"";
    check_variable_fault("KILN_API_AUTH_ENABLED", "maybe", "api.auth.enabled", switch);
    let path = "an absolute path is expected, not \"/\u{fffd}\"";
    check_variable_fault("KILN_DATA_DIR", "/\u{fffd}", "data_dir", path);
    let unknown = only(load("", &[("KILN_API_PROT", "1")])).to_string();
    assert_eq!(unknown, "variable KILN_API_PROT: unknown setting; did you mean KILN_API_PORT?");
}

#[test]
fn two_names_of_a_key_must_say_the_same() {
    let fault = only(load("", &[("KILN_API_PORT", "1"), ("FORGEAI_API_PORT", "2")])).to_string();
    let both =
        "api.port: variable KILN_API_PORT says otherwise: remove one of the two (from variable FORGEAI_API_PORT)";
    assert_eq!(fault, both);
    let same = [("KILN_API_HOST", "127.0.0.1"), ("FORGEAI_API_HOST", "localhost")];
    assert_eq!(load("", &same).unwrap().api.host, Ipv4Addr::LOCALHOST);
    let secrets = [("KILN_API_AUTH_JWT_SECRET", "hunter2"), ("FORGEAI_API_AUTH_JWT_SECRET", "hunter3")];
    assert!(!only(load("", &secrets)).to_string().contains("hunter"));
}

#[test]
fn variables_that_kubernetes_makes_for_services_are_left_alone() {
    let links = [("FORGEAI_API_PORT", "tcp://10.0.0.7:80"), ("KILN_PORT", "tcp://10.0.0.8:80"), ("KILN_API_PORT", "9")];
    assert_eq!(load("", &links).unwrap().api.port, 9);
}

#[test]
fn a_flag_wins_over_everything_and_its_faults_name_it() {
    let config = load_flags(&["api.port=7", "api.auth.method=jwt,api_key"], &[("KILN_API_PORT", "1")]).unwrap();
    assert_eq!((config.api.port, config.api.auth.methods), (7, vec![Method::Jwt, Method::ApiKey]));
    let message = |flags: &[&str]| only(load_flags(flags, &[])).to_string();
    assert!(message(&["api.port=x"]).ends_with("not \"x\" (from flag --set)"));
    assert_eq!(message(&["api.port"]), "flag --set: KEY=VALUE is expected, not \"api.port\"");
    assert_eq!(message(&["api.prot=1"]), "api.prot: unknown setting; did you mean api.port? (from flag --set)");
    assert_eq!(message(&["api.port=1", "api.port=2"]), "api.port: is set twice (from flag --set)");
    let secret = message(&["api.auth.jwt_secret=hunter2"]);
    assert!(secret.contains("every user of the host") && !secret.contains("hunter2"), "{secret}");
}

#[test]
fn a_secret_is_shown_nowhere() {
    for wrong in ["1234567", "[hunter2]", "{ a: hunter2 }", "true"] {
        let fault = only(load(&format!("api: {{ auth: {{ jwt_secret: {wrong} }} }}"), &[])).to_string();
        assert!(!fault.contains("1234567") && !fault.contains("hunter2"), "{fault}");
    }
    let config = load("api: { auth: { jwt_secret: hunter2 } }", &[]).unwrap();
    let shown = render::effective(config.settings());
    assert!(shown.contains("jwt_secret: \"***\"  # file "), "{shown}");
    assert!(!format!("{config:?}{shown}").contains("hunter2"));
}

#[test]
fn all_faults_are_reported_at_once_each_with_its_place() {
    let text = "api:\n  port: x\n  prot: 1\n  port: 2\nlog: 5\nlog: info\n";
    let (_directory, path) = file_of(text);
    let flags = vec![String::from("api.tls.enabled=x")];
    let environment = [("KILN_NOTHING", "1"), ("KILN_SANDBOX_UID", "x"), ("KILN_API_PORT", "80")];
    let faults = Config::load(&Sources { flags, ..sources(Some(path), &environment) }).unwrap_err();
    let found: Vec<_> = faults
        .as_slice()
        .iter()
        .map(|fault| {
            let place = fault.place.to_string();
            let place = place.split_once(", ").map_or(place.as_str(), |(_file, place)| place).to_owned();
            (fault.key.clone().unwrap_or_default(), place)
        })
        .collect();
    let expected = [
        ("", "line 4, column 3"),
        ("", "line 6, column 1"),
        ("api.port", "line 2, column 9"),
        ("api.prot", "line 3, column 3"),
        ("log", "line 5, column 6"),
        ("sandbox.uid", "variable KILN_SANDBOX_UID"),
        ("", "variable KILN_NOTHING"),
        ("api.tls.enabled", "flag --set"),
    ];
    assert_eq!(found, expected.map(|(key, place)| (String::from(key), String::from(place))));
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault_with_its_path() {
    let missing = Config::load(&sources(Some(PathBuf::from("/nowhere/k.yaml")), &[])).unwrap_err();
    assert!(missing.to_string().starts_with("file /nowhere/k.yaml: cannot be read"), "{missing}");
    let named = Config::load(&sources(None, &[("KILN_CONFIG", "/nowhere/e.yaml")])).unwrap_err();
    assert!(named.to_string().starts_with("file /nowhere/e.yaml: cannot be read"), "{named}");
    assert!(only(load("a: [", &[])).to_string().contains("is no YAML"));
    assert!(only(load("just text", &[])).message.contains("holds no settings"));
    assert!(only(load("log: info\nlog: debug", &[])).message.contains("duplicate"));
    assert!(only(load(&"# \n".repeat(1 << 19), &[])).message.contains("larger than"));
}

#[test]
fn what_is_not_built_is_refused_by_name_and_place() {
    let config = load_flags(&["api.tls.enabled=true", "api.auth.enabled=false"], &[]).unwrap();
    let refused = config.refusals().to_string();
    assert_eq!(
        refused,
        "api.tls.enabled: TLS is not built yet: set KILN_API_TLS_ENABLED=false and encrypt in front (from flag --set)"
    );
}

#[test]
fn the_default_file_loads_and_changes_nothing() {
    let text = render::default();
    let values = |config: &Config| config.settings().iter().map(|s| s.value.clone()).collect::<Vec<_>>();
    let config = load(&text, &[]).unwrap();
    assert_eq!(values(&config), values(&load("", &[]).unwrap()));
    assert!(text.lines().all(|line| line.chars().count() <= 100 && !line.ends_with(' ')), "{text}");
    for setting in config.settings() {
        assert!(setting.place.to_string().contains(", line "), "{}", setting.key.path);
    }
}
