//! The mails that a stack's identity service wrote to its mail folder instead of sending them.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Failure;

/// One mail, decoded.
#[derive(Clone)]
pub struct Mail {
    pub file: PathBuf,
    pub to: String,
    pub subject: String,
    /// The readable part.
    pub text: String,
}

impl Mail {
    fn is_to(&self, address: &str) -> bool {
        let to = self.to.trim_matches(['<', '>']);
        to.eq_ignore_ascii_case(address)
    }

    /// The value of `token=…` in the first link that has one, in its query or its fragment.
    pub fn token(&self) -> Option<&str> {
        let (_, after) = self.text.split_once("token=")?;
        let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.~%".contains(c)));
        Some(after.get(..end.unwrap_or(after.len())).unwrap_or(after))
    }
}

/// All mails in `folder`, oldest first; those to `address` only, if it is given.
pub fn all(folder: &Path, address: Option<&str>) -> Result<Vec<Mail>, Failure> {
    let reading = || format!("read the mails in {}", folder.display());
    let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Failure::when(reading()))? {
        let path = entry.map_err(Failure::when(reading()))?.path();
        if path.extension().is_some_and(|extension| extension == "eml") {
            let written = path.metadata().and_then(|found| found.modified());
            found.push((written.map_err(Failure::when(reading()))?, path));
        }
    }
    found.sort();
    let mut mails = Vec::new();
    for (_, path) in found {
        let source = std::fs::read(&path).map_err(Failure::when(reading()))?;
        let mail = parse(path, &String::from_utf8_lossy(&source));
        if address.is_none_or(|address| mail.is_to(address)) {
            mails.push(mail);
        }
    }
    Ok(mails)
}

/// As much of RFC 5322 and MIME as our own mails use: folded headers, one text part, three transfer encodings.
fn parse(file: PathBuf, source: &str) -> Mail {
    let source = source.replace("\r\n", "\n");
    let (head, body) = source.split_once("\n\n").unwrap_or((&source, ""));
    let headers = head.replace("\n ", " ").replace("\n\t", " ");
    let part = header(&headers, "content-type")
        .filter(|kind| kind.starts_with("multipart/"))
        .and_then(|kind| boundary(kind).map(str::to_owned))
        .and_then(|boundary| first_part(body, &boundary));
    let (encoding, text) = match &part {
        Some((headers, body)) => (header(headers, "content-transfer-encoding"), body.as_str()),
        None => (header(&headers, "content-transfer-encoding"), body),
    };
    Mail {
        file,
        to: header(&headers, "to").unwrap_or_default().to_owned(),
        subject: header(&headers, "subject").unwrap_or_default().to_owned(),
        text: decoded(encoding.unwrap_or("7bit"), text),
    }
}

fn header<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    headers.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

fn boundary(content_type: &str) -> Option<&str> {
    let (_, value) = content_type.split_once("boundary=")?;
    Some(value.split(';').next()?.trim().trim_matches('"'))
}

fn first_part(body: &str, boundary: &str) -> Option<(String, String)> {
    let part = body.split(&format!("--{boundary}")).nth(1)?;
    let (headers, text) = part.trim_start().split_once("\n\n")?;
    Some((
        headers.replace("\n ", " ").replace("\n\t", " "),
        text.to_owned(),
    ))
}

fn decoded(encoding: &str, text: &str) -> String {
    let bytes = match encoding.to_ascii_lowercase().as_str() {
        "base64" => {
            let packed: String = text.split_whitespace().collect();
            STANDARD.decode(packed).unwrap_or_default()
        }
        "quoted-printable" => quoted_printable(text),
        _ => return text.to_owned(),
    };
    String::from_utf8_lossy(&bytes).into_owned()
}

/// RFC 2045 §6.7: `=XX` is a byte, `=` at the end of a line joins it to the next.
fn quoted_printable(text: &str) -> Vec<u8> {
    let joined = text.replace("=\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_str();
    while let Some((before, after)) = rest.split_once('=') {
        bytes.extend_from_slice(before.as_bytes());
        if let Some(byte) = after
            .get(..2)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
        {
            bytes.push(byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(b'=');
            rest = after;
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_quoted_printable_line_breaks() {
        let source = "To: ada@example.test\r\nSubject: Confirm\r\n your address\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe http://127.0.0.1/verify?token=3Dabc_=\r\ndef-9 now";
        let mail = parse(PathBuf::new(), source);
        assert_eq!(mail.subject, "Confirm your address");
        assert_eq!(
            mail.text,
            "Grüße http://127.0.0.1/verify?token=abc_def-9 now"
        );
        assert_eq!(mail.token(), Some("abc_def-9"));
    }

    #[test]
    fn a_mail_is_to_one_address_and_not_to_one_that_ends_alike() {
        for to in ["ada@example.test", "<Ada@example.test>"] {
            let mail = parse(PathBuf::new(), &format!("To: {to}\n\nHello"));
            assert!(mail.is_to("ada@example.test"));
            assert!(!mail.is_to("da@example.test"));
        }
    }

    #[test]
    fn the_text_of_a_multipart_mail_is_its_first_part() {
        let source = "To: a@b.c\nContent-Type: multipart/alternative;\n boundary=\"xyz\"\n\n--xyz\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\naGVs\nbG8=\n--xyz\nContent-Type: text/html\n\n<p>\n--xyz--\n";
        assert_eq!(parse(PathBuf::new(), source).text, "hello");
    }
}
