//! How anything is sealed at rest: a length-prefixed context, a key-committing AEAD under it, and the
//! record envelope that the owners of personal data store.
//!
//! ```
//! use shared::{envelope::{DataKey, RecordContext}, user_id::UserId};
//! use uuid::Uuid;
//!
//! let key = DataKey::generate(1);
//! let context = RecordContext {
//!     owner: "journal",
//!     subject: UserId::new(Uuid::from_u128(1)).uuid(),
//!     collection: "entry",
//!     field: "body",
//!     record_id: Uuid::from_u128(2),
//!     revision: 1,
//! };
//! let envelope = key.seal(&context, b"Dear diary").unwrap();
//! assert_eq!(key.open(&context, &envelope).unwrap().as_slice(), b"Dear diary");
//! // The same bytes in another row, field or revision do not open.
//! assert!(key.open(&RecordContext { revision: 2, ..context }, &envelope).is_err());
//! ```

pub mod committed;
mod context;
mod data_key;
mod record;

pub use context::{Context, Field};
pub use data_key::DataKey;
pub use record::{OpenError, RecordContext, TextTooLong, generation};
