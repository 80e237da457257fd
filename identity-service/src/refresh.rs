//! A device exchanges its refresh token for a new pair.

use secrecy::{ExposeSecret, SecretString};
use shared::{
    access_token::CROSS_SITE,
    problem::{Case, Failure, INTERNAL, UNAVAILABLE, Unexpected, WRONG_TOKEN_TYPE},
};
use thiserror::Error;
use time::OffsetDateTime;
use tokio_postgres::GenericClient;
use uuid::Uuid;

use crate::{
    Identity,
    device::{Device, Sighting},
    domain::{
        carrier::Carrier,
        event::Event,
        notice::Notice,
        refresh_token::{Decision, Presented, State, decide},
        secret_keys::SecretKeys,
        token_type::NotOurs,
    },
    events,
    mint::{self, Tokens, Withheld},
    notices,
    store::sessions::{self, EndReason, Session},
};

#[derive(Debug, Error)]
pub(crate) enum RefreshError {
    #[error("This is not a refresh token of this service.")]
    InvalidToken,
    #[error("A refresh token is needed here.")]
    WrongTokenType,
    #[error("This page may not act for the person.")]
    CrossSite,
    #[error("Log in again.")]
    SessionEnded,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

const INVALID_TOKEN: Case = Case::new(
    401,
    "invalid_refresh_token",
    "The refresh token is not valid",
);
pub(crate) const WRONG_TYPE: Case = WRONG_TOKEN_TYPE;
pub(crate) const SESSION_ENDED: Case =
    Case::refused_token("session_ended", "The session has ended");

impl Failure for RefreshError {
    const CASES: &'static [Case] = &[
        INVALID_TOKEN,
        WRONG_TYPE,
        CROSS_SITE,
        SESSION_ENDED,
        INTERNAL,
        UNAVAILABLE,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::InvalidToken => &INVALID_TOKEN,
            Self::WrongTokenType => &WRONG_TYPE,
            Self::CrossSite => &CROSS_SITE,
            Self::SessionEnded => &SESSION_ENDED,
            Self::Unexpected(unexpected) => unexpected.case(),
        }
    }

    fn unexpected(&self) -> Option<&Unexpected> {
        match self {
            Self::Unexpected(unexpected) => Some(unexpected),
            _ => None,
        }
    }
}

impl From<NotOurs> for RefreshError {
    fn from(why: NotOurs) -> Self {
        match why {
            NotOurs::WrongType => Self::WrongTokenType,
            NotOurs::Invalid => Self::InvalidToken,
        }
    }
}

impl From<Withheld> for RefreshError {
    fn from(withheld: Withheld) -> Self {
        match withheld {
            Withheld::NotAllowed => Self::SessionEnded,
            Withheld::Unexpected(unexpected) => Self::Unexpected(unexpected),
        }
    }
}

/// A refresh token as it came.
pub(crate) enum Shown {
    InBody(SecretString),
    /// Any host of the site can set this cookie. The one beside it, that of the access token, only this host can: it
    /// says which session the browser is in, so that a sibling cannot slip it one of its own (cookie tossing).
    InCookies {
        token: SecretString,
        session_id: Uuid,
    },
}

impl Shown {
    fn opened(&self, secrets: &SecretKeys) -> Result<(Presented, Carrier), RefreshError> {
        match self {
            Self::InBody(token) => {
                let presented = Presented::open(token.expose_secret(), secrets)?;
                Ok((presented, Carrier::Body))
            }
            Self::InCookies { token, session_id } => {
                let presented = Presented::open(token.expose_secret(), secrets)?;
                if presented.session_id != *session_id {
                    return Err(RefreshError::InvalidToken);
                }
                Ok((presented, Carrier::Cookies))
            }
        }
    }
}

/// The next pair of tokens. Requests for one session wait for each other at its row, so that parallel ones
/// get the same answer.
pub(crate) async fn refresh(
    identity: &Identity,
    shown: &Shown,
    device: Device,
    now: OffsetDateTime,
) -> Result<Tokens, RefreshError> {
    let (presented, carrier) = shown.opened(&identity.secrets)?;
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let session = sessions::find_and_lock(&transaction, presented.session_id).await?;
    let session = session.ok_or(RefreshError::SessionEnded)?;
    // No service moves a session to another person.
    if session.user_id != presented.user_id {
        tracing::error!(session.id = %session.id, user.id = %session.user_id, "a session was given to somebody else");
        return Err(RefreshError::SessionEnded);
    }
    // What lives in a cookie stays there: read out by whatever means, it is worth nothing in a body.
    if session.carrier != carrier {
        return Err(RefreshError::WrongTokenType);
    }
    let moved = match decide(
        &session.state,
        presented.counter,
        now,
        identity.sessions.idle,
    ) {
        Decision::Advance => advance(identity, &transaction, session, now).await,
        Decision::Repeat => mint::continue_session(identity, &transaction, &session, now).await,
        Decision::Reuse => {
            drop(transaction);
            drop(db);
            end_stolen(identity, &session, device, now).await?;
            return Err(RefreshError::SessionEnded);
        }
        Decision::Over => return Err(RefreshError::SessionEnded),
    };
    let tokens = moved?;
    transaction.commit().await.map_err(Unexpected::from)?;
    Ok(tokens)
}

/// Ends a session whose token was used by two parties, and tells its owner: all of it or nothing. The vault is asked
/// before any row is locked; an old token stays old meanwhile.
async fn end_stolen(
    identity: &Identity,
    session: &Session,
    device: Device,
    now: OffsetDateTime,
) -> Result<(), Unexpected> {
    let sighting = Sighting::of(identity, session.user_id, device, now).await;
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await?;
    // Of many at once, one ends it and tells.
    if !sessions::end(&transaction, session.id, EndReason::Reuse, now).await? {
        return Ok(());
    }
    events::record(&transaction, &sighting, Event::RefreshTokenReused, now).await?;
    notices::queue(&transaction, &sighting, Notice::TokenReused, now).await?;
    transaction.commit().await?;
    identity.outbox_filled.notify_one();
    tracing::warn!(user.id = %session.user_id, session.id = %session.id, "an old refresh token was used");
    Ok(())
}

async fn advance(
    identity: &Identity,
    db: &impl GenericClient,
    session: Session,
    now: OffsetDateTime,
) -> Result<Tokens, Withheld> {
    let state = State {
        counter: session.state.counter + 1,
        advanced_at: now,
        ..session.state
    };
    let session = Session { state, ..session };
    sessions::advance(db, session.id, &state).await?;
    mint::continue_session(identity, db, &session, now).await
}
