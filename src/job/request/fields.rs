//! Reads the members of a JSON object, and notes what is wrong with each.
//!
//! A member of the wrong type is noted once and counts as absent from then on. `null` is a wrong
//! type: what is not given is left out. Not here: what the members mean.
use serde_json::{Map, Value};

use crate::base::fault::Faults;

/// Faults that are named at most; a body of a million unknown members has a short answer.
pub const FAULTS_AT_MOST: usize = 100;
/// Characters of a foreign name that a fault repeats.
const NAME_AT_MOST: usize = 64;

/// One JSON object whose members are read.
#[derive(Debug)]
pub struct Reader<'value, 'faults> {
    members: Option<&'value Map<String, Value>>,
    prefix: String,
    faults: &'faults mut Faults,
}

impl<'value, 'faults> Reader<'value, 'faults> {
    /// Reads a whole body.
    pub fn root(body: &'value Value, faults: &'faults mut Faults) -> Self {
        let members = body.as_object();
        let mut reader = Self { members, prefix: String::new(), faults };
        if members.is_none() {
            reader.fault("body", format!("an object is expected, not {}", kind(body)));
        }
        reader
    }

    /// Reads the object in member `name`.
    pub fn inside(&mut self, name: &str) -> Reader<'value, '_> {
        let members = self.typed(name, "an object", Value::as_object);
        Reader { members, prefix: format!("{}{name}.", self.prefix), faults: self.faults }
    }

    /// The list in member `name`.
    pub fn list(&mut self, name: &str) -> Option<&'value [Value]> {
        self.typed(name, "a list", Value::as_array).map(Vec::as_slice)
    }

    /// Reads the object that is an item of the list in member `name`.
    pub fn item(&mut self, name: &str, index: usize, item: &'value Value) -> Reader<'value, '_> {
        let members = item.as_object();
        let name = format!("{name}[{index}]");
        if members.is_none() {
            self.wrong_type(&name, "an object", item);
        }
        Reader { members, prefix: format!("{}{name}.", self.prefix), faults: self.faults }
    }

    /// Whether there are members to read: a body that is no object has one fault and no others.
    pub const fn is_object(&self) -> bool {
        self.members.is_some()
    }

    /// Whether the member is there, of whatever type.
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// Notes every member that is not in the list.
    pub fn only(&mut self, known: &[&str]) {
        for name in self.members.into_iter().flat_map(Map::keys).map(String::as_str) {
            if !known.contains(&name) {
                self.fault(&shown(name), format!("unknown field; known: {}", known.join(", ")));
            }
        }
    }

    /// The text in member `name`.
    pub fn text(&mut self, name: &str) -> Option<&'value str> {
        self.typed(name, "a string", Value::as_str)
    }

    /// The truth value in member `name`.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.typed(name, "true or false", Value::as_bool)
    }

    /// The number in member `name`, as it was written.
    pub fn number(&mut self, name: &str) -> Option<&'value serde_json::Number> {
        self.typed(name, "a number", Value::as_number)
    }

    /// The texts in the list in member `name`. An item of a wrong type is noted and stands as `?`,
    /// so that the others keep their numbers.
    pub fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let list = self.typed(name, "a list of strings", Value::as_array)?;
        let mut texts = Vec::with_capacity(list.len());
        for (index, item) in list.iter().enumerate() {
            if !item.is_string() {
                self.wrong_type(&format!("{name}[{index}]"), "a string", item);
            }
            texts.push(item.as_str().unwrap_or("?").to_owned());
        }
        Some(texts)
    }

    /// Names and texts of the object in member `name`, sorted by name, without those that are no text.
    pub fn pairs(&mut self, name: &str) -> Vec<(String, String)> {
        let object = self.typed(name, "an object of strings", Value::as_object);
        let mut pairs = Vec::new();
        for (key, item) in object.into_iter().flatten() {
            match item.as_str() {
                Some(text) => pairs.push((key.clone(), text.to_owned())),
                None => self.wrong_type(&format!("{name}.{}", shown(key)), "a string", item),
            }
        }
        pairs.sort();
        pairs
    }

    /// Notes what is wrong with `name`, a member of this object.
    pub fn fault(&mut self, name: &str, message: impl Into<String>) {
        if self.faults.as_slice().len() < FAULTS_AT_MOST {
            self.faults.add(format!("{}{name}", self.prefix), message);
        }
    }

    fn value(&self, name: &str) -> Option<&'value Value> {
        self.members?.get(name)
    }

    fn typed<T>(&mut self, name: &str, expected: &str, cast: impl FnOnce(&'value Value) -> Option<T>) -> Option<T> {
        let value = self.value(name)?;
        let found = cast(value);
        if found.is_none() {
            self.wrong_type(name, expected, value);
        }
        found
    }

    fn wrong_type(&mut self, name: &str, expected: &str, value: &Value) {
        self.fault(name, format!("{expected} is expected, not {}", kind(value)));
    }
}

/// A foreign name as a fault shows it: short, and without control characters.
pub fn shown(name: &str) -> String {
    let mut characters = name.chars();
    let mut text: String = characters.by_ref().take(NAME_AT_MOST).map(printable).collect();
    if characters.next().is_some() {
        text.push('…');
    }
    text
}

fn printable(character: char) -> char {
    if character.is_control() { char::REPLACEMENT_CHARACTER } else { character }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
