//! JSON text to a value. A member that is there twice is a fault: two readers could take different
//! ones (RFC 8259, section 4).
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::base::fault::Faults;
use crate::job::request::fields::{FAULTS_AT_MOST, shown};

/// Reads a text.
///
/// # Errors
/// Where it stops to be JSON, or every member that is there twice.
pub fn parse(text: &[u8]) -> Result<Value, Faults> {
    let mut reading = Reading::default();
    let mut source = serde_json::Deserializer::from_slice(text);
    let value = (&mut reading).deserialize(&mut source);
    match value.and_then(|value| source.end().map(|()| value)) {
        Ok(value) if reading.faults.is_empty() => Ok(value),
        Ok(_) => Err(reading.faults),
        Err(reason) => {
            let mut faults = Faults::default();
            faults.add("body", format!("not JSON: {reason}"));
            Err(faults)
        }
    }
}

/// Names of a path that a fault shows, the last ones: each may be long, and there may be a hundred.
const NAMES_AT_MOST: usize = 4;

/// Where the reader is, and what it found.
#[derive(Default)]
struct Reading {
    path: Vec<String>,
    faults: Faults,
}

impl Reading {
    fn note_twice(&mut self, name: &str) {
        if self.faults.as_slice().len() < FAULTS_AT_MOST {
            let left_out = self.path.len().saturating_sub(NAMES_AT_MOST);
            let above = self.path.iter().skip(left_out).map(String::as_str);
            let before = (left_out > 0).then_some("…");
            let field = before.into_iter().chain(above).chain([name]).collect::<Vec<_>>().join(".");
            self.faults.add(field, "is given twice");
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Reading {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Reading {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(&mut *self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let short = shown(&name);
            if map.contains_key(&name) {
                self.note_twice(&short);
            }
            self.path.push(short);
            let value = members.next_value_seed(&mut *self)?;
            self.path.pop();
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[track_caller]
    fn fault(text: &str) -> (String, String) {
        let faults = parse(text.as_bytes()).unwrap_err().into_vec();
        assert_eq!(faults.len(), 1);
        (faults[0].field.clone(), faults[0].message.clone())
    }

    #[test]
    fn a_text_becomes_the_value_that_it_is() {
        let text = r#"{"a": [1, -2, 1.5, "é", null, true], "b": {}}"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn a_member_given_twice_is_named() {
        assert_eq!(fault(r#"{"a": {"b": 1, "b": 2}}"#).0, "a.b");
        assert_eq!(fault(r#"{"code": "x", "code": "x"}"#).1, "is given twice");
    }

    #[test]
    fn the_path_of_a_member_given_twice_is_short() {
        let name = "é".repeat(64);
        let text = [format!("{{\"{name}\":").repeat(100), format!("{{\"{name}\":1,\"{name}\":2}}"), "}".repeat(100)];
        let (field, message) = fault(&text.concat());
        assert!(field.starts_with(&format!("….{name}.")) && field.ends_with(&name), "{field}");
        assert!(field.len() < 1024, "{} bytes", field.len());
        assert_eq!(message, "is given twice");
    }

    #[test]
    fn what_is_not_json_is_a_fault_of_the_body() {
        for text in ["", "{", "{\"a\":}", "[1,]", "{} x", "\u{feff}{}", "nul", "1e999"] {
            assert_eq!(fault(text).0, "body", "{text}");
        }
        assert_eq!(parse(b"\"\xff\"").unwrap_err().as_slice().len(), 1);
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow() {
        assert!(fault(&"[".repeat(100_000)).1.contains("recursion"));
    }
}
