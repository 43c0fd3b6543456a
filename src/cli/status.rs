//! `kiln status` and `kiln languages`: what a daemon is and can do.
use http::Method;
use serde_json::{Value, json};

use crate::cli::answer::printed;
use crate::cli::exit::Exit;
use crate::cli::job::print_json;
use crate::cli::remote::{self, RemoteArguments};
use crate::cli::surroundings::Surroundings;
use crate::cli::table::{self, Colours};
use crate::client::Question;

/// How to answer.
#[derive(Debug, clap::Args)]
pub(super) struct ShowArguments {
    #[command(flatten)]
    pub(super) remote: RemoteArguments,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn status(arguments: &ShowArguments, surroundings: &Surroundings, colours: Colours) -> Exit {
    remote::asking(async {
        let mut client = arguments.remote.client(surroundings)?;
        let status = client.json(Question::new(Method::GET, "/v1/status")).await?;
        let health = client.json(Question::new(Method::GET, "/healthz/detail")).await?;
        let exit = if is_unhealthy(&health) { Exit::Unavailable } else { Exit::Ok };
        let shown = if arguments.json {
            print_json(&json!({"status": status, "health": health}))
        } else {
            printed(&described(&status, &health, colours))
        };
        Ok(if shown == Exit::Ok { exit } else { shown })
    })
}

pub(super) fn languages(arguments: &ShowArguments, surroundings: &Surroundings, colours: Colours) -> Exit {
    remote::asking(async {
        let mut client = arguments.remote.client(surroundings)?;
        let known = client.json(Question::new(Method::GET, "/v1/languages")).await?;
        if arguments.json {
            return Ok(print_json(&known));
        }
        Ok(printed(&listed(&known, colours)))
    })
}

fn is_unhealthy(health: &Value) -> bool {
    health.get("status").is_some_and(|status| status == "unhealthy")
}

fn described(status: &Value, health: &Value, colours: Colours) -> String {
    let text = |name: &str| match status.get(name) {
        None | Some(Value::Null) => String::from("unknown"),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let cpu = status.get("cpu_usage").and_then(Value::as_f64);
    let pairs = [
        ("version", text("version")),
        ("uptime", text("uptime")),
        ("jobs", format!("{} running, {} waiting", text("jobs_running"), text("jobs_queued"))),
        ("processor", cpu.map_or_else(|| String::from("unknown"), |percent| format!("{percent:.0} %"))),
        ("memory", format!("{} MiB", text("memory_usage"))),
        ("disk", format!("{} MiB", text("disk_usage"))),
    ];
    let checks = health.get("checks").and_then(Value::as_object).into_iter().flatten();
    let row = |(part, check): (&String, &Value)| {
        let member = |name: &str| check.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        vec![part.clone(), member("status"), member("message")]
    };
    let rows: Vec<Vec<String>> = checks.map(row).collect();
    let parts = table::table(&["PART", "STATUS", "MESSAGE"], &rows, colours);
    format!("{}\n{parts}", table::pairs(&pairs, colours))
}

fn listed(known: &Value, colours: Colours) -> String {
    let runtimes = known.get("runtimes").and_then(Value::as_array).into_iter().flatten();
    let row = |runtime: &Value| {
        let text = |name: &str| runtime.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let words = |name: &str| {
            let words = runtime.get(name).and_then(Value::as_array).into_iter().flatten();
            words.filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        };
        vec![text("language"), text("version"), text("image"), words("extensions"), words("aliases")]
    };
    let rows: Vec<Vec<String>> = runtimes.map(row).collect();
    table::table(&["LANGUAGE", "VERSION", "IMAGE", "FILES", "ALIASES"], &rows, colours)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_status_shows_every_part_and_owns_up_to_what_is_not_known() {
        let status = json!({"version": "1", "uptime": "2h", "jobs_running": 3, "jobs_queued": 0,
            "cpu_usage": null, "memory_usage": 5, "disk_usage": 6});
        let health = json!({"status": "degraded", "checks": {"store": {"status": "healthy", "message": "well"}}});
        let text = described(&status, &health, Colours::None);
        assert!(text.contains("jobs       3 running, 0 waiting\n"), "{text}");
        assert!(text.contains("processor  unknown\n"), "{text}");
        assert!(text.contains("store  healthy  well\n"), "{text}");
        assert!(!is_unhealthy(&health) && is_unhealthy(&json!({"status": "unhealthy"})));
    }

    #[test]
    fn languages_are_a_table() {
        let known = json!({"runtimes": [{"language": "c", "version": "12", "image": "host", "extensions": [".c", ".h"], "aliases": ["gcc"]}]});
        assert_eq!(
            listed(&known, Colours::None),
            "LANGUAGE  VERSION  IMAGE  FILES  ALIASES\nc         12       host   .c .h  gcc\n"
        );
    }
}
