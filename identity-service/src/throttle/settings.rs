//! What the throttle is told by the environment.

use std::{fs, time::Duration};

use redis::{Client, IntoConnectionInfo, TlsCertificates, cluster::ClusterClient, parse_redis_url};
use shared::settings::Reader;

use super::route::{ROUTES, Route};
use crate::{
    domain::rate_limit::RateLimit,
    store::counters::{Redis, Servers},
};

/// Where requests are counted, and how many there may be.
pub(crate) struct ThrottleSettings {
    pub(crate) redis: Redis,
    pub(crate) limits: Vec<(&'static Route, RateLimit)>,
}

impl ThrottleSettings {
    /// Reads `REDIS_URL`, `REDIS_CA_FILE`, `REDIS_TIMEOUT` and a `RATE_LIMIT_…` per route.
    pub(crate) fn read(env: &mut Reader<'_>) -> Option<Self> {
        let authority = env.optional("REDIS_CA_FILE", |path| {
            fs::read(path).map_err(|error| format!("cannot be read: {}", error.kind()))
        });
        let certificates = authority.clone().flatten().map(|pem| TlsCertificates {
            client_tls: None,
            root_cert: Some(pem),
        });
        let servers = env.secret("REDIS_URL", |text| servers(text, certificates));
        let answer = env.or("REDIS_TIMEOUT", "100ms", milliseconds);
        let limits: Vec<_> = ROUTES
            .iter()
            .map(|route| {
                let limit = env.or(route.setting, route.default, RateLimit::parse);
                limit.map(|limit| (route, limit))
            })
            .collect();
        authority?;
        Some(Self {
            redis: Redis {
                servers: servers?,
                answer: answer?,
            },
            limits: limits.into_iter().collect::<Option<_>>()?,
        })
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix("ms").and_then(|it| it.parse().ok());
    let sensible = number.filter(|it| (10..=1_000).contains(it));
    sensible
        .map(Duration::from_millis)
        .ok_or_else(|| "is not a time from 10ms to 1000ms".to_owned())
}

/// One URL is one server; several, separated by commas, or `?cluster=true` are a Redis Cluster. A parser's
/// own words may repeat the password, so they are not used.
fn servers(text: &str, certificates: Option<TlsCertificates>) -> Result<Servers, String> {
    let urls: Vec<_> = text.split(',').map(str::trim).collect();
    let mut cluster = urls.len() > 1;
    for url in &urls {
        let (parsed, switch) = parse_redis_url(url)
            .filter(|url| matches!(url.scheme(), "redis" | "rediss"))
            .map(|url| {
                let switch = url.query_pairs().find(|(name, _)| name == "cluster");
                (url.clone(), switch.map(|(_, value)| value.into_owned()))
            })
            .ok_or("is not a redis:// or rediss:// URL, nor several with commas between")?;
        if certificates.is_some() && parsed.scheme() != "rediss" {
            return Err("is not rediss://, although REDIS_CA_FILE is set".to_owned());
        }
        match switch.as_deref() {
            None => {}
            Some("true") => cluster = true,
            Some(_) => return Err("has a cluster= that is not true".to_owned()),
        }
    }
    let wrong = |_| "does not name a Redis".to_owned();
    if cluster {
        let mut builder = ClusterClient::builder(urls);
        if let Some(certificates) = certificates {
            builder = builder.certs(certificates);
        }
        let client = Servers::bounded(builder).build().map_err(wrong)?;
        return Ok(Servers::Cluster(Box::new(client)));
    }
    let url = urls.first().copied().unwrap_or_default();
    let info = url.into_connection_info().map_err(wrong)?;
    let client = match certificates {
        Some(certificates) => Client::build_with_tls(info, certificates),
        None => Client::open(info),
    };
    client.map(Box::new).map(Servers::Single).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "hunter2hunter2";

    fn read(variables: &[(&str, &str)]) -> Result<ThrottleSettings, String> {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let mut env = Reader::new(&lookup);
        let settings = ThrottleSettings::read(&mut env);
        env.finish(|| settings)
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn one_url_is_a_server_and_several_are_a_cluster() {
        for (url, cluster) in [
            ("redis://127.0.0.1", false),
            ("rediss://:secret@redis.test:6380/1", false),
            ("redis://127.0.0.1/?cluster=true", true),
            ("redis://127.0.0.1:1, redis://127.0.0.1:2", true),
            ("rediss://a.test,rediss://b.test", true),
        ] {
            let settings = read(&[("REDIS_URL", url)]).expect("a good URL");
            let is_cluster = matches!(settings.redis.servers, Servers::Cluster(_));
            assert_eq!(is_cluster, cluster, "{url}");
        }
    }

    #[test]
    fn every_problem_is_told_at_once_and_no_password_with_it() {
        for url in [
            "http://127.0.0.1",
            "unix:///run/redis.sock",
            "127.0.0.1:6379",
            "redis://127.0.0.1/zero",
            "redis://127.0.0.1,",
            "redis://127.0.0.1/?cluster=no",
            "redis://:hunter2hunter2@/0",
            "redis://:hunter2hunter2@a.test/x",
        ] {
            let wrong = [
                ("REDIS_URL", url),
                ("REDIS_TIMEOUT", "5s"),
                ("RATE_LIMIT_LOGIN", "many"),
                ("RATE_LIMIT_REFRESH", "0/1m"),
            ];
            let told = read(&wrong).err().unwrap_or_else(|| panic!("took {url}"));
            assert!(told.contains("4 problem(s)"), "{told}");
            for (name, _) in wrong {
                assert!(told.contains(name), "{name}: {told}");
            }
            assert!(!told.contains(PASSWORD), "{told}");
        }
    }

    #[test]
    fn the_defaults_are_narrow_where_passwords_are_guessed() {
        let settings = read(&[("REDIS_URL", "redis://127.0.0.1")]).expect("a good URL");
        for (operation, narrow) in [
            ("login", "5/15m"),
            ("signup", "5/15m"),
            ("verify_mfa", "3/5m"),
        ] {
            let mut limits = settings.limits.iter();
            let found = limits.find(|(route, _)| route.operation == operation);
            let narrow = RateLimit::parse(narrow).expect("a limit");
            assert_eq!(found.map(|(_, limit)| *limit), Some(narrow), "{operation}");
        }
    }
}
