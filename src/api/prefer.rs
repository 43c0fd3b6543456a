//! How long a client wants to wait for a job: `Prefer` (RFC 7240) and `"async": true`.
use std::time::Duration;

use crate::job::request::Answer;

/// What a request prefers. What is not understood is ignored, as the RFC says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Preference {
    respond_async: bool,
    wait: Option<Duration>,
}

impl Preference {
    /// Reads the header's text.
    pub(super) fn parse(text: &str) -> Self {
        let mut preference = Self::default();
        for item in text.split([',', ';']).map(str::trim) {
            let (name, value) = item.split_once('=').unwrap_or((item, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => preference.respond_async = true,
                "wait" => {
                    let seconds = value.trim().trim_matches('"').parse().ok();
                    preference.wait = preference.wait.or(seconds.map(Duration::from_secs));
                }
                _ => {}
            }
        }
        preference
    }

    /// How long to wait: `longest` unless less is asked for.
    pub(super) fn patience(self, answer: Answer, longest: Duration) -> Duration {
        match (answer, self.wait) {
            (Answer::AtOnce, _) => Duration::ZERO,
            (Answer::AtTheEnd, Some(wait)) => wait.min(longest),
            (Answer::AtTheEnd, None) if self.respond_async => Duration::ZERO,
            (Answer::AtTheEnd, None) => longest,
        }
    }

    /// The text of `Preference-Applied`; nothing where no preference counted.
    pub(super) fn applied(self, answer: Answer, longest: Duration) -> Option<String> {
        match (answer, self.wait) {
            (Answer::AtTheEnd, Some(wait)) => Some(format!("wait={}", wait.min(longest).as_secs())),
            _ if self.respond_async => Some(String::from("respond-async")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(100);

    #[track_caller]
    fn check(text: &str, patience_s: u64, applied: Option<&str>) {
        let preference = Preference::parse(text);
        let patience = preference.patience(Answer::AtTheEnd, LONGEST);
        assert_eq!(patience, Duration::from_secs(patience_s));
        assert_eq!(preference.applied(Answer::AtTheEnd, LONGEST).as_deref(), applied);
    }

    #[test]
    fn the_preferences_of_rfc_7240_are_read() {
        check("", 100, None);
        check("respond-async", 0, Some("respond-async"));
        check("Respond-Async, wait=5", 5, Some("wait=5"));
        check("wait = \"7\"", 7, Some("wait=7"));
        check("wait=5, wait=6", 5, Some("wait=5"));
        check("return=minimal, wait=x", 100, None);
        check("wait=1000", 100, Some("wait=100"));
    }

    #[test]
    fn a_body_that_says_async_does_not_wait() {
        let preference = Preference::parse("wait=5");
        assert_eq!(preference.patience(Answer::AtOnce, LONGEST), Duration::ZERO);
        assert_eq!(preference.applied(Answer::AtOnce, LONGEST), None);
    }
}
