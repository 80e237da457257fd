//! What a variable may say: one function for each kind of value, for the [`Reader`](super::Reader) to call. None repeats
//! what it was given.

use std::str::FromStr;

use reqwest::Url;
use secrecy::SecretString;
use time::Duration;
use zeroize::Zeroizing;

/// A 256-bit key, wiped when dropped.
pub type Key256 = Zeroizing<[u8; 32]>;

/// Takes any text.
pub fn text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// Takes any text as a secret.
pub fn secret_text(text: &str) -> Result<SecretString, String> {
    Ok(text.into())
}

/// Takes what `T` parses; `what` names it in the problem, since a parser's own error may repeat the value.
pub fn parsed<T: FromStr>(what: &'static str) -> impl FnOnce(&str) -> Result<T, String> {
    move |text| text.parse().map_err(|_| format!("is not {what}"))
}

/// Takes an `http` or `https` URL with a host and perhaps a path, and gives it in its normal form and without a slash
/// at its end, so that a path can follow and two services that were told the same issuer compare equal.
pub fn http_url(text: &str) -> Result<String, String> {
    let url = web_url(text).ok_or(
        "is not a URL of http:// or https://, a host and perhaps a port and a path, with nothing after it",
    )?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Takes the `http` or `https` URL of a server, under which paths begin at the root.
pub fn http_root(text: &str) -> Result<Url, String> {
    let url = web_url(text).filter(is_root);
    url.ok_or_else(|| {
        "is not a URL of http:// or https://, a host and perhaps a port, with nothing after it"
            .to_owned()
    })
}

/// The same of a server that is spoken to with TLS alone.
pub fn https_root(text: &str) -> Result<Url, String> {
    let url = web_url(text).filter(|url| is_root(url) && url.scheme() == "https");
    url.ok_or_else(|| {
        "is not a URL of https://, a host and perhaps a port, with nothing after it".to_owned()
    })
}

/// A URL without credentials, query and fragment. The parser forgives what browsers do, such as `https:host`,
/// `https:///host` or a line break in the middle; a setting that says so was meant otherwise.
fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let rest = text.strip_prefix(url.scheme())?.strip_prefix("://")?;
    let is_plain = matches!(url.scheme(), "http" | "https")
        && !rest.starts_with(['/', '\\'])
        && !text.contains(|char: char| char.is_whitespace() || char.is_control())
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    is_plain.then_some(url)
}

fn is_root(url: &Url) -> bool {
    url.path() == "/"
}

/// Takes a duration of one unit, such as `7d`, `24h`, `15m` or `30s`; more than zero.
pub fn duration(text: &str) -> Result<Duration, String> {
    let problem = || "is not a duration such as 7d, 24h, 15m or 30s".to_owned();
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(problem)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(problem()),
    };
    let count: u32 = number.parse().map_err(|_| problem())?;
    if count == 0 {
        return Err("is zero".to_owned());
    }
    Ok(Duration::seconds(i64::from(count) * seconds))
}

/// Takes 64 hex digits that are a plausible 256-bit key.
///
/// Refused, without repeating a digit of it: another length (a 32-character "key" has at most 128 bits),
/// anything that is not hex, and material no generator would give, such as all zeros or a repeated
/// pattern: 32 random bytes have fewer than 16 distinct values with a probability below 2^-60.
pub fn key_256(text: &str) -> Result<Key256, String> {
    const FEWEST_DISTINCT_BYTES: usize = 16;
    if text.len() != 64 {
        return Err("is not 64 hex digits (256 bits) long".to_owned());
    }
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text, key.as_mut_slice()).map_err(|_| "is not hex".to_owned())?;
    let mut seen = [false; 256];
    key.iter().for_each(|byte| {
        if let Some(slot) = seen.get_mut(usize::from(*byte)) {
            *slot = true;
        }
    });
    if seen.iter().filter(|seen| **seen).count() < FEWEST_DISTINCT_BYTES {
        return Err("has too little entropy to be a random key".to_owned());
    }
    Ok(key)
}

