//! Query parameters, read so that every fault is named at once. The document shows their types
//! (`document::PARAMETERS`), and takes them from there.
use poem::{FromRequest, Request, RequestBody};

use crate::base::fault::Faults;
use crate::job::request::fields::{FAULTS_AT_MOST, shown};

/// Parameters that every operation has: the version (`version`).
const COMMON: [&str; 1] = ["v"];

/// The query of a request, decoded, in its order.
#[derive(Debug)]
pub(super) struct RawQuery(Vec<(String, String)>);

impl<'a> FromRequest<'a> for RawQuery {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        // Whatever is not UTF-8 once it is decoded becomes U+FFFD (WHATWG URL, section 5.1).
        Ok(Self(request.params().unwrap_or_default()))
    }
}

/// Reads the parameters of one operation.
#[derive(Debug)]
pub(super) struct QueryReader<'a> {
    query: &'a RawQuery,
    known: Vec<&'static str>,
    faults: Faults,
}

impl RawQuery {
    /// Begins to read.
    pub(super) fn reader(&self) -> QueryReader<'_> {
        QueryReader { query: self, known: COMMON.to_vec(), faults: Faults::default() }
    }
}

impl<'a> QueryReader<'a> {
    /// The text of a parameter, where it is there once.
    pub(super) fn text(&mut self, name: &'static str) -> Option<&'a str> {
        self.known.push(name);
        let mut values = self.query.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            self.fault(name, String::from("is given twice"));
            return None;
        }
        first
    }

    /// A whole number from `least` to `most`; nothing where it is absent or at fault.
    pub(super) fn number(&mut self, name: &'static str, least: u64, most: u64) -> Option<u64> {
        let text = self.text(name)?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            let asked = shown(text);
            let reason = if digits { "was asked for" } else { "is no whole number" };
            self.fault(name, format!("`{asked}` {reason}; the ceiling is {most} and the least is {least}"));
        }
        number
    }

    /// One of these words.
    pub(super) fn word<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.fault(name, format!("`{}` is not known; known: {}", shown(text), known.join(", ")));
        }
        found
    }

    /// Notes what is wrong with a parameter.
    pub(super) fn fault(&mut self, name: &str, message: String) {
        if self.faults.as_slice().len() < FAULTS_AT_MOST {
            self.faults.add(name, message);
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Everything that is wrong, parameters that nobody reads among it.
    pub(super) fn end(mut self) -> Result<(), Faults> {
        let foreign = self.query.0.iter().filter(|(name, _)| !self.known.contains(&name.as_str()));
        let foreign: Vec<String> = foreign.map(|(name, _)| shown(name)).collect();
        let known = self.known.iter().copied().filter(|name| !COMMON.contains(name)).collect::<Vec<_>>().join(", ");
        for name in foreign {
            self.fault(&name, format!("unknown parameter; known: {known}"));
        }
        if self.faults.is_empty() { Ok(()) } else { Err(self.faults) }
    }
}
