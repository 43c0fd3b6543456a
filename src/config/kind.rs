//! The types of settings: what is expected, and how it is read.
//!
//! What a type expects is one sentence, for faults and for the documentation.
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::base::size::ByteSize;
use crate::config::secret::Secret;
use crate::config::units;
use crate::config::value::Value;
use crate::config::yaml::Content;
use crate::plan::prefix::{Destination, Prefix};

/// Whether a value may be absent, written as null or as the empty text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// There is always one.
    Required,
    /// There may be none.
    Optional,
}

/// A type of setting, with its unit and range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// On or off.
    Switch,
    /// A whole number.
    Count {
        /// Of what; empty for a bare number.
        unit: &'static str,
        /// The least.
        least: u32,
        /// The most.
        most: u32,
    },
    /// A time in seconds; fractions are allowed.
    Seconds {
        /// The most. The least is a millisecond.
        most: u32,
    },
    /// A whole number of MiB.
    Mebibytes {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// A number of processors, to the thousandth.
    Processors {
        /// The least, in thousandths.
        least: u32,
        /// The most, in thousandths.
        most: u32,
    },
    /// A number of bytes, with or without a unit.
    Bytes {
        /// The least, in bytes.
        least: u64,
        /// The most, in bytes.
        most: u64,
    },
    /// An IP address or localhost.
    Address,
    /// A text that is not empty.
    Text,
    /// A filter of the log.
    Filter,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One of these words, or a list of them.
    Choices(&'static [&'static str]),
    /// A text, or a list of texts.
    Words,
    /// An absolute path.
    Path(Presence),
    /// A text that is never shown, or none.
    Secret,
    /// A part of the address space.
    Prefix(Presence),
    /// A list of parts of it, or of what is in them; it may be empty.
    Hosts(Hosts),
}

/// What a list of hosts has as its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// Addresses.
    Addresses,
    /// Prefixes.
    Prefixes,
    /// Prefixes, each with a port or without.
    Destinations,
}

impl Hosts {
    fn has(self, text: &str) -> bool {
        match self {
            Self::Addresses => text.parse::<IpAddr>().is_ok(),
            Self::Prefixes => text.parse::<Prefix>().is_ok(),
            Self::Destinations => text.parse::<Destination>().is_ok(),
        }
    }
}

