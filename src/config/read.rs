//! Typed reading of single keys. A fault names the key, the source, what is expected and what was
//! found; the default then stands in, so that the next key is read as well.
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use figment::value::{Dict, Value};

use crate::base::fault::Faults;
use crate::base::size::ByteSize;
use crate::config::layers::{self, Layers};
use crate::config::secret::Secret;
use crate::config::units;

/// One value and where it comes from.
#[derive(Clone, Debug)]
struct Given {
    value: Value,
    /// Variables hold text only: numbers and lists are read out of it.
    from_variable: bool,
}

/// Reads keys and gathers what is wrong with them.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    layers: &'a Layers,
    faults: &'a mut Faults,
    seen: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(layers: &'a Layers, faults: &'a mut Faults) -> Self {
        Self { layers, faults, seen: Vec::new() }
    }

    /// The keys that were read.
    #[cfg(test)]
    pub(super) fn seen(&self) -> &[String] {
        &self.seen
    }

    pub(super) fn switch(&mut self, key: &str) -> bool {
        self.read(key, "true or false", Given::switch).unwrap_or(false)
    }

    pub(super) fn text(&mut self, key: &str) -> String {
        self.read(key, "a text", |given| given.text().filter(|text| !text.is_empty())).unwrap_or_default()
    }

    /// A text that may be absent: null and the empty text mean so.
    pub(super) fn optional_text(&mut self, key: &str) -> Option<String> {
        let text = self.read(key, "a text", Given::text_or_nothing).unwrap_or_default();
        if text.is_empty() { None } else { Some(text) }
    }

    pub(super) fn secret(&mut self, key: &str) -> Option<Secret> {
        self.optional_text(key).map(Secret::new)
    }

    pub(super) fn words(&mut self, key: &str) -> Vec<String> {
        self.read(key, "a text or a list of texts", Given::words).unwrap_or_default()
    }

    pub(super) fn address(&mut self, key: &str) -> IpAddr {
        self.read(key, "an IP address or localhost", |given| {
            let text = given.text()?;
            if text == "localhost" { Some(Ipv4Addr::LOCALHOST.into()) } else { text.parse().ok() }
        })
        .unwrap_or(Ipv4Addr::LOCALHOST.into())
    }

    /// A whole number from `least` to `most`.
    pub(super) fn count(&mut self, key: &str, least: u32, most: u32) -> u32 {
        let expected = format!("a whole number from {least} to {most}");
        self.read(key, &expected, |given| {
            let number = u32::try_from(given.whole()?).ok()?;
            (least..=most).contains(&number).then_some(number)
        })
        .unwrap_or(least)
    }

    /// A time in seconds from a millisecond to a year.
    pub(super) fn seconds(&mut self, key: &str) -> Duration {
        self.read(key, "a number of seconds above 0", |given| {
            let number = given.decimal()?;
            let possible = (0.001..=31_536_000.0).contains(&number);
            possible.then(|| Duration::from_secs_f64(number))
        })
        .unwrap_or(Duration::ZERO)
    }

    /// A whole number of MiB, at least `least`.
    pub(super) fn mebibytes(&mut self, key: &str, least: u64) -> ByteSize {
        let expected = format!("a whole number of MiB, at least {least}");
        self.read(key, &expected, |given| {
            let number = given.whole()?;
            (least..=1 << 40).contains(&number).then(|| ByteSize::mib(number))
        })
        .unwrap_or(ByteSize::mib(least))
    }

    /// A number of processors, in thousandths.
    pub(super) fn milli_cpus(&mut self, key: &str) -> u32 {
        self.read(key, "a number of processors from 0.01 to 1024", |given| {
            let number = given.decimal().filter(|number| (0.01..=1024.0).contains(number))?;
            u32::try_from(Duration::from_secs_f64(number).as_millis()).ok()
        })
        .unwrap_or(1000)
    }

    pub(super) fn byte_size(&mut self, key: &str) -> ByteSize {
        self.read(key, "a number of bytes above 0, like 10MB or 64KiB", |given| {
            let plain = given.whole().map(ByteSize);
            plain.or_else(|| units::byte_size(&given.text()?)).filter(|size| size.bytes() > 0)
        })
        .unwrap_or(ByteSize(1))
    }

    /// Notes a fault of a value that was read well and means nothing.
    pub(super) fn refuse(&mut self, key: &str, message: &str) {
        let name = layers::source_name(&self.layers.merged, key);
        self.faults.add(key, format!("{message} (from {name})"));
    }

    fn read<T>(&mut self, key: &str, expected: &str, convert: impl Fn(&Given) -> Option<T>) -> Option<T> {
        self.seen.push(key.to_owned());
        let given = self.given(key);
        let converted = given.as_ref().and_then(&convert);
        if let (Some(given), None) = (&given, &converted) {
            self.refuse(key, &format!("{expected} is expected, not {}", given.shown(key)));
        }
        converted.or_else(|| {
            let value = default(&self.layers.defaults, key)?;
            convert(&Given { value, from_variable: false })
        })
    }

    /// Nothing where the section around the key is none, which was reported already.
    fn given(&self, key: &str) -> Option<Given> {
        let merged = &self.layers.merged;
        let value = merged.find_value(key).ok()?;
        let from_variable = layers::source_name(merged, key).starts_with("variable ");
        Some(Given { value, from_variable })
    }
}

