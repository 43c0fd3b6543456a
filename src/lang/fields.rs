//! The members of one TOML table, each taken once under its type.
//!
//! A member at fault is noted and replaced by an empty value: nothing of it is used, because a table with a fault is no
//! table. Recipes of images are read by it too. Not here: what the members mean.
use toml::{Table, Value};

use crate::base::fault::Faults;
use crate::base::size::ByteSize;

/// No table has more languages than this, and no list of words more words.
pub(crate) const MOST: usize = 256;

/// The members of one table that were not yet taken.
pub(crate) struct Fields<'a> {
    pub(crate) table: Table,
    pub(crate) path: String,
    pub(crate) faults: &'a mut Faults,
}

impl Fields<'_> {
    pub(crate) fn required_text(&mut self, key: &str) -> String {
        let Some(value) = self.table.remove(key) else {
            self.fault(key, "is missing");
            return String::new();
        };
        if let Value::String(text) = value {
            return text;
        }
        wrong_type(self.faults, &format!("{}.{key}", self.path), "a string", &value);
        String::new()
    }

    pub(crate) fn optional_text(&mut self, key: &str) -> Option<String> {
        self.table.contains_key(key).then(|| self.required_text(key))
    }

    pub(crate) fn required_words(&mut self, key: &str) -> Vec<String> {
        if !self.table.contains_key(key) {
            self.fault(key, "is missing");
            return vec![String::from("/")];
        }
        self.words(key).unwrap_or_default()
    }

    pub(crate) fn words(&mut self, key: &str) -> Option<Vec<String>> {
        let path = format!("{}.{key}", self.path);
        let value = self.table.remove(key)?;
        let Value::Array(list) = value else {
            wrong_type(self.faults, &path, "a list of strings", &value);
            return Some(vec![String::from("/")]);
        };
        if list.len() > MOST {
            self.fault(key, &format!("has more than {MOST} words"));
        }
        let mut words = Vec::new();
        for (index, value) in list.into_iter().take(MOST).enumerate() {
            if let Value::String(word) = value {
                words.push(word);
            } else {
                wrong_type(self.faults, &format!("{path}[{index}]"), "a string", &value);
            }
        }
        Some(words)
    }

    pub(crate) fn pairs(&mut self, key: &str) -> Vec<(String, String)> {
        let Some(fields) = self.section(key) else { return Vec::new() };
        let mut pairs = Vec::new();
        for (name, value) in fields.table {
            let path = format!("{}.{name}", fields.path);
            let Some(text) = value.as_str() else {
                wrong_type(fields.faults, &path, "a string", &value);
                continue;
            };
            if name.is_empty() || name.contains(['=', '\0']) || text.contains('\0') {
                fields.faults.add(path, "is no variable and its text");
            }
            pairs.push((name, text.to_owned()));
        }
        pairs
    }

    /// Nothing is 0.
    pub(crate) fn count(&mut self, key: &str) -> u32 {
        let Some(value) = self.table.remove(key) else { return 0 };
        let count = value.as_integer().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        count.unwrap_or_else(|| {
            self.fault(key, "a whole number above 0 is expected");
            0
        })
    }

    pub(crate) fn mebibytes(&mut self, key: &str) -> ByteSize {
        ByteSize::mib(u64::from(self.count(key)))
    }

    pub(crate) fn section(&mut self, key: &str) -> Option<Fields<'_>> {
        let path = format!("{}.{key}", self.path);
        let value = self.table.remove(key)?;
        let Value::Table(table) = value else {
            wrong_type(self.faults, &path, "a table", &value);
            return None;
        };
        Some(Fields { table, path, faults: self.faults })
    }

    pub(crate) fn refuse_rest(self) {
        for (key, _value) in self.table {
            self.faults.add(format!("{}.{key}", self.path), "unknown field");
        }
    }

    pub(crate) fn fault(&mut self, key: &str, message: &str) {
        self.faults.add(format!("{}.{key}", self.path), message);
    }
}

pub(crate) fn wrong_type(faults: &mut Faults, path: &str, expected: &str, found: &Value) {
    faults.add(path, format!("{expected} is expected, not {}", found.type_str()));
}
