//! The settings outside `api.job`.
use crate::config::kind::{Kind, Presence};
use crate::config::table::{Key, Warned, count, row};
use crate::lang::folder;
use crate::plan::ceiling;

/// Where the time in which a request must have arrived ends being one.
const LONGEST_REQUEST_SECONDS: u32 = 3600;

/// A body is read into memory whole.
const LARGEST_REQUEST: u64 = 1 << 30;

pub(super) const BEFORE_JOBS: &[Key] = &[
    row("data_dir", Kind::Path(Presence::Required), "/var/lib/kiln", "Everything that outlives the daemon is in here."),
    row(
        "languages_dir",
        Kind::Path(Presence::Required),
        folder::DEFAULT,
        "Languages beside the embedded ones: every *.toml in here, in the order of the names. Only the default need \
         not exist.",
    ),
    row("log", Kind::Filter, "info", "What is logged: trace, debug, info, warn, error, or one of them for each part."),
    row("log_format", Kind::Choice(&["human", "json"]), "human", "The shape of a line of the log, which is stderr."),
    row("api.host", Kind::Address, "127.0.0.1", "The address to listen on; 0.0.0.0 and :: listen everywhere."),
    row("api.port", count("", 0, 65_535), "8080", "The port to listen on; 0 lets the kernel choose."),
    row(
        "api.socket",
        Kind::Path(Presence::Optional),
        "/run/kiln/kiln.sock",
        "The local socket on which the same is served to root and the members of a group; null: none. Its folder is \
         root's and nobody else may write to it.",
    ),
    row("api.socket_group", Kind::Text, "kiln", "The group whose members may use the local socket.").with("api.socket"),
    row("api.tls.enabled", Kind::Switch, "false", "Whether connections are encrypted.")
        .only("false", "TLS is not built yet: set KILN_API_TLS_ENABLED=false and encrypt in front"),
    row("api.tls.cert_file", Kind::Path(Presence::Optional), "null", "The certificate chain, as PEM.")
        .with("api.tls.enabled"),
    row("api.tls.key_file", Kind::Path(Presence::Optional), "null", "The key of the certificate, as PEM.")
        .with("api.tls.enabled"),
    row(
        "api.auth.enabled",
        Kind::Switch,
        "true",
        "Whether anybody is asked who they are; if not, every request is an administrator's.",
    )
    .only(
        "false",
        "identity is not built yet, so nobody could be asked who they are: set KILN_API_AUTH_ENABLED=false on a \
         loopback address (KILN_API_HOST=127.0.0.1)",
    ),
    row(
        "api.auth.method",
        Kind::Choices(&["api_key", "jwt", "oauth2", "certificate"]),
        "api_key",
        "The ways to say who one is that are accepted.",
    )
    .with("api.auth.enabled"),
    row(
        "api.auth.jwt_secret",
        Kind::Secret,
        "null",
        "The key of tokens that are signed with HS256; one of less than 32 bytes is not used.",
    )
    .with("api.auth.enabled"),
    row(
        "api.auth.allow_unauthenticated_remote",
        Kind::Switch,
        "false",
        "Whether to listen on an address that other hosts reach although nobody is asked who they are.",
    ),
    row("api.rate_limit.enabled", Kind::Switch, "true", "Whether there are limits on requests.")
        .not_yet("no rate limit is in force: rate limits are not built yet", Warned::Unless("false")),
    row("api.rate_limit.requests_per_hour", count("requests", 1, u32::MAX), "1000", "One key's requests in an hour.")
        .with("api.rate_limit.enabled"),
    row("api.rate_limit.requests_per_minute", count("requests", 1, u32::MAX), "100", "One key's requests in a minute.")
        .with("api.rate_limit.enabled"),
    row(
        "api.rate_limit.requests_per_ip_per_hour",
        count("requests", 1, u32::MAX),
        "100",
        "One address's requests in an hour that come without a valid credential.",
    )
    .with("api.rate_limit.enabled"),
    row(
        "api.rate_limit.global_requests_per_minute",
        count("requests", 1, u32::MAX),
        "10000",
        "Everybody's requests in a minute.",
    )
    .with("api.rate_limit.enabled"),
];

pub(super) const AFTER_JOBS: &[Key] = &[
    row(
        "api.security.cors_origins",
        Kind::Words,
        "[\"*\"]",
        "The origins that a browser may come from. A variable separates them by commas.",
    )
    .aliases(&["CORS_ORIGINS"])
    .not_yet("no CORS header is sent: CORS is not built yet", Warned::WhenSet),
    row(
        "api.security.request_timeout",
        Kind::Seconds { most: LONGEST_REQUEST_SECONDS },
        "30",
        "In this time a request must have arrived, and one that waits for no job is answered.",
    ),
    row(
        "api.security.max_request_size",
        Kind::Bytes { least: 1, most: LARGEST_REQUEST },
        "10MB",
        "The largest body of a request. kB, MB and GB are powers of 1000; KiB, MiB and GiB of 1024.",
    ),
    row(
        "sandbox.spawner_path",
        Kind::Path(Presence::Optional),
        "null",
        "The program that makes sandboxes; null: kiln-spawner beside the running kiln.",
    ),
    row(
        "sandbox.spawner_socket",
        Kind::Path(Presence::Optional),
        "null",
        "The socket of a spawner that is a unit of its own, as kiln.service has it; null: kiln serve, started as root, starts one.",
    ),
    row(
        "sandbox.user",
        Kind::Text,
        "kiln",
        "The server runs as this user once it needs no privilege; where there is none of this name, as sandbox.uid.",
    ),
    row(
        "sandbox.ready",
        count("sandboxes", 0, ceiling::READY),
        "8",
        "Sandboxes that are prepared before a job asks; each is used once. 0: each is made on request, which takes longer.",
    ),
    row("sandbox.uid", count("", 1, u32::MAX - 2), "60999", "The server's user and group number without that user."),
];
