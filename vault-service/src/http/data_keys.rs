//! `/v1/data-keys`: make and open data keys.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use poem::web::Data;
use poem_openapi::{Enum, Object, OpenApi, param::Header, types::Example};
use shared::{problem::Problem, serve::Json};
use uuid::Uuid;

use super::caller::Authenticated;
use crate::{
    Vault,
    create_data_key::{CreateError, Created, Wanted, create_data_key},
    domain::{
        policy::{self, Denied},
        wrapped_key::{PlainKey, WrappedKey},
    },
    rewrap_data_keys::rewrap_data_keys,
    unwrap_data_keys::{Item, ItemRefused, UnwrapError, unwrap_data_keys},
};

pub(super) const EXAMPLE_SUBJECT: Uuid = Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0001);
const EXAMPLE_DEK: Uuid = Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_00d1);
const EXAMPLE_WRAPPED: &str = "AQEAAAAAAAEBmMDeAABwAIAAAAAAAADRAAECAwQFBgcICQoLvtCL06k2Z6R5V88hHypBSfvA\
    lDxg15xBzET_nRU_QvdmvbDXmcR43NJxAkeG3o3EA77G7g31pTkhTvDw-YsYQXSgK-CiWB2A4Dx7Bz0cKOM";
const EXAMPLE_PLAINTEXT: &str = "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8";

/// What a key protects.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename_all = "kebab-case")]
enum Purpose {
    /// What identity keeps about a person.
    Account,
    /// Mail that waits to be sent.
    Outbox,
    /// Identity's token signing keys.
    SigningKey,
    /// A person's journal.
    Entries,
}

impl From<Purpose> for policy::Purpose {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Account => Self::Account,
            Purpose::Outbox => Self::Outbox,
            Purpose::SigningKey => Self::SigningKey,
            Purpose::Entries => Self::Entries,
        }
    }
}

/// A key to be made. Its owner is the calling service.
#[derive(Object)]
#[oai(example)]
struct CreateDataKey {
    /// Whose data the key is for: a person, or a thing of the service's own.
    subject: Uuid,
    purpose: Purpose,
    /// Whether the answer carries the key in the clear too, for use right away.
    plaintext: bool,
}

impl Example for CreateDataKey {
    fn example() -> Self {
        Self {
            subject: EXAMPLE_SUBJECT,
            purpose: Purpose::Entries,
            plaintext: true,
        }
    }
}

/// A key that was made.
#[derive(Object)]
#[oai(rename = "DataKey", example)]
struct DataKey {
    /// The key for storing: 116 bytes, base64url without padding. Only the vault opens it, and only for
    /// the same service, subject and purpose.
    wrapped_key: String,
    /// The key in the clear: 32 bytes, base64url without padding. Only when `plaintext` asked for it.
    #[oai(skip_serializing_if_is_none)]
    plaintext_key: Option<String>,
    /// The id of the key, which the wrapped key contains.
    dek_id: Uuid,
    /// The version of the master key that wraps it.
    mek_version: u32,
}

impl Example for DataKey {
    fn example() -> Self {
        Self {
            wrapped_key: EXAMPLE_WRAPPED.to_owned(),
            plaintext_key: Some(EXAMPLE_PLAINTEXT.to_owned()),
            dek_id: EXAMPLE_DEK,
            mek_version: 1,
        }
    }
}

impl DataKey {
    fn of(created: &Created, plaintext: bool) -> Self {
        Self {
            wrapped_key: BASE64_URL_SAFE_NO_PAD.encode(created.wrapped.bytes()),
            plaintext_key: plaintext.then(|| encode(&created.key)),
            dek_id: created.wrapped.dek_id(),
            mek_version: created.wrapped.mek_version().number(),
        }
    }
}

/// Keys to be opened.
#[derive(Object)]
#[oai(example)]
struct UnwrapDataKeys {
    #[oai(validator(min_items = 1, max_items = 100))]
    items: Vec<WrappedItem>,
}

/// One key to be opened. Whatever is wrong with its values is told in its own `status`.
#[derive(Object)]
struct WrappedItem {
    /// The subject it was made for, a UUID.
    subject: String,
    /// The purpose it was made for.
    purpose: String,
    /// The wrapped key as it was stored: base64url without padding.
    wrapped_key: String,
}

impl Example for UnwrapDataKeys {
    fn example() -> Self {
        let item = WrappedItem {
            subject: EXAMPLE_SUBJECT.to_string(),
            purpose: policy::Purpose::Entries.name().to_owned(),
            wrapped_key: EXAMPLE_WRAPPED.to_owned(),
        };
        Self { items: vec![item] }
    }
}

/// The opened keys, in the order of the request.
#[derive(Object)]
#[oai(example)]
struct DataKeys {
    items: Vec<UnwrappedItem>,
}