fn default(defaults: &Dict, key: &str) -> Option<Value> {
    Value::from(defaults.clone()).find(key)
}

impl Given {
    fn switch(&self) -> Option<bool> {
        match self.value.as_str() {
            Some("true" | "1") if self.from_variable => Some(true),
            Some("false" | "0") if self.from_variable => Some(false),
            _other => self.value.to_bool(),
        }
    }

    fn whole(&self) -> Option<u64> {
        match self.value.as_str() {
            Some(text) if self.from_variable => text.trim().parse().ok(),
            _other => {
                let signed = self.value.to_i128().and_then(|number| u64::try_from(number).ok());
                signed.or_else(|| self.value.to_u128().and_then(|n| u64::try_from(n).ok()))
            }
        }
    }

    fn decimal(&self) -> Option<f64> {
        match self.value.as_str() {
            Some(text) if self.from_variable => text.trim().parse().ok(),
            _other => {
                let whole = || u32::try_from(self.whole()?).ok().map(f64::from);
                self.value.to_f64().or_else(whole)
            }
        }
    }

    /// A text that came in whole: `main` makes what is not UTF-8 into U+FFFD.
    fn text(&self) -> Option<String> {
        self.value.as_str().filter(|text| !text.contains(['\u{fffd}', '\0'])).map(str::to_owned)
    }

    /// The empty text for null.
    fn text_or_nothing(&self) -> Option<String> {
        if matches!(self.value, Value::Empty(..)) { Some(String::new()) } else { self.text() }
    }

    fn words(&self) -> Option<Vec<String>> {
        if let Some(list) = self.value.as_array() {
            return list.iter().map(|word| word.as_str().map(str::to_owned)).collect();
        }
        let text = self.text()?;
        if !self.from_variable {
            return Some(vec![text]);
        }
        let bare = text.trim().trim_start_matches('[').trim_end_matches(']');
        let words = bare.split(',').map(|word| word.trim().trim_matches('"').to_owned());
        Some(words.filter(|word| !word.is_empty()).collect())
    }

    /// The value for people; a secret and a structure are not shown.
    fn shown(&self, key: &str) -> String {
        let secret = key.ends_with("secret");
        match &self.value {
            Value::String(..) if secret => String::from("this text"),
            Value::String(_, text) => format!("{:?}", text.chars().take(100).collect::<String>()),
            Value::Bool(_, value) => value.to_string(),
            Value::Num(..) if secret => String::from("a number"),
            Value::Num(_, number) => number
                .to_i128()
                .map(|n| n.to_string())
                .or_else(|| number.to_u128().map(|n| n.to_string()))
                .or_else(|| number.to_f64().map(|n| n.to_string()))
                .unwrap_or_else(|| String::from("this number")),
            Value::Char(_, value) => value.to_string(),
            Value::Empty(..) => String::from("nothing"),
            Value::Dict(..) => String::from("a section"),
            Value::Array(..) => String::from("this list"),
        }
    }
}
