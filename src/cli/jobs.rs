//! `kiln jobs`: the list of jobs, newest first.
use http::Method;
use serde_json::Value;

use crate::cli::answer::{complain, printed};
use crate::cli::exit::Exit;
use crate::cli::job::print_json;
use crate::cli::remote::{self, RemoteArguments};
use crate::cli::surroundings::Surroundings;
use crate::cli::table::{self, Colours};
use crate::client::Question;

/// Which jobs.
#[derive(Debug, Default, clap::Args)]
pub(super) struct ListArguments {
    #[command(flatten)]
    remote: RemoteArguments,
    /// Only jobs of this status
    #[arg(long, value_name = "STATUS", value_parser = ["pending", "running", "completed", "failed", "cancelled", "timeout"])]
    status: Option<String>,
    /// Only jobs in this language
    #[arg(long, value_name = "LANGUAGE")]
    language: Option<String>,
    /// Jobs at most, up to 1000
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: u64,
    /// Newer jobs to leave out
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    offset: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &ListArguments, surroundings: &Surroundings, colours: Colours) -> Exit {
    remote::asking(async {
        let mut client = arguments.remote.client(surroundings)?;
        let list = client.json(Question::new(Method::GET, &path(arguments))).await?;
        if arguments.json {
            return Ok(print_json(&list));
        }
        let exit = printed(&shown(&list, colours));
        Ok(rest(&list).map_or(exit, |rest| complain(&rest, exit)))
    })
}

fn path(arguments: &ListArguments) -> String {
    let ListArguments { limit, offset, status, language, .. } = arguments;
    let given = [("status", status), ("language", language)];
    let given = given.into_iter().filter_map(|(name, value)| Some(format!("&{name}={}", encoded(value.as_ref()?))));
    format!("/v1/jobs?limit={limit}&offset={offset}{}", given.collect::<String>())
}

/// For a query (RFC 3986, section 2.1): all but letters, digits and `-._~` by their bytes.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let bytes =
        text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    bytes.collect()
}

fn shown(list: &Value, colours: Colours) -> String {
    let rows: Vec<Vec<String>> = jobs(list).iter().map(row).collect();
    table::table(&["ID", "STATUS", "LANGUAGE", "CREATED", "DURATION", "END"], &rows, colours)
}

/// What to ask for where there are more.
fn rest(list: &Value) -> Option<String> {
    let number = |name: &str| list.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (total, offset, count) = (number("total"), number("offset"), jobs(list).len());
    let next = offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    (count > 0 && next < total).then(|| format!("{count} of {total} jobs; for more: --offset {next}"))
}

fn jobs(list: &Value) -> &[Value] {
    list.get("jobs").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn row(job: &Value) -> Vec<String> {
    let text = |name: &str| job.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let work = if job.get("language").is_some() { text("language") } else { text("image") };
    vec![text("job_id"), text("status"), work, text("created_at"), text("duration"), end(job)]
}

/// The exit code, the signal, or what else ended it.
fn end(job: &Value) -> String {
    let member = |name: &str| job.pointer(&format!("/termination/{name}"));
    let reason = member("reason").and_then(Value::as_str).unwrap_or_default();
    match (reason, member("exit_code").and_then(Value::as_i64), member("signal").and_then(Value::as_str)) {
        ("exited", Some(code), _) => format!("exit {code}"),
        ("signaled", _, Some(signal)) => signal.to_owned(),
        (reason, ..) => reason.to_owned(),
    }
}

#[cfg(test)]
mod test {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_a_table_that_says_where_it_goes_on() {
        let job = |id: &str, end: Value| {
            json!({"job_id": id, "status": "completed", "language": "python",
            "created_at": "2026-01-01T00:00:00Z", "duration": "5ms", "termination": end})
        };
        let jobs = [
            job("job_1", json!({"reason": "exited", "exit_code": 3})),
            job("job_2", json!({"reason": "signaled", "exit_code": null, "signal": "SIGSEGV"})),
            job("job_3", json!({"reason": "memory_limit", "exit_code": null, "signal": "SIGKILL"})),
            json!({"job_id": "job_4", "status": "pending", "image": "host", "created_at": "2026-01-01T00:00:00Z"}),
        ];
        let list = json!({"jobs": jobs, "total": 9, "limit": 4, "offset": 1});
        let text = shown(&list, Colours::None);
        let expected = "\
ID     STATUS     LANGUAGE  CREATED               DURATION  END
job_1  completed  python    2026-01-01T00:00:00Z  5ms       exit 3
job_2  completed  python    2026-01-01T00:00:00Z  5ms       SIGSEGV
job_3  completed  python    2026-01-01T00:00:00Z  5ms       memory_limit
job_4  pending    host      2026-01-01T00:00:00Z
";
        assert_eq!(text, expected);
        assert_eq!(rest(&list).as_deref(), Some("4 of 9 jobs; for more: --offset 5"));
    }

    #[test]
    fn an_empty_list_has_only_its_head() {
        let list = json!({"jobs": [], "total": 3});
        assert_eq!((shown(&list, Colours::None).lines().count(), rest(&list)), (1, None));
    }

    #[test]
    fn arguments_are_encoded_into_the_query() {
        let arguments = ListArguments {
            status: Some(String::from("failed")),
            language: Some(String::from("c++&x")),
            limit: 5,
            ..ListArguments::default()
        };
        assert_eq!(path(&arguments), "/v1/jobs?limit=5&offset=0&status=failed&language=c%2B%2B%26x");
    }
}
