//! `identity-service doctor`: what identity needs, beside what every service does.

use std::{process::ExitCode, sync::Arc};

use shared::{
    clock::Clock,
    doctor::{self, Doctor, Finding},
    problem::Unexpected,
    service::{StartError, exit_code},
};
use time::{Duration, OffsetDateTime};

use crate::{
    Identity, Settings,
    domain::signing_key::KeyState,
    mail::Unsendable,
    signing_keys,
    store::{
        MIGRATIONS, accounts, outbox,
        signing_keys::{self as stored_keys, StoredKey},
    },
};

/// Mail that has waited for longer than two tries is worth a look.
const LONG: Duration = Duration::minutes(15);

/// Looks at everything, and prints what it finds. 0 unless something failed, then 1; 78 for settings.
pub async fn run_doctor(settings: Settings, clock: Clock) -> ExitCode {
    settings.install_command_log();
    match Identity::new(settings, clock) {
        Ok(identity) => examine(&Arc::new(identity)).run().await,
        Err(error) => exit_code(Err::<(), StartError>(error)),
    }
}

fn examine(identity: &Arc<Identity>) -> Doctor {
    let (pool, vault, clock) = (&identity.pool, &identity.vault, &identity.clock);
    let [redis, secret, keys, mail, waiting] = [(); 5].map(|()| Arc::clone(identity));
    Doctor::new()
        .check("database", doctor::database(pool.clone(), MIGRATIONS))
        .check(
            "database clock",
            doctor::clock_of_postgres(pool.clone(), clock.clone()),
        )
        .check("redis", async move { look_at_redis(&redis).await })
        .check("vault", doctor::vault(vault.clone(), clock.clone()))
        .check(
            "vault clock",
            doctor::clock_of_vault(vault.clone(), clock.clone()),
        )
        .check("secret", async move {
            let looked = look_at_secret(&secret).await;
            looked.unwrap_or_else(|error| unknown(&error))
        })
        .check("signing keys", async move {
            let now = keys.clock.now();
            let looked = look_at_signing_keys(&keys, now).await;
            looked.unwrap_or_else(|error| unknown(&error))
        })
        .check("mail", async move { look_at_mail(&mail).await })
        .check("outbox", async move {
            let looked = look_at_outbox(&waiting, waiting.clock.now()).await;
            looked.unwrap_or_else(|error| unknown(&error))
        })
}

fn unknown(error: &Unexpected) -> Finding {
    Finding::failure(
        format!("cannot be told: {}", error.chain()),
        "see the check of the database",
    )
}

async fn look_at_redis(identity: &Identity) -> Finding {
    match identity
        .throttle
        .counters
        .examine(identity.clock.now())
        .await
    {
        Ok(found) if found.evicts => Finding::warning(
            format!("{found}, but its maxmemory-policy forgets counts that still limit"),
            "set maxmemory-policy to noeviction or volatile-ttl",
        ),
        Ok(found) => Finding::ok(found.to_string()),
        Err(why) => Finding::failure(
            format!("{why}; each replica counts rate limits by itself meanwhile"),
            "start Redis, or correct REDIS_URL and REDIS_CA_FILE",
        ),
    }
}

/// Who still hangs on an older version of the secret, and who has lost theirs.
async fn look_at_secret(identity: &Identity) -> Result<Finding, Unexpected> {
    let hanging = accounts::by_secret_version(&*identity.pool.get().await?).await?;
    let (mut older, mut lost) = (Vec::new(), Vec::new());
    for it in hanging {
        let version = it.version.and_then(|version| u32::try_from(version).ok());
        let named = version.map_or("an unknown version".to_owned(), |it| {
            format!("version {it}")
        });
        let what = format!(
            "{} accounts and the recovery codes of {} on {named}",
            it.accounts, it.recovery_codes
        );
        match version {
            Some(version) if version == identity.secrets.newest() => {}
            Some(version) if identity.secrets.pepper(version).is_none() => lost.push(what),
            _ => older.push(what),
        }
    }
    let newest = identity.secrets.newest();
    if !lost.is_empty() {
        return Ok(Finding::warning(
            format!("{} hang, which is not configured", lost.join(", ")),
            "put that version back into IDENTITY_SECRET_KEYS, or accept that they are lost",
        ));
    }
    if older.is_empty() {
        return Ok(Finding::ok(format!("all is of version {newest}")));
    }
    Ok(Finding::ok(format!(
        "version {newest}; {} hang",
        older.join(", ")
    )))
}

async fn look_at_signing_keys(
    identity: &Identity,
    now: OffsetDateTime,
) -> Result<Finding, Unexpected> {
    let keys = stored_keys::all(&*identity.pool.get().await?).await?;
    let of = |state| keys.iter().find(move |key: &&StoredKey| key.state == state);
    let Some(active) = of(KeyState::Active) else {
        return Ok(if keys.is_empty() {
            Finding::warning(
                "there are none yet",
                "start identity beside the vault: it makes them",
            )
        } else {
            Finding::failure(
                "none is active: nobody can log in",
                "start identity beside the vault, or run `keys rotate`",
            )
        });
    };
    let unopened = signing_keys::opens(identity, active, now).await;
    if let Err(error) = &unopened
        && !error.is_unavailable()
    {
        return Ok(Finding::failure(
            format!("the active one does not open: {}", error.chain()),
            "see that the vault has the master key of this database; a running identity replaces the key by itself",
        ));
    }
    if signing_keys::active_is_due(&keys, now) {
        return Ok(Finding::warning(
            "the active one has signed for more than 30 days",
            "start identity beside the vault: it rotates by itself",
        ));
    }
    if of(KeyState::Next).is_none() {
        return Ok(Finding::warning(
            "none waits to be the next",
            "start identity beside the vault: it makes one",
        ));
    }
    if let Err(error) = unopened {
        return Ok(Finding::warning(
            format!(
                "whether the active one opens is not known: {}",
                error.chain()
            ),
            "see the check of the vault",
        ));
    }
    let days = (now - active.activated_at.unwrap_or(active.created_at)).whole_days();
    Ok(Finding::ok(format!(
        "{} opens and has signed for {days} of 30 days, the next one waits",
        active.kid
    )))
}

async fn look_at_mail(identity: &Identity) -> Finding {
    match identity.mailer.examine().await {
        Ok(found) => Finding::ok(found),
        Err(why) => {
            let why = match why {
                Unsendable::Refused(why) => why,
                Unsendable::Unexpected(error) => error.chain(),
            };
            Finding::failure(
                why,
                "correct SMTP_HOST and the SMTP_ settings beside it, or MAIL_DIR",
            )
        }
    }
}

async fn look_at_outbox(identity: &Identity, now: OffsetDateTime) -> Result<Finding, Unexpected> {
    let backlog = outbox::backlog(&*identity.pool.get().await?).await?;
    let Some(oldest) = backlog.oldest else {
        return Ok(Finding::ok("no mail waits"));
    };
    let waiting = backlog.messages;
    let age = now - oldest;
    let known = format!(
        "{waiting} wait, the oldest for {} min, tried up to {} times",
        age.whole_minutes(),
        backlog.most_attempts
    );
    Ok(if age > LONG {
        Finding::warning(
            known,
            "see the check of mail, that identity runs, and `mail waits` in its log",
        )
    } else {
        Finding::ok(known)
    })
}