/// One opened key, or why it stays closed.
#[derive(Object)]
struct UnwrappedItem {
    status: ItemStatus,
    /// The key in the clear: 32 bytes, base64url without padding. Only when the status is `ok`.
    #[oai(skip_serializing_if_is_none)]
    plaintext_key: Option<String>,
}

/// What became of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum ItemStatus {
    /// The key is open.
    Ok,
    /// This service may not do that for this purpose.
    NotAllowed,
    /// The person's own access token is required in `X-User-Token`.
    UserTokenRequired,
    /// The access token in `X-User-Token` is another person's.
    UserTokenMismatch,
    /// The vault holds no slot for this subject.
    UnknownSubject,
    /// The subject is being shredded; until the salt goes it can be taken back.
    ShredPending,
    /// The subject has been shredded and never comes back.
    Shredded,
    /// The wrapped key does not open for this service, subject and purpose.
    WrappedKeyRefused,
    /// The subject's slot in the vault's database does not open.
    SlotDamaged,
    /// The master key that wraps the key has been destroyed: nothing ever opens it.
    MasterKeyDestroyed,
    /// The master key that wraps the key or the subject's slot is not here: another replica of the vault has it already, or
    /// it was left out. The only status with which it is worth to ask again.
    MasterKeyMissing,
}

impl Example for DataKeys {
    fn example() -> Self {
        let opened = UnwrappedItem {
            status: ItemStatus::Ok,
            plaintext_key: Some(EXAMPLE_PLAINTEXT.to_owned()),
        };
        Self {
            items: vec![opened],
        }
    }
}

impl ItemStatus {
    fn of<T>(answer: &Result<T, ItemRefused>) -> Self {
        match answer {
            Ok(_) => Self::Ok,
            Err(ItemRefused::Denied(Denied::NotAllowed) | ItemRefused::UnknownPurpose) => {
                Self::NotAllowed
            }
            Err(ItemRefused::Denied(Denied::PersonMissing)) => Self::UserTokenRequired,
            Err(ItemRefused::Denied(Denied::AnotherPerson)) => Self::UserTokenMismatch,
            Err(ItemRefused::NotAnId | ItemRefused::NoSlot) => Self::UnknownSubject,
            Err(ItemRefused::ShredPending) => Self::ShredPending,
            Err(ItemRefused::Shredded) => Self::Shredded,
            Err(ItemRefused::SlotDamaged(_)) => Self::SlotDamaged,
            Err(ItemRefused::MasterKeyDestroyed(_)) => Self::MasterKeyDestroyed,
            Err(ItemRefused::MasterKeyMissing(_)) => Self::MasterKeyMissing,
            Err(ItemRefused::WrappedKey(_)) => Self::WrappedKeyRefused,
        }
    }
}

impl From<Result<PlainKey, ItemRefused>> for UnwrappedItem {
    fn from(answer: Result<PlainKey, ItemRefused>) -> Self {
        Self {
            status: ItemStatus::of(&answer),
            plaintext_key: answer.ok().as_ref().map(encode),
        }
    }
}

/// Keys to be wrapped anew.
#[derive(Object)]
#[oai(example)]
struct RewrapDataKeys {
    #[oai(validator(min_items = 1, max_items = 100))]
    items: Vec<WrappedItem>,
}

impl Example for RewrapDataKeys {
    fn example() -> Self {
        let UnwrapDataKeys { items } = UnwrapDataKeys::example();
        Self { items }
    }
}

/// The same keys, in the order of the request.
#[derive(Object)]
#[oai(example)]
struct WrappedKeys {
    items: Vec<RewrappedItem>,
}

/// One key under the master key that wraps now, or why there is none.
#[derive(Object)]
struct RewrappedItem {
    status: ItemStatus,
    /// 116 bytes, base64url without padding; the very bytes of the request when they were wrapped so already. Only when the
    /// status is `ok`.
    #[oai(skip_serializing_if_is_none)]
    wrapped_key: Option<String>,
}

impl Example for WrappedKeys {
    fn example() -> Self {
        let item = RewrappedItem {
            status: ItemStatus::Ok,
            wrapped_key: Some(EXAMPLE_WRAPPED.to_owned()),
        };
        Self { items: vec![item] }
    }
}

impl From<Result<WrappedKey, ItemRefused>> for RewrappedItem {
    fn from(answer: Result<WrappedKey, ItemRefused>) -> Self {
        Self {
            status: ItemStatus::of(&answer),
            wrapped_key: answer
                .ok()
                .map(|wrapped| BASE64_URL_SAFE_NO_PAD.encode(wrapped.bytes())),
        }
    }
}

fn encode(key: &PlainKey) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(key.expose())
}

/// The operations; the vault comes with the request.
pub(super) struct DataKeysApi;