/// A value as it was given.
#[derive(Clone, Copy, Debug)]
pub(super) enum Raw<'a> {
    /// In YAML, which has types.
    Typed(&'a Content),
    /// In a variable or an argument, which hold texts: the type is read out of the text.
    Untyped(&'a str),
}

impl Kind {
    /// What a value has to be, as the subject of a sentence.
    pub fn expected(self) -> String {
        match self {
            Self::Switch => String::from("true or false"),
            Self::Count { least, most, .. } => format!("a whole number from {least} to {most}"),
            Self::Seconds { most } => format!("a number of seconds from 0.001 to {most}"),
            Self::Mebibytes { least, most } => format!("a whole number of MiB from {least} to {most}"),
            Self::Processors { least, most } => {
                let of = |number| f64::from(number) / 1000.0;
                format!("a number of processors from {} to {}, to the thousandth,", of(least), of(most))
            }
            Self::Bytes { least, most } => {
                let of = |number| units::shown(ByteSize(number));
                format!("a number of bytes, like 10MB or 64KiB, from {} to {},", of(least), of(most))
            }
            Self::Address => String::from("an IP address or localhost"),
            Self::Text => String::from("a text that is not empty"),
            Self::Filter => String::from("a filter like info or \"info,kiln::queue=debug\""),
            Self::Choice(words) => either(words),
            Self::Choices(words) => format!("one or a list of {}", words.join(", ")),
            Self::Words => String::from("a text or a list of texts"),
            Self::Path(Presence::Required) => String::from("an absolute path"),
            Self::Path(Presence::Optional) => String::from("an absolute path or null"),
            Self::Secret => String::from("a text or null"),
            Self::Prefix(Presence::Required) => String::from("a prefix like 10.1.0.0/16"),
            Self::Prefix(Presence::Optional) => String::from("a prefix like fd00:1::/64 or null"),
            Self::Hosts(Hosts::Addresses) => String::from("a list of IP addresses"),
            Self::Hosts(Hosts::Prefixes) => String::from("a list of addresses or prefixes like 10.1.0.0/16"),
            Self::Hosts(Hosts::Destinations) => String::from(
                "a list of addresses or prefixes, with a port or without, like 10.1.0.0/16 or [fd00::1]:443,",
            ),
        }
    }

    /// The unit of the number, where it is one and has one.
    pub fn unit(self) -> Option<&'static str> {
        match self {
            Self::Count { unit, .. } => Some(unit).filter(|unit| !unit.is_empty()),
            Self::Seconds { .. } => Some("seconds"),
            Self::Mebibytes { .. } => Some("MiB"),
            Self::Processors { .. } => Some("processors"),
            Self::Bytes { .. } => Some("bytes"),
            Self::Switch
            | Self::Address
            | Self::Text
            | Self::Filter
            | Self::Choice(_)
            | Self::Choices(_)
            | Self::Words
            | Self::Path(_)
            | Self::Prefix(_)
            | Self::Hosts(_)
            | Self::Secret => None,
        }
    }

    /// Reads a value.
    ///
    /// # Errors
    /// Says what is expected and what was found.
    pub(super) fn read(self, raw: Raw<'_>) -> Result<Value, String> {
        self.convert(raw).ok_or_else(|| {
            let found = if self == Self::Secret { raw.hidden() } else { raw.shown() };
            format!("{} is expected, not {found}", self.expected())
        })
    }

    fn convert(self, raw: Raw<'_>) -> Option<Value> {
        match self {
            Self::Switch => raw.switch().map(Value::Switch),
            Self::Count { least, most, .. } => {
                raw.whole_from(least.into(), most.into()).and_then(|n| u32::try_from(n).ok()).map(Value::Count)
            }
            Self::Seconds { most } => {
                let seconds = raw.decimal().filter(|number| (0.001..=f64::from(most)).contains(number))?;
                Some(Value::Seconds(Duration::from_secs_f64(seconds)))
            }
            Self::Mebibytes { least, most } => {
                raw.whole_from(least, most).map(|number| Value::Mebibytes(ByteSize::mib(number)))
            }
            Self::Processors { least, most } => {
                raw.thousandths().filter(|number| (least..=most).contains(number)).map(Value::Processors)
            }
            Self::Bytes { least, most } => {
                let size = raw.bytes().filter(|size| (least..=most).contains(&size.bytes()))?;
                Some(Value::Bytes(size))
            }
            Self::Address => address(&raw.text()?).map(Value::Address),
            Self::Text => raw.text().filter(|text| !text.is_empty()).map(Value::Text),
            Self::Filter => raw.text().filter(|text| is_filter(text)).map(Value::Text),
            Self::Choice(words) => raw.text().filter(|text| words.contains(&text.as_str())).map(Value::Text),
            Self::Choices(known) => raw.words().and_then(|words| chosen(words, known)).map(Value::Words),
            Self::Words => raw.words().map(Value::Words),
            Self::Path(presence) => path(&raw, presence),
            Self::Prefix(presence) => prefix(&raw, presence),
            Self::Hosts(hosts) => {
                raw.words().filter(|words| words.iter().all(|word| hosts.has(word))).map(Value::Words)
            }
            Self::Secret => raw.text_or_nothing().map(|text| match text.as_str() {
                "" => Value::Nothing,
                _some => Value::Secret(Secret::new(text)),
            }),
        }
    }
}

