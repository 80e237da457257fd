//! Records that are one sealed JSON text. What their row says in clear is repeated inside, so that it cannot be changed
//! either.

use std::{
    fmt::Display,
    io::{self, Write},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Serializer, ser::Formatter};
use shared::envelope::{DataKey, RecordContext};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::sealed_entry::Unopened;

/// JSON fills whole steps of this many bytes, so that a number, a name or a tag more or less does not show in its size.
const STEP: usize = 256;
/// A number, a truth or nothing is as long as the longest amount, `-1000000000000`: where texts fill a step to the byte, a digit
/// more would make it another one.
const WIDTH: usize = 14;
/// What the envelope puts in front of the text it pads (DESIGN §2).
const LENGTH_PREFIX: usize = 4;

#[derive(Serialize)]
struct Sealing<'a, T> {
    clear: &'a [i64],
    content: &'a T,
}

#[derive(Deserialize)]
struct Sealed<T> {
    clear: Vec<i64>,
    content: T,
}

/// Seals content for its place, with what is beside it in clear.
pub(super) fn seal(
    key: &DataKey,
    place: &RecordContext,
    clear: &[i64],
    content: &impl Serialize,
) -> Vec<u8> {
    let json = padded(&Sealing { clear, content });
    key.seal(place, &json)
        .expect("the limits of every content are below an envelope's")
}

/// What [`seal`] sealed for the same place, when the same is beside it in clear.
pub(super) fn open<T: DeserializeOwned>(
    key: &DataKey,
    place: &RecordContext,
    clear: Option<&[i64]>,
    envelope: &[u8],
) -> Result<T, Unopened> {
    let json = key.open(place, envelope);
    let json = json.map_err(|cause| Unopened::Envelope(place.field, cause))?;
    let sealed: Sealed<T> =
        serde_json::from_slice(&json).map_err(|_| Unopened::Foreign(place.field))?;
    if clear != Some(sealed.clear.as_slice()) {
        return Err(Unopened::Moved);
    }
    Ok(sealed.content)
}

/// As JSON that ends in blanks, which JSON ignores. Written once, into a place that is long enough: one that grew would leave
/// what it was moved from.
pub(super) fn padded(content: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut counted = Counted(0);
    write(content, &mut counted);
    let length = (LENGTH_PREFIX + counted.0).next_multiple_of(STEP) - LENGTH_PREFIX;
    let mut json = Zeroizing::new(Vec::with_capacity(length));
    write(content, &mut *json);
    json.resize(length, b' ');
    json
}

fn write(content: &impl Serialize, place: impl Write) {
    let written = content.serialize(&mut Serializer::with_formatter(place, OfOneWidth));
    written.expect("numbers and texts are always JSON");
}

/// Only how many bytes were written.
struct Counted(usize);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compact, with blanks behind what is not a text.
struct OfOneWidth;

fn wide<W: Write + ?Sized>(writer: &mut W, token: impl Display) -> io::Result<()> {
    write!(writer, "{token:<WIDTH$}")
}

/// Numbers of a type that no content had when this was written.
fn no_width() -> io::Result<()> {
    Err(io::Error::other("a number of a type that has no width yet"))
}

impl Formatter for OfOneWidth {
    fn write_null<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        wide(writer, "null")
    }

    fn write_bool<W: Write + ?Sized>(&mut self, writer: &mut W, value: bool) -> io::Result<()> {
        wide(writer, value)
    }

    fn write_u8<W: Write + ?Sized>(&mut self, writer: &mut W, value: u8) -> io::Result<()> {
        wide(writer, value)
    }

    fn write_i32<W: Write + ?Sized>(&mut self, writer: &mut W, value: i32) -> io::Result<()> {
        wide(writer, value)
    }

    fn write_i64<W: Write + ?Sized>(&mut self, writer: &mut W, value: i64) -> io::Result<()> {
        wide(writer, value)
    }

    fn write_u16<W: Write + ?Sized>(&mut self, _: &mut W, _: u16) -> io::Result<()> {
        no_width()
    }

    fn write_u32<W: Write + ?Sized>(&mut self, _: &mut W, _: u32) -> io::Result<()> {
        no_width()
    }

    fn write_u64<W: Write + ?Sized>(&mut self, _: &mut W, _: u64) -> io::Result<()> {
        no_width()
    }

    fn write_f64<W: Write + ?Sized>(&mut self, _: &mut W, _: f64) -> io::Result<()> {
        no_width()
    }
}

/// What Postgres keeps of a time.
pub(super) fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000).expect("years up to 9999 fit")
}

#[cfg(test)]
mod tests {
    use super::super::amount::{Amount, LARGEST};
    use super::*;

    #[derive(PartialEq, Debug, Serialize, Deserialize)]
    struct Told {
        text: String,
        state: Option<u8>,
        amount: Option<Amount>,
        done: bool,
    }

    #[test]
    fn no_number_truth_or_nothing_shows_in_the_size_however_the_texts_fill_it() {
        for length in 0..2 * STEP {
            let told = |state, amount: Option<f64>, done| Told {
                text: "x".repeat(length),
                state,
                amount: amount.and_then(Amount::of),
                done,
            };
            let all = [
                told(None, None, false),
                told(Some(9), Some(0.0), true),
                told(Some(10), Some(-LARGEST), false),
                told(Some(255), Some(72.125), true),
            ];
            let sizes = all.each_ref().map(|it| padded(it).len());
            assert_eq!(sizes, [sizes[0]; 4], "{length}");
            for told in all {
                let read: Told = serde_json::from_slice(&padded(&told)).expect("it is JSON");
                assert_eq!(read, told);
            }
        }
    }
}
