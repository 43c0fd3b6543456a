//! Numbers with a unit as JSON shows them: `30`, not `30.0`; `0.25` where there is a fraction.
use std::borrow::Cow;
use std::time::Duration;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use serde_json::{Number, Value};

use crate::base::size::ByteSize;

/// A number that is whole where it can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Amount(Number);

impl Amount {
    /// So many seconds.
    pub(super) fn seconds(time: Duration) -> Self {
        // The decimal text, because a sum of two floats shows digits that nobody measured.
        let text = format!("{}.{:09}", time.as_secs(), time.subsec_nanos());
        Self::of(time.as_secs(), text.parse().unwrap_or(f64::MAX), time.subsec_nanos() == 0)
    }

    /// So many MiB.
    pub(super) fn mib(size: ByteSize) -> Self {
        let rest = u32::try_from(size.bytes() % (1 << 20)).unwrap_or(0);
        let fraction = f64::from(rest) / f64::from(1 << 20);
        let whole = u32::try_from(size.whole_mib()).map_or(f64::INFINITY, f64::from);
        Self::of(size.whole_mib(), whole + fraction, rest == 0)
    }

    /// A plain number.
    pub(super) fn count(number: u32) -> Self {
        Self(Number::from(number))
    }

    /// So many thousandths.
    pub(super) fn thousandths(number: u32) -> Self {
        Self::of(u64::from(number / 1000), f64::from(number) / 1000.0, number.is_multiple_of(1000))
    }

    fn of(whole: u64, number: f64, is_whole: bool) -> Self {
        let exact = if is_whole { None } else { Number::from_f64(number) };
        Self(exact.unwrap_or_else(|| Number::from(whole)))
    }
}

impl Type for Amount {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        Cow::Borrowed("number")
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new("number")))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(self.as_raw_value().into_iter())
    }
}

impl ToJSON for Amount {
    fn to_json(&self) -> Option<Value> {
        Some(Value::Number(self.0.clone()))
    }
}

impl ParseFromJSON for Amount {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let value = value.unwrap_or_default();
        let number = value.as_number().cloned();
        number.map(Self).ok_or_else(|| ParseError::expected_type(value))
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn whole_numbers_have_no_point() {
        assert_eq!(Amount::seconds(Duration::from_secs(30)).0.to_string(), "30");
        assert_eq!(Amount::seconds(Duration::from_millis(250)).0.to_string(), "0.25");
        assert_eq!(Amount::seconds(Duration::from_micros(8_468_032)).0.to_string(), "8.468032");
        assert_eq!(Amount::mib(ByteSize::mib(128)).0.to_string(), "128");
        assert_eq!(Amount::mib(ByteSize::kib(1536)).0.to_string(), "1.5");
    }
}
