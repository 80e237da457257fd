//! `/api/auth`: where a person is logged in, and what happened to their account.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    ApiResponse, Enum, Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use shared::{access_token::Caller, problem::Problem, serve::Json};
use time::{OffsetDateTime, macros::datetime};
use uuid::Uuid;

use super::{Tag, cookies};
use crate::{
    Identity,
    device::Device,
    domain::event::Event,
    end_session::{EndError, end_session},
    list_security_events::{Seen, Wanted, list_security_events},
    list_sessions::{OpenSession, list_sessions},
    logout::SessionError,
    logout_all::logout_all,
};

const EXAMPLE_USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0";
const EXAMPLE_NETWORK: &str = "192.0.2.17";
const EXAMPLE_SESSION: Uuid = Uuid::from_u128(0x019a_b4f0_7c00_7000_8000_0000_0000_0002);
const EXAMPLE_EVENT: Uuid = Uuid::from_u128(0x019a_b4f0_7c00_7000_8000_0000_0000_0003);

/// A session that goes on.
#[derive(Object)]
#[oai(example)]
struct SessionOfMine {
    id: Uuid,
    created_at: OffsetDateTime,
    /// When tokens were last taken.
    last_used_at: OffsetDateTime,
    /// As the browser or app named itself. Left out when it could not be noted.
    #[oai(skip_serializing_if_is_none)]
    user_agent: Option<String>,
    /// The network it logged in from: an IPv4 address, or the /64 of an IPv6 one. Left out when it could not be noted.
    #[oai(skip_serializing_if_is_none)]
    network: Option<String>,
    /// The session that asks.
    current: bool,
}

impl Example for SessionOfMine {
    fn example() -> Self {
        Self {
            id: EXAMPLE_SESSION,
            created_at: datetime!(2026-11-24 21:04:05.123456 UTC),
            last_used_at: datetime!(2026-11-24 21:19:05.654321 UTC),
            user_agent: Some(EXAMPLE_USER_AGENT.to_owned()),
            network: Some(EXAMPLE_NETWORK.to_owned()),
            current: true,
        }
    }
}

impl From<OpenSession> for SessionOfMine {
    fn from(session: OpenSession) -> Self {
        let (user_agent, network) = told(session.device);
        Self {
            id: session.id,
            created_at: session.created_at,
            last_used_at: session.last_used_at,
            user_agent,
            network,
            current: session.current,
        }
    }
}

/// The person's sessions, the one last used first; 200 at most.
#[derive(Object)]
#[oai(example)]
struct MySessions {
    sessions: Vec<SessionOfMine>,
}

