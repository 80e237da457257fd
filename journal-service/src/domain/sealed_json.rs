//! Records that are one sealed JSON text. What their row says in clear is repeated inside, so that it cannot be changed
//! either.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use shared::envelope::{DataKey, RecordContext};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::sealed_entry::Unopened;

/// JSON fills whole steps of this many bytes, so that a number, a name or a tag more or less does not show in its size.
const STEP: usize = 256;
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

/// As JSON that ends in blanks, which JSON ignores.
pub(super) fn padded(content: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut json = serde_json::to_vec(content).expect("numbers and texts are always JSON");
    let length = (LENGTH_PREFIX + json.len()).next_multiple_of(STEP) - LENGTH_PREFIX;
    json.resize(length, b' ');
    Zeroizing::new(json)
}

/// What Postgres keeps of a time.
pub(super) fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000).expect("years up to 9999 fit")
}
