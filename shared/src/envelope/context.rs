//! The associated data of everything sealed: `count:u8 || (len:u16be || bytes)*`, so that no two lists
//! of fields share an encoding.

use uuid::Uuid;

/// One field of a [`Context`].
#[derive(Clone, Copy, Debug)]
pub enum Field<'a> {
    /// A short name from a closed set: a service, a purpose, a collection, a column.
    Name(&'a str),
    /// An id, as its 16 raw bytes.
    Id(Uuid),
    /// A number, as 8 bytes big endian.
    Number(u64),
}

impl Field<'_> {
    /// Bytes of it in a context.
    fn length(&self) -> usize {
        let bytes = match self {
            Self::Name(name) => name.len(),
            Self::Id(_) => 16,
            Self::Number(_) => 8,
        };
        2 + bytes
    }
}

/// The encoded context. It authenticates where a ciphertext belongs and holds nothing secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context(Vec<u8>);

impl Context {
    /// Encodes the fields in the order given.
    ///
    /// # Panics
    /// With more than 255 fields or a name over 65,535 bytes; contexts are short and fixed in code.
    pub fn of(fields: &[Field<'_>]) -> Self {
        let count = u8::try_from(fields.len()).expect("a context has a handful of fields");
        let mut bytes = Vec::with_capacity(fields.iter().map(Field::length).sum::<usize>() + 1);
        bytes.push(count);
        for field in fields {
            match field {
                Field::Name(name) => push(&mut bytes, name.as_bytes()),
                Field::Id(id) => push(&mut bytes, id.as_bytes()),
                Field::Number(number) => push(&mut bytes, &number.to_be_bytes()),
            }
        }
        Self(bytes)
    }

    /// The bytes that enter key derivation and associated data.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn push(bytes: &mut Vec<u8>, field: &[u8]) {
    let length = u16::try_from(field.len()).expect("a context field is short");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(field);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_encoding_is_count_then_length_prefixed_fields() {
        let context = Context::of(&[
            Field::Name("ab"),
            Field::Id(Uuid::from_u128(7)),
            Field::Number(9),
        ]);
        let mut expected = vec![3, 0, 2, b'a', b'b', 0, 16];
        expected.extend_from_slice(&[0; 15]);
        expected.push(7);
        expected.extend_from_slice(&[0, 8, 0, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(context.bytes(), expected);
    }

    proptest! {
        #[test]
        fn different_lists_of_names_never_encode_alike(
            left in prop::collection::vec("[a-c]{0,3}", 0..4),
            right in prop::collection::vec("[a-c]{0,3}", 0..4),
        ) {
            let encode = |names: &[String]| {
                let fields: Vec<_> = names.iter().map(|name| Field::Name(name)).collect();
                Context::of(&fields)
            };
            prop_assert_eq!(left == right, encode(&left) == encode(&right));
        }
    }
}