impl Example for MySessions {
    fn example() -> Self {
        Self {
            sessions: vec![SessionOfMine::example()],
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
enum Kind {
    LoggedIn,
    /// Somebody tried a wrong password.
    LoginFailed,
    ReauthenticationFailed,
    LoggedOut,
    /// Every session was ended at once.
    LoggedOutEverywhere,
    /// One session was ended from another.
    SessionEnded,
    /// An old refresh token was used, by a thief or by its owner after a thief: its session was ended.
    RefreshTokenReused,
    /// A wrong code, or one that was used before, was shown by somebody who knew the password.
    SecondFactorFailed,
    RecoveryCodeUsed,
    MfaEnabled,
    MfaDisabled,
    RecoveryCodesReplaced,
    /// A forgotten password was replaced by whoever reads the mails.
    PasswordReset,
    /// The password was changed in a session, which ended the others.
    PasswordChanged,
    /// Another address was confirmed for the account.
    AddressChanged,
    /// An operator made the password void: another one must be chosen by mail.
    PasswordResetRequired,
    /// An operator closed the account.
    AccountDisabled,
    /// An operator opened the account again.
    AccountEnabled,
    /// The deletion of the account was asked for. Seen only when it was undone.
    AccountDeleted,
}

impl From<Event> for Kind {
    fn from(event: Event) -> Self {
        match event {
            Event::LoggedIn => Self::LoggedIn,
            Event::LoginFailed => Self::LoginFailed,
            Event::ReauthenticationFailed => Self::ReauthenticationFailed,
            Event::LoggedOut => Self::LoggedOut,
            Event::LoggedOutEverywhere => Self::LoggedOutEverywhere,
            Event::SessionEnded => Self::SessionEnded,
            Event::RefreshTokenReused => Self::RefreshTokenReused,
            Event::SecondFactorFailed => Self::SecondFactorFailed,
            Event::RecoveryCodeUsed => Self::RecoveryCodeUsed,
            Event::MfaEnabled => Self::MfaEnabled,
            Event::MfaDisabled => Self::MfaDisabled,
            Event::RecoveryCodesReplaced => Self::RecoveryCodesReplaced,
            Event::PasswordReset => Self::PasswordReset,
            Event::PasswordChanged => Self::PasswordChanged,
            Event::AddressChanged => Self::AddressChanged,
            Event::PasswordResetRequired => Self::PasswordResetRequired,
            Event::AccountDisabled => Self::AccountDisabled,
            Event::AccountEnabled => Self::AccountEnabled,
            Event::AccountDeleted => Self::AccountDeleted,
        }
    }
}

/// One thing that happened to the account.
#[derive(Object)]
#[oai(example)]
struct SecurityEvent {
    id: Uuid,
    kind: Kind,
    at: OffsetDateTime,
    /// As the browser or app named itself. Left out when it could not be noted.
    #[oai(skip_serializing_if_is_none)]
    user_agent: Option<String>,
    /// The network it came from: an IPv4 address, or the /64 of an IPv6 one. Left out when it could not be noted.
    #[oai(skip_serializing_if_is_none)]
    network: Option<String>,
}

impl Example for SecurityEvent {
    fn example() -> Self {
        Self {
            id: EXAMPLE_EVENT,
            kind: Kind::LoggedIn,
            at: datetime!(2026-11-24 21:04:05.123456 UTC),
            user_agent: Some(EXAMPLE_USER_AGENT.to_owned()),
            network: Some(EXAMPLE_NETWORK.to_owned()),
        }
    }
}

impl From<Seen> for SecurityEvent {
    fn from(seen: Seen) -> Self {
        let (user_agent, network) = told(seen.device);
        Self {
            id: seen.id,
            kind: seen.event.into(),
            at: seen.at,
            user_agent,
            network,
        }
    }
}

/// A part of the trail, the newest first. The next part comes after the last id; an empty one is the end.
#[derive(Object)]
#[oai(example)]
struct SecurityEvents {
    events: Vec<SecurityEvent>,
}

impl Example for SecurityEvents {
    fn example() -> Self {
        Self {
            events: vec![SecurityEvent::example()],
        }
    }
}

#[derive(ApiResponse)]
enum Ended {
    /// Refresh tokens are void at once; access tokens run out within 15 minutes.
    #[oai(status = 204)]
    NoContent,
}

/// Devices and events; the service comes with the request.
pub(super) struct DevicesApi;

#[OpenApi(prefix_path = "/api/auth", tag = "Tag::Sessions")]
impl DevicesApi {
    /// List the sessions
    #[oai(path = "/sessions", method = "get", operation_id = "list_sessions")]
    async fn list(
        &self,
        caller: Caller,
        identity: Data<&Arc<Identity>>,
    ) -> Result<Json<MySessions>, Problem<SessionError>> {
        let sessions = list_sessions(&identity, &caller, identity.clock.now()).await?;
        Ok(Json(MySessions {
            sessions: sessions.into_iter().map(SessionOfMine::from).collect(),
        }))
    }

    /// End a session
    ///
    /// For a device that is lost. An id that is not one of the person's own does not exist.
    #[oai(
        path = "/sessions/:id",
        method = "delete",
        operation_id = "end_session"
    )]
    async fn end(
        &self,
        caller: Caller,
        identity: Data<&Arc<Identity>>,
        device: Device,
        /// The session.
        id: Path<Uuid>,
    ) -> Result<Ended, Problem<EndError>> {
        end_session(&identity, &caller, id.0, device, identity.clock.now()).await?;
        Ok(Ended::NoContent)
    }

    /// Log out everywhere
    ///
    /// Ends every session of the person, the one that asks included.
    #[oai(path = "/logout-all", method = "post", operation_id = "logout_all")]
    async fn logout_all(
        &self,
        caller: Caller,
        identity: Data<&Arc<Identity>>,
        device: Device,
    ) -> Result<Ended, Problem<SessionError>> {
        logout_all(&identity, &caller, device, identity.clock.now()).await?;
        cookies::clear_if_used_by(&caller);
        Ok(Ended::NoContent)
    }

    /// Read the security events
    ///
    /// Logins, failed ones too, logouts and changes of the last half year, the newest first. Attempts that were turned
    /// away unseen, because there had been too many, are not among them.
    #[oai(
        path = "/security-events",
        method = "get",
        operation_id = "list_security_events"
    )]
    async fn events(
        &self,
        caller: Caller,
        identity: Data<&Arc<Identity>>,
        /// The id of the last event that was read: only what came before it.
        after: Query<Option<Uuid>>,
        /// Events at most, 1 to 100.
        #[oai(
            default = "default_limit",
            validator(minimum(value = "1"), maximum(value = "100"))
        )]
        limit: Query<u32>,
    ) -> Result<Json<SecurityEvents>, Problem<SessionError>> {
        let wanted = Wanted {
            after: after.0,
            limit: limit.0,
        };
        let now = identity.clock.now();
        let seen = list_security_events(&identity, &caller, &wanted, now).await?;
        Ok(Json(SecurityEvents {
            events: seen.into_iter().map(SecurityEvent::from).collect(),
        }))
    }
}

fn default_limit() -> u32 {
    50
}

fn told(device: Option<Device>) -> (Option<String>, Option<String>) {
    device.map_or((None, None), |device| {
        (Some(device.user_agent), Some(device.network))
    })
}
