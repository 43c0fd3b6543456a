//! The value of one setting, and how it is written in YAML.
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::size::ByteSize;
use crate::config::secret::Secret;
use crate::config::units;
use crate::config::yaml::{self, Content};
use crate::plan::prefix::Prefix;

/// What stands in place of a secret.
pub const MASK: &str = "\"***\"";

/// The value of one setting.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Not set, where that may be.
    Nothing,
    /// On or off.
    Switch(bool),
    /// A whole number.
    Count(u32),
    /// A time.
    Seconds(Duration),
    /// An amount that is given in MiB.
    Mebibytes(ByteSize),
    /// Processors, in thousandths.
    Processors(u32),
    /// An amount that is given with a unit.
    Bytes(ByteSize),
    /// An address.
    Address(IpAddr),
    /// A text, or one of a few words.
    Text(String),
    /// An absolute path.
    Path(PathBuf),
    /// Several texts.
    Words(Vec<String>),
    /// A part of the address space.
    Prefix(Prefix),
    /// A text that is not shown.
    Secret(Secret),
}

impl Value {
    /// As YAML that reads as the same value again; a secret is masked.
    pub fn yaml(&self) -> String {
        match self {
            Self::Nothing => String::from("null"),
            Self::Switch(value) => value.to_string(),
            Self::Count(value) => value.to_string(),
            Self::Seconds(value) => value.as_secs_f64().to_string(),
            Self::Mebibytes(value) => value.whole_mib().to_string(),
            Self::Processors(value) => (f64::from(*value) / 1000.0).to_string(),
            Self::Bytes(value) => units::shown(*value),
            Self::Address(value) => text(&value.to_string()),
            Self::Text(value) => text(value),
            Self::Path(value) => text(&value.to_string_lossy()),
            Self::Words(words) => {
                let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
                format!("[{}]", words.join(", "))
            }
            Self::Prefix(value) => text(&value.to_string()),
            Self::Secret(_) => MASK.to_owned(),
        }
    }
}

/// Plain where it reads as the same text, else in quotes.
fn text(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
    let same = || yaml::parse(text).is_ok_and(|(node, _)| node.content == Content::Text(text.to_owned()));
    if begins && text.chars().all(harmless) && same() { text.to_owned() } else { quoted(text) }
}

/// In double quotes (YAML 1.2.2 section 5.7 has the escapes).
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                // Writing to a String does not fail.
                if write!(out, "\\u{:04x}", u32::from(c)).is_err() {
                    out.push('?');
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
