//! What is right of a sandbox, name by name, and what a sandbox has beside it.
//!
//! A name of the golden structure has a value, or an object with `why` in it: `is` lists the values that are right,
//! `host` names the fact of the host that it must equal, `absent` says that it may be missing. A name that is not there is
//! not known and wrong. Pure. Not here: how a sandbox is observed.
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// Names and values.
pub(super) type Found = BTreeMap<String, Value>;

/// What is right for one name.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Expected {
    Varies(Varies),
    Value(Value),
}

/// Differs from host to host, for a reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Varies {
    why: String,
    #[serde(default)]
    is: Vec<Value>,
    host: Option<String>,
    #[serde(default)]
    absent: bool,
}

/// What is right.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Golden(BTreeMap<String, Expected>);

impl Golden {
    pub(super) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap()
    }

    /// Everything that is not as it should be, each with its name.
    pub(super) fn faults(&self, found: &Found, host: &Found) -> Vec<String> {
        let unknown = found.keys().filter(|name| !self.0.contains_key(*name));
        let unknown = unknown.map(|name| format!("`{name}` is not known: {}", found[name]));
        let wrong = self.0.iter().filter_map(|(name, expected)| {
            let fault = expected.fault(found.get(name), host)?;
            Some(format!("`{name}` {fault}"))
        });
        unknown.chain(wrong).collect()
    }
}

impl Expected {
    fn fault(&self, found: Option<&Value>, host: &Found) -> Option<String> {
        let (right, may_be_absent) = match self {
            Self::Value(value) => (vec![value], false),
            Self::Varies(varies) => (varies.right(host), varies.absent),
        };
        match found {
            None => (!may_be_absent).then(|| String::from("is missing")),
            Some(found) if right.contains(&found) => None,
            Some(found) => {
                let right: Vec<String> = right.into_iter().map(Value::to_string).collect();
                Some(format!("is {found} and should be {}", right.join(" or ")))
            }
        }
    }
}

impl Varies {
    fn right<'a>(&'a self, host: &'a Found) -> Vec<&'a Value> {
        assert!(self.why.len() > 10, "no reason: {self:?}");
        let of_host = self.host.as_ref().map(|fact| host.get(fact).unwrap_or_else(|| panic!("no fact `{fact}`")));
        self.is.iter().chain(of_host).collect()
    }
}

#[cfg(test)]
mod test {
    use serde_json::{Value, from_value, json};

    use super::{Found, Golden};

    #[track_caller]
    fn expect(golden: Value, found: Value, faults: &[&str]) {
        let golden: Golden = from_value(golden).unwrap();
        let (found, host): (Found, Found) = (from_value(found).unwrap(), from_value(json!({"release": "6"})).unwrap());
        assert_eq!(golden.faults(&found, &host), faults);
    }

    #[test]
    fn what_is_right_has_no_fault() {
        let varies = json!({"is": [1, 2], "why": "for a reason that is given"});
        let release = json!({"host": "release", "why": "uname tells it anyway"});
        expect(json!({"a": 1, "b": varies, "c": release}), json!({"a": 1, "b": 2, "c": "6"}), &[]);
    }

    #[test]
    fn a_name_that_is_not_known_is_a_fault() {
        expect(json!({"a": 1}), json!({"a": 1, "b": [2]}), &["`b` is not known: [2]"]);
    }

    #[test]
    fn a_missing_name_is_a_fault_unless_it_may_be_absent() {
        let absent = json!({"is": [1], "absent": true, "why": "for a reason that is given"});
        expect(json!({"a": 1, "b": absent}), json!({}), &["`a` is missing"]);
    }

    #[test]
    fn another_value_is_a_fault() {
        let varies = json!({"is": [1, 2], "why": "for a reason that is given"});
        let release = json!({"host": "release", "why": "uname tells it anyway"});
        expect(
            json!({"a": 1, "b": varies, "c": release}),
            json!({"a": 2, "b": 3, "c": "7"}),
            &["`a` is 2 and should be 1", "`b` is 3 and should be 1 or 2", "`c` is \"7\" and should be \"6\""],
        );
    }
}
