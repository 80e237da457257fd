//! Which pages may talk to a service from a browser: CORS for the frontends that were named, and the check
//! that keeps every other page from acting with a person's cookies.

use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use reqwest::Url;

use crate::settings::Reader;

/// How long a browser may remember a preflight, in seconds. Chromium caps it here.
const PREFLIGHT_SECONDS: &str = "7200";
/// What a frontend may send beside what every page may.
const REQUEST_HEADERS: &str =
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-CSRF-Token";
/// What a frontend may read beside what every page may.
const RESPONSE_HEADERS: &str = "ETag, Location, RateLimit, RateLimit-Limit, RateLimit-Policy, \
                                RateLimit-Remaining, RateLimit-Reset, Retry-After, WWW-Authenticate, X-Request-Id";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The origins of the frontends, such as `https://app.example.com`. Empty when they share the service's own.
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins(Vec<String>);

impl AllowedOrigins {
    /// Reads `ALLOWED_ORIGINS`: origins with commas between them, none by default.
    pub fn read(env: &mut Reader<'_>) -> Option<Self> {
        let origins = env.optional("ALLOWED_ORIGINS", Self::parse)?;
        Some(origins.unwrap_or_default())
    }

    fn parse(text: &str) -> Result<Self, String> {
        let origins = text.split(',').map(str::trim).map(|origin| {
            let is_origin = Url::parse(origin).is_ok_and(|url| {
                // A wildcard parses as a host, and would be taken for one that no browser ever sends.
                matches!(url.scheme(), "http" | "https")
                    && !origin.contains('*')
                    && url.origin().ascii_serialization() == origin
            });
            is_origin.then(|| origin.to_owned())
        });
        let origins = origins.collect::<Option<_>>();
        origins.map(Self).ok_or_else(|| {
            "is not a list of origins such as https://app.example.com, without paths or wildcards"
                .to_owned()
        })
    }

    /// Whether a browser sent this request on behalf of a page that may act for the person: one of the
    /// service's own origin, or of a frontend that was named. What is no browser sends none of the headers
    /// (Fetch Metadata; RFC 6454 §7).
    pub fn vouch_for(&self, headers: &HeaderMap) -> bool {
        let own = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .filter(|host| !host.is_empty());
        match headers.get(header::ORIGIN).map(HeaderValue::to_str) {
            Some(Ok(origin)) => {
                let is_own = own.is_some_and(|own| host_of(origin) == Some(own));
                is_own || self.0.iter().any(|it| it == origin)
            }
            Some(Err(_)) => false,
            None => headers
                .get(SEC_FETCH_SITE)
                .is_none_or(|site| site == "same-origin" || site == "none"),
        }
    }

    /// The origin of a request when it is that of a named frontend.
    fn named<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        self.0.iter().any(|it| *origin == **it).then_some(origin)
    }
}

/// The host of an origin with its port, as `Host` spells it.
fn host_of(origin: &str) -> Option<&str> {
    origin
        .strip_prefix("https://")
        .or_else(|| origin.strip_prefix("http://"))
}

/// What CORS (Fetch standard §3.2) adds to the answer of one request; taken before the request is consumed.
pub(super) struct Cors {
    origin: Option<HeaderValue>,
    /// The methods of the path, when a browser asks before it sends.
    preflight: Option<String>,
    /// Whether the answer depends on the origin at all.
    varies: bool,
}

impl Cors {
    /// `allow` are the methods of the path, when it is known.
    pub(super) fn of(
        origins: &AllowedOrigins,
        method: &Method,
        headers: &HeaderMap,
        allow: Option<&str>,
    ) -> Self {
        let origin = origins.named(headers).cloned();
        let asks = *method == Method::OPTIONS
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        Self {
            preflight: allow
                .filter(|_| asks && origin.is_some())
                .map(str::to_owned),
            origin,
            varies: !origins.0.is_empty(),
        }
    }

    /// Whether a browser only asks, so that no handler is to be called.
    pub(super) fn is_preflight(&self) -> bool {
        self.preflight.is_some()
    }

    /// Credentials and headers, for the named origin alone. Any other page gets an answer it cannot read.
    pub(super) fn set(self, headers: &mut HeaderMap) {
        if self.varies {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = self.origin else { return };
        let mut say = |name, value| headers.insert(name, HeaderValue::from_static(value));
        say(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
        if self.preflight.is_some() {
            say(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
            say(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
        } else {
            say(header::ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if let Some(methods) = self.preflight {
            let methods = methods.parse().expect("methods are header values");
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(text: &str) -> AllowedOrigins {
        AllowedOrigins::parse(text).expect("origins")
    }

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(HeaderName, &'static str)| {
            (name.clone(), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_whole_origins_are_taken() {
        origins("https://app.example.com, http://localhost:5173");
        for wrong in [
            "*",
            "null",
            "app.example.com",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://*.example.com",
            "https://App.example.com",
            "https://app.example.com:443",
            "https://user@app.example.com",
            "ftp://app.example.com",
            "https://app.example.com,",
            "https://",
        ] {
            assert!(AllowedOrigins::parse(wrong).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn a_page_vouches_only_from_the_own_or_a_named_origin() {
        let origins = origins("https://app.example.com");
        let host = (header::HOST, "auth.example.com");
        let vouched = |rest: &[(HeaderName, &'static str)]| {
            let mut pairs = rest.to_vec();
            pairs.push(host.clone());
            origins.vouch_for(&headers(&pairs))
        };
        assert!(vouched(&[]), "no browser");
        assert!(vouched(&[(header::ORIGIN, "https://app.example.com")]));
        assert!(vouched(&[(header::ORIGIN, "https://auth.example.com")]));
        assert!(vouched(&[(SEC_FETCH_SITE, "same-origin")]));
        assert!(vouched(&[(SEC_FETCH_SITE, "none")]));
        for origin in [
            "https://evil.example",
            "https://app.example.com.evil.example",
            "https://evil-app.example.com",
            "http://app.example.com",
            "https://app.example.com:8443",
            "null",
            "auth.example.com",
            "",
        ] {
            assert!(!vouched(&[(header::ORIGIN, origin)]), "{origin}");
        }
        for host in [None, Some("")] {
            for origin in ["null", "https://", "https://auth.example.com"] {
                let mut pairs = vec![(header::ORIGIN, origin)];
                pairs.extend(host.map(|host| (header::HOST, host)));
                assert!(!origins.vouch_for(&headers(&pairs)), "{origin} at {host:?}");
            }
        }
        assert!(!vouched(&[(SEC_FETCH_SITE, "cross-site")]));
        assert!(!vouched(&[(SEC_FETCH_SITE, "same-site")]));
    }
}