/// Data keys: one per owning service, subject and purpose.
#[OpenApi(prefix_path = "/v1/data-keys")]
impl DataKeysApi {
    /// Create a data key
    ///
    /// Makes 32 random bytes for the calling service, wrapped for storing and, when asked for, in the
    /// clear. The first key for a subject also makes the subject's slot. Safe to repeat: every call makes
    /// another key.
    #[oai(path = "/", method = "post", operation_id = "create_data_key")]
    async fn create(
        &self,
        vault: Data<&Arc<Vault>>,
        service: Authenticated,
        body: Json<CreateDataKey>,
        /// The person's access token: required from the journal, whose `sub` must be the subject.
        #[oai(name = "X-User-Token")]
        _user_token: Header<Option<String>>,
    ) -> Result<Json<DataKey>, Problem<CreateError>> {
        let Json(CreateDataKey {
            subject,
            purpose,
            plaintext,
        }) = body;
        let wanted = Wanted {
            subject,
            purpose: purpose.into(),
        };
        let now = vault.clock.now();
        let created = create_data_key(&vault, service.caller(), wanted, now).await?;
        Ok(Json(DataKey::of(&created, plaintext)))
    }

    /// Open data keys
    ///
    /// Opens up to 100 wrapped keys of the calling service. Each item has its own `status`; one that is
    /// refused never fails the rest, and the order is kept. Every item counts against the limits of the calling service:
    /// keys a second and a day, and different subjects an hour.
    #[oai(path = "/unwrap", method = "post", operation_id = "unwrap_data_keys")]
    async fn unwrap(
        &self,
        vault: Data<&Arc<Vault>>,
        service: Authenticated,
        body: Json<UnwrapDataKeys>,
        /// The person's access token: required from the journal, whose `sub` must be the subject.
        #[oai(name = "X-User-Token")]
        _user_token: Header<Option<String>>,
    ) -> Result<Json<DataKeys>, Problem<UnwrapError>> {
        let items: Vec<_> = body.0.items.iter().map(WrappedItem::borrowed).collect();
        let now = vault.clock.now();
        let answers = unwrap_data_keys(&vault, service.caller(), &items, now).await?;
        let items = answers.into_iter().map(UnwrappedItem::from).collect();
        Ok(Json(DataKeys { items }))
    }

    /// Wrap data keys anew
    ///
    /// Puts up to 100 wrapped keys of the calling service under the master key that wraps now; nothing leaves in the clear,
    /// and no person's token is needed. A key that is under it already comes back as it was, which shows that it opens:
    /// look at a new key so before you give the old one up. Keys of a subject that is being shredded are wrapped anew, too.
    /// Repeating it does no harm. Counted apart from other requests, at as many keys a second.
    #[oai(path = "/rewrap", method = "post", operation_id = "rewrap_data_keys")]
    async fn rewrap(
        &self,
        vault: Data<&Arc<Vault>>,
        service: Authenticated,
        body: Json<RewrapDataKeys>,
    ) -> Result<Json<WrappedKeys>, Problem<UnwrapError>> {
        let items: Vec<_> = body.0.items.iter().map(WrappedItem::borrowed).collect();
        let now = vault.clock.now();
        let answers = rewrap_data_keys(&vault, service.caller(), &items, now).await?;
        let items = answers.into_iter().map(RewrappedItem::from).collect();
        Ok(Json(WrappedKeys { items }))
    }
}

impl WrappedItem {
    fn borrowed(&self) -> Item<'_> {
        Item {
            subject: &self.subject,
            purpose: &self.purpose,
            wrapped_key: &self.wrapped_key,
        }
    }
}

#[cfg(test)]
mod tests {
    use poem_openapi::types::ToJSON;

    use super::*;
    use crate::domain::{
        keyring::KeyVersion,
        slot::SlotDamaged,
        wrapped_key::{Malformed, Refused},
    };

    #[test]
    fn the_audit_and_the_answer_have_one_word_for_each_refusal() {
        for refused in [
            ItemRefused::Denied(Denied::NotAllowed),
            ItemRefused::Denied(Denied::PersonMissing),
            ItemRefused::Denied(Denied::AnotherPerson),
            ItemRefused::UnknownPurpose,
            ItemRefused::NotAnId,
            ItemRefused::NoSlot,
            ItemRefused::ShredPending,
            ItemRefused::Shredded,
            ItemRefused::SlotDamaged(SlotDamaged::Malformed),
            ItemRefused::MasterKeyDestroyed(KeyVersion::new(1).expect("not 0")),
            ItemRefused::MasterKeyMissing(KeyVersion::new(1).expect("not 0")),
            ItemRefused::WrappedKey(Refused::Malformed(Malformed::Length)),
        ] {
            let answer = UnwrappedItem::from(Err(refused)).status.to_json();
            assert_eq!(
                answer.as_ref().and_then(|it| it.as_str()),
                Some(refused.code())
            );
        }
    }
}