/// Takes a list of versioned 256-bit keys, `2:<64 hex>,1:<64 hex>` (a `v` before the number, and new
/// lines for commas, are fine), newest first. One bare key is version 1.
pub fn versioned_keys(text: &str) -> Result<Vec<(u32, Key256)>, String> {
    let mut keys: Vec<(u32, Key256)> = Vec::new();
    for item in text
        .split([',', '\n'])
        .map(str::trim)
        .filter(|item| !item.is_empty())
    {
        let (version, key) = item.split_once(':').unwrap_or(("1", item));
        let version: u32 = version
            .trim_start_matches('v')
            .parse()
            .ok()
            .filter(|version| *version > 0)
            .ok_or("has a key whose version is not a number above zero")?;
        let key = key_256(key.trim()).map_err(|problem| format!("version {version} {problem}"))?;
        if keys.iter().any(|(known, _)| *known == version) {
            return Err(format!("names version {version} twice"));
        }
        if keys.iter().any(|(_, known)| **known == *key) {
            return Err(format!("version {version} repeats another version's key"));
        }
        keys.push((version, key));
    }
    keys.sort_unstable_by_key(|(version, _)| std::cmp::Reverse(*version));
    if keys.is_empty() {
        Err("names no key".to_owned())
    } else {
        Ok(keys)
    }
}

/// Takes a Postgres URL and checks that it is one, so that a typing error stops the start.
pub fn postgres_url(text: &str) -> Result<SecretString, String> {
    text.parse::<tokio_postgres::Config>()
        .map_err(|_| "is not a Postgres URL".to_owned())?;
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn weak_keys_are_refused() {
        let weak = [
            "",
            "0123456789abcdef0123456789abcdef",
            &"00".repeat(32),
            &"ab".repeat(32),
            &"0123456789abcdef".repeat(4),
            &"zz".repeat(32),
            &format!("1:{GOOD},1:{GOOD}"),
            &format!("2:{GOOD},1:{GOOD}"),
            &format!("0:{GOOD}"),
            &format!("x:{GOOD}"),
        ];
        for keys in weak {
            assert!(versioned_keys(keys).is_err(), "accepted {keys:?}");
        }
    }

    #[test]
    fn keys_come_newest_first_whatever_the_order() {
        let other = GOOD.replace("1e1f", "1e20");
        let keys = versioned_keys(&format!("v1:{GOOD},\nv2:{other}")).expect("two good keys");
        assert_eq!(
            keys.iter().map(|(version, _)| *version).collect::<Vec<_>>(),
            [2, 1]
        );
    }

    #[test]
    fn durations_have_one_unit() {
        assert_eq!(duration("15m"), Ok(Duration::minutes(15)));
        assert_eq!(duration("7d"), Ok(Duration::days(7)));
        for wrong in ["", "0s", "15", "m", "-1s", "1w", "1.5h", "5é"] {
            assert!(duration(wrong).is_err(), "accepted {wrong:?}");
        }
    }

    #[test]
    fn a_url_says_whom_to_ask_and_nothing_else() {
        for (text, is_root) in [
            ("http://127.0.0.1:8081", true),
            ("https://login.example.com/", true),
            ("https://[2001:db8::1]:8443", true),
            ("https://example.com/login/", false),
        ] {
            let url = http_url(text);
            assert_eq!(url.as_deref(), Ok(text.trim_end_matches('/')));
            assert_eq!(http_root(text).is_ok(), is_root, "{text}");
            let is_secure = is_root && text.starts_with("https");
            assert_eq!(https_root(text).is_ok(), is_secure, "{text}");
        }
        assert_eq!(
            http_url("https://Login.Example.com:443/").as_deref(),
            Ok("https://login.example.com")
        );
        for wrong in [
            "localhost:8082",
            "vault:8082",
            "//vault",
            "http://",
            "https:///",
            "https:///vault",
            "https:vault",
            "https://\\vault",
            "https://vault:port",
            "https://vault:99999",
            "https://va ult",
            "https://va\nult",
            "ftp://vault",
            "file:///vault",
            "https://ada@vault",
            "https://ada:hunter2@vault",
            "https://vault/?at=8082",
            "https://vault?",
            "https://vault/#8082",
        ] {
            let told = [
                http_url(wrong).err(),
                http_root(wrong).err(),
                https_root(wrong).err(),
            ];
            for told in told {
                let told = told.unwrap_or_else(|| panic!("{wrong:?} was taken"));
                assert!(told.contains("http") && !told.contains("vault"), "{told}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in "\\PC{0,80}") {
            let _ = (duration(&text), key_256(&text), versioned_keys(&text), postgres_url(&text));
            let _ = (http_url(&text), http_root(&text), https_root(&text));
        }

        #[test]
        fn random_keys_are_accepted(key in any::<[u8; 32]>()) {
            prop_assume!(key.iter().collect::<std::collections::HashSet<_>>().len() >= 16);
            prop_assert_eq!(*key_256(&hex::encode(key)).unwrap(), key);
        }
    }
}
