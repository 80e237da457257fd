//! The only place that makes tokens. Every path to it passes one gate, which looks at the account as it is
//! in the very transaction that opens or continues the session.

use jsonwebtoken::{Algorithm, Header, encode};
use secrecy::SecretString;
use shared::{
    access_token::{self, Claims, csrf_claim},
    problem::Unexpected,
    random,
    user_id::UserId,
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use tokio_postgres::GenericClient;
use uuid::Uuid;

use crate::{
    Identity,
    device::{Device, Sighting},
    domain::{
        amr::Amr,
        carrier::Carrier,
        device_token::{self, Holder},
        event::{Event, TRAIL},
        notice::Notice,
        refresh_token::{Presented, State, remaining},
        sealed::Column,
    },
    events, notices,
    store::{
        accounts::{self, Standing},
        security_events,
        sessions::{self, Session},
    },
};

/// How long an access token is good for, and never longer than its session.
pub(crate) const ACCESS_LIFETIME: Duration = Duration::minutes(15);

/// What a person's device gets.
pub(crate) struct Tokens {
    pub(crate) access_token: SecretString,
    pub(crate) access_expires_in: Duration,
    pub(crate) refresh_token: SecretString,
    pub(crate) refresh_expires_in: Duration,
    /// For the page, when the tokens go into cookies.
    pub(crate) csrf_token: Option<String>,
}

impl Tokens {
    /// How they travel: a session in cookies has a CSRF token for its page.
    pub(crate) fn carrier(&self) -> Carrier {
        match self.csrf_token {
            None => Carrier::Body,
            Some(_) => Carrier::Cookies,
        }
    }
}

/// What a login gives.
pub(crate) struct Opened {
    pub(crate) tokens: Tokens,
    /// The device is known from now on (see [`device_token`]).
    pub(crate) device_token: SecretString,
}

/// Who has just proven who they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proven {
    pub(crate) user_id: UserId,
    /// Of the account when the proof was compared: what has ended sessions since has ended this one.
    pub(crate) epoch: i64,
    pub(crate) amr: Amr,
    /// The device showed that it logged in before.
    pub(crate) known_device: bool,
}

/// Why there are no tokens.
#[derive(Debug, Error)]
pub(crate) enum Withheld {
    /// The account is gone, disabled, of a newer epoch than the session, or needs a second factor that was not shown.
    #[error("the account may not have tokens")]
    NotAllowed,
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

/// A session that passed the gate. Made by [`gate`] alone, so that nothing else can reach [`mint`].
struct Passed<'a> {
    session: &'a Session,
    standing: Standing,
}

/// Opens a session for a person who has just proven who they are.
pub(crate) async fn open_session(
    identity: &Identity,
    proven: Proven,
    device: Device,
    carrier: Carrier,
    now: OffsetDateTime,
) -> Result<Opened, Withheld> {
    let Proven {
        user_id,
        epoch,
        amr,
        known_device,
    } = proven;
    let sighting = Sighting::of(identity, user_id, device, now).await;
    let mut db = identity.pool.get().await?;
    let transaction = db.transaction().await.map_err(Unexpected::from)?;
    let session = Session {
        id: random::uuid_v7(now),
        user_id,
        state: State {
            counter: 0,
            advanced_at: now,
            expires_at: now + identity.sessions.longest,
        },
        auth_time: now,
        amr: amr.values().iter().map(ToString::to_string).collect(),
        epoch,
        carrier,
    };
    let passed = gate(&transaction, &session, Some(amr)).await?;
    let device = sighting.sealed(Column::SessionDevice, session.id);
    sessions::insert(&transaction, &session, device.as_deref(), now).await?;
    if !known_device && logged_in_before(&transaction, &passed, now).await? {
        notices::queue(&transaction, &sighting, Notice::NewDevice, now).await?;
    }
    events::record(&transaction, &sighting, Event::LoggedIn, now).await?;
    let tokens = mint(identity, &passed, now)?;
    transaction.commit().await.map_err(Unexpected::from)?;
    identity.outbox_filled.notify_one();
    let holder = Holder { user_id, epoch };
    Ok(Opened {
        tokens,
        device_token: device_token::issue(&identity.secrets, holder, now),
    })
}

