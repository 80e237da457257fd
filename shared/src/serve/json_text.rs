//! JSON text to a value, refusing a key that comes twice: two parsers that disagree on which of the
//! two counts are a way around checks (RFC 8259 §4).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Where the text stops being JSON; it never quotes the text.
#[derive(Debug, thiserror::Error)]
pub enum NotJson {
    /// There is nothing.
    #[error("the body is empty")]
    Empty,
    /// Something that does not belong there.
    #[error("{reason} at line {line} column {column}")]
    At {
        /// What is wrong.
        reason: &'static str,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
}

/// serde turns every own error into text; this one is recognised again by its text.
const TWICE: &str = "a key comes twice";

/// The value; a key that comes twice, at any depth, is an error.
pub fn parse(bytes: &[u8]) -> Result<Value, NotJson> {
    if bytes.is_empty() {
        return Err(NotJson::Empty);
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    Strict
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| NotJson::At {
            reason: match error.classify() {
                serde_json::error::Category::Eof => "the text ends too early",
                _ if error.to_string().starts_with(TWICE) => TWICE,
                _ => "unexpected text",
            },
            line: error.line(),
            column: error.column(),
        })
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(Strict)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(Strict)?;
            if map.insert(key, value).is_some() {
                return Err(A::Error::custom(TWICE));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;

    /// Any value, of some depth, with few names for its keys.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let entries = vec(("[ab]|.{0,3}", inner.clone()), 0..4);
            prop_oneof![
                vec(inner, 0..4).prop_map(Value::from),
                entries.prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    /// What is read is what `serde_json` reads, and all that it reads but keys that come twice.
    fn agrees(text: &[u8]) -> Result<(), TestCaseError> {
        match (parse(text), serde_json::from_slice::<Value>(text)) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
            (Ok(ours), Err(_)) => prop_assert!(false, "only we read {ours}"),
            (Err(error), Ok(_)) => prop_assert!(error.to_string().starts_with(TWICE), "{error}"),
            (Err(_), Err(_)) => {}
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_as_serde_json_reads_them(bytes in vec(any::<u8>(), 0..100), text in "[\\[\\]{}:,\"\\\\u0-9a-e.+ -]{0,40}") {
            agrees(&bytes)?;
            agrees(text.as_bytes())?;
        }

        #[test]
        fn whatever_was_written_is_read_also_when_it_was_changed(
            value in value(), changes in vec((any::<Index>(), any::<u8>()), 1..4),
        ) {
            let mut text = value.to_string().into_bytes();
            let read = parse(&text);
            prop_assert_eq!(read.ok(), serde_json::from_slice::<Value>(&text).ok());
            for (at, byte) in changes {
                let at = at.index(text.len());
                text[at] = byte;
                agrees(&text)?;
                let cut = &text[..at];
                agrees(cut)?;
            }
        }

        /// However a key is spelled: two that are the same text are one key.
        #[test]
        fn no_value_has_a_key_twice(key in "[a-z]{1,4}", first in value(), second in value(), depth in 0_usize..5) {
            let escaped: Vec<_> = key.chars().map(|it| format!("\\u{:04x}", u32::from(it))).collect();
            let escaped = escaped.concat();
            for again in [&key, &escaped] {
                let object = format!(r#"{{"{key}":{first},"{again}":{second}}}"#);
                let text = format!("{}{object}{}", "[".repeat(depth), "]".repeat(depth));
                let error = parse(text.as_bytes()).expect_err("a key comes twice");
                prop_assert!(error.to_string().starts_with(TWICE), "{}: {}", text, error);
            }
        }
    }

    #[test]
    fn the_value_is_the_one_serde_json_reads() {
        let text = r#"{"a":[1,-2,3.5,true,null,"x"],"b":{"c":18446744073709551615}}"#;
        let expected: Value = serde_json::from_str(text).expect("it is JSON");
        assert_eq!(parse(text.as_bytes()).expect("it is JSON"), expected);
    }

    #[test]
    fn a_key_that_comes_twice_is_refused_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"a":2}}]"#] {
            let error = parse(text.as_bytes()).expect_err("a key comes twice");
            assert!(error.to_string().starts_with(TWICE), "{error}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_without_quoting_it() {
        for text in [
            "",
            "{",
            "{\"a\":secret}",
            "[1] secret",
            "\"secret",
            "\u{1}secret",
            "1e999",
        ] {
            let error = parse(text.as_bytes()).expect_err("it is no JSON");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        assert!(parse(&[b'"', 0xff, b'"']).is_err(), "not UTF-8");
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_end_the_process() {
        let text = "[".repeat(100_000);
        assert!(parse(text.as_bytes()).is_err());
    }
}