/// "a, b or c".
fn either(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn address(text: &str) -> Option<IpAddr> {
    if text == "localhost" { Some(Ipv4Addr::LOCALHOST.into()) } else { text.parse().ok() }
}

fn is_filter(text: &str) -> bool {
    !text.is_empty() && EnvFilter::builder().parse(text).is_ok()
}

/// Each word once; nothing where one is unknown or there is none.
fn chosen(words: Vec<String>, known: &[&str]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for word in words {
        if !known.contains(&word.as_str()) {
            return None;
        }
        if !found.contains(&word) {
            found.push(word);
        }
    }
    if found.is_empty() { None } else { Some(found) }
}

fn prefix(raw: &Raw<'_>, presence: Presence) -> Option<Value> {
    let text = match presence {
        Presence::Required => raw.text()?,
        Presence::Optional => raw.text_or_nothing()?,
    };
    if text.is_empty() && presence == Presence::Optional {
        return Some(Value::Nothing);
    }
    text.parse().ok().map(Value::Prefix)
}

fn path(raw: &Raw<'_>, presence: Presence) -> Option<Value> {
    let text = match presence {
        Presence::Required => raw.text()?,
        Presence::Optional => raw.text_or_nothing()?,
    };
    if text.is_empty() && presence == Presence::Optional {
        return Some(Value::Nothing);
    }
    let path = PathBuf::from(text);
    path.is_absolute().then_some(Value::Path(path))
}

impl Raw<'_> {
    const fn switch(&self) -> Option<bool> {
        match self {
            Self::Typed(Content::Switch(value)) => Some(*value),
            Self::Untyped(text) => match text.as_bytes() {
                b"true" | b"1" => Some(true),
                b"false" | b"0" => Some(false),
                _other => None,
            },
            Self::Typed(_) => None,
        }
    }

    /// The digits of a number, as they are written.
    fn number(&self) -> Option<&str> {
        match self {
            Self::Typed(Content::Number(text)) => Some(text),
            Self::Untyped(text) => Some(text.trim()),
            Self::Typed(_) => None,
        }
    }

    /// Digits only: a leading zero meant an octal number to YAML 1.1, so it is none here.
    fn whole(&self) -> Option<u64> {
        let text = self.number()?;
        let ambiguous = text.len() > 1 && text.starts_with('0');
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if digits && !ambiguous { text.parse().ok() } else { None }
    }

    fn whole_from(&self, least: u64, most: u64) -> Option<u64> {
        self.whole().filter(|number| (least..=most).contains(number))
    }

    fn decimal(&self) -> Option<f64> {
        let text = self.number()?;
        let ordinary = text.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
        if ordinary { text.parse().ok() } else { None }
    }

    /// A number of thousandths; nothing where it is finer.
    fn thousandths(&self) -> Option<u32> {
        let number = self.decimal().filter(|number| (0.0..=1_000_000.0).contains(number))?;
        let rounded = Duration::from_secs_f64(number + 0.0005).as_millis();
        let rounded = u32::try_from(rounded).ok()?;
        let exact = (f64::from(rounded) / 1000.0 - number).abs() < 1e-9;
        exact.then_some(rounded)
    }

    fn bytes(&self) -> Option<ByteSize> {
        match self {
            Self::Typed(Content::Text(text)) => units::byte_size(text),
            Self::Typed(_) => self.whole().map(ByteSize),
            Self::Untyped(text) => units::byte_size(text),
        }
    }

    /// A text that came in whole: what is not UTF-8 in the environment holds U+FFFD.
    fn text(&self) -> Option<String> {
        let text = match self {
            Self::Typed(Content::Text(text)) => text,
            Self::Untyped(text) => *text,
            Self::Typed(_) => return None,
        };
        let whole = !text.contains(['\u{fffd}', '\0']);
        whole.then(|| text.to_owned())
    }

    /// The empty text for null.
    fn text_or_nothing(&self) -> Option<String> {
        match self {
            Self::Typed(Content::Null) | Self::Untyped("null") => Some(String::new()),
            Self::Typed(_) | Self::Untyped(_) => self.text(),
        }
    }

    /// A variable separates by commas, with or without brackets and quotes.
    fn words(&self) -> Option<Vec<String>> {
        match self {
            Self::Typed(Content::List(list)) => {
                list.iter().map(|word| Raw::Typed(word).text().filter(|text| !text.is_empty())).collect()
            }
            Self::Typed(_) => Some(vec![self.text().filter(|text| !text.is_empty())?]),
            Self::Untyped(_) => {
                let text = self.text()?;
                let bare = text.trim().trim_start_matches('[').trim_end_matches(']');
                let words = bare.split(',').map(|word| word.trim().trim_matches(['"', '\'']).to_owned());
                Some(words.filter(|word| !word.is_empty()).collect())
            }
        }
    }

    /// For people; a structure is not shown, a long text is cut.
    fn shown(&self) -> String {
        match self {
            Self::Typed(Content::Text(text)) => brief(text),
            Self::Typed(Content::Number(text)) => text.chars().take(40).collect(),
            Self::Typed(Content::Switch(value)) => value.to_string(),
            Self::Typed(Content::Null) => String::from("nothing"),
            Self::Typed(Content::Section(_)) => String::from("a section"),
            Self::Typed(Content::List(list)) => {
                let texts: Vec<_> = list.iter().take(10).map(|content| Raw::Typed(content).shown()).collect();
                format!("[{}]", texts.join(", "))
            }
            Self::Untyped(text) => brief(text),
        }
    }

    fn hidden(&self) -> String {
        match self {
            Self::Typed(Content::Text(_)) | Self::Untyped(_) => String::from("this text"),
            Self::Typed(Content::Number(_)) => String::from("a number; quote it"),
            Self::Typed(Content::Switch(_)) => String::from("a switch; quote it"),
            Self::Typed(Content::Null) => String::from("nothing"),
            Self::Typed(Content::Section(_)) => String::from("a section"),
            Self::Typed(Content::List(_)) => String::from("a list"),
        }
    }
}

fn brief(text: &str) -> String {
    format!("{:?}", text.chars().take(100).collect::<String>())
}