/// Whether anybody has: the login after the sign-up is no news. What is older than the trail counts as somebody's.
async fn logged_in_before(
    db: &impl GenericClient,
    Passed { session, standing }: &Passed<'_>,
    now: OffsetDateTime,
) -> Result<bool, Unexpected> {
    let forgotten = standing.created_at < now - TRAIL;
    Ok(forgotten || security_events::has(db, session.user_id, Event::LoggedIn).await?)
}

/// Tokens for a session that goes on, inside the transaction that has locked and moved it.
pub(crate) async fn continue_session(
    identity: &Identity,
    db: &impl GenericClient,
    session: &Session,
    now: OffsetDateTime,
) -> Result<Tokens, Withheld> {
    let passed = gate(db, session, None).await?;
    Ok(mint(identity, &passed, now)?)
}

/// The gate before every token, whatever led here. It does not look at locks, which are no state of an account: a lock
/// stops guessing, before anything is compared. What gets here has guessed nothing ([`crate::login`], a challenge) or
/// shows a key of its own (a refresh token), and a stranger who fails often enough must not end the sessions of others.
///
/// `amr` is of a session that is being opened; one that goes on was opened by what was asked for then.
async fn gate<'a>(
    db: &impl GenericClient,
    session: &'a Session,
    amr: Option<Amr>,
) -> Result<Passed<'a>, Withheld> {
    let standing = good_standing(db, session.user_id, session.epoch).await?;
    if standing.second_factor && amr.is_some_and(|amr| !amr.has_second_factor()) {
        return Err(Withheld::NotAllowed);
    }
    Ok(Passed { session, standing })
}

/// An account that may have sessions of that epoch; it stays so until the transaction ends.
pub(crate) async fn good_standing(
    db: &impl GenericClient,
    user_id: UserId,
    epoch: i64,
) -> Result<Standing, Withheld> {
    let standing = accounts::standing(db, user_id).await?;
    let good = standing.filter(|it| !it.disabled && it.session_epoch == epoch);
    good.ok_or(Withheld::NotAllowed)
}

/// Access token (RFC 9068) and refresh token of a session that passed the gate.
fn mint(
    identity: &Identity,
    Passed { session, .. }: &Passed<'_>,
    now: OffsetDateTime,
) -> Result<Tokens, Unexpected> {
    let signing = identity.signing.active()?;
    let expires_at = (now + ACCESS_LIFETIME).min(session.state.expires_at);
    let csrf_token = match session.carrier {
        Carrier::Body => None,
        Carrier::Cookies => identity.secrets.csrf_tokens(session.id).next(),
    };
    let claims = Claims {
        iss: identity.issuer.clone(),
        aud: identity.audience.clone(),
        sub: session.user_id,
        sid: session.id,
        jti: Uuid::from_bytes(random::bytes()),
        iat: now.unix_timestamp(),
        exp: expires_at.unix_timestamp(),
        auth_time: session.auth_time.unix_timestamp(),
        amr: session.amr.clone(),
        nbf: None,
        csrf: csrf_token.as_deref().map(csrf_claim),
    };
    let header = Header {
        typ: Some(access_token::TYPE.to_owned()),
        kid: Some(signing.public.kid.clone()),
        ..Header::new(Algorithm::EdDSA)
    };
    let access_token = encode(&header, &claims, &signing.key)
        .map_err(|error| Unexpected::bug("signing an access token").caused_by(error))?;
    let presented = Presented {
        session_id: session.id,
        user_id: session.user_id,
        counter: session.state.counter,
    };
    Ok(Tokens {
        access_token: access_token.into(),
        access_expires_in: expires_at - now,
        refresh_token: presented.seal(&identity.secrets),
        refresh_expires_in: remaining(&session.state, now, identity.sessions.idle),
        csrf_token,
    })
}
