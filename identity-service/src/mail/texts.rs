//! What the mails say: plain text, one function each.

use time::{OffsetDateTime, macros::format_description};

/// A mail without its address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) subject: &'static str,
    pub(crate) body: String,
}

/// To an address that somebody signed up with. The token stands in the link's fragment, which no server on
/// the way gets to see, and on a line of its own for whoever has no frontend.
pub(crate) fn confirm_address(
    app_url: &str,
    token: &str,
    network: &str,
    at: OffsetDateTime,
) -> Text {
    let when = moment(at);
    Text {
        subject: "Confirm your address",
        body: format!(
            "Somebody signed up with this address on {when}, from {network}.\n\
             \n\
             If it was you, confirm it within 24 hours:\n\
             {app_url}/verify-email#token={token}\n\
             \n\
             If this was not you, do nothing, or discard the sign-up at once:\n\
             {app_url}/cancel-signup#token={token}\n\
             \n\
             Token:\n\
             {token}\n"
        ),
    }
}

/// To the owner of an account whose address somebody signed up with.
pub(crate) fn somebody_signed_up(app_url: &str, network: &str, at: OffsetDateTime) -> Text {
    let when = moment(at);
    Text {
        subject: "You already have an account",
        body: format!(
            "Somebody signed up with this address on {when}, from {network}.\n\
             \n\
             You have an account already, and it was not changed. If it was you, log in:\n\
             {app_url}/login\n\
             \n\
             If it was not you, there is nothing you need to do.\n"
        ),
    }
}

fn moment(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    at.format(&format)
        .expect("the format is of a date and a time")
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn the_mail_says_when_and_from_where_and_how_to_object() {
        let at = datetime!(2026-11-24 08:05 UTC);
        let text = confirm_address("https://app.test", "kst_v_abc", "192.0.2.1", at);
        for part in [
            "2026-11-24 08:05 UTC",
            "192.0.2.1",
            "https://app.test/verify-email#token=kst_v_abc\n",
            "https://app.test/cancel-signup#token=kst_v_abc\n",
            "\nkst_v_abc\n",
        ] {
            assert!(
                text.body.contains(part),
                "{part} is missing in {}",
                text.body
            );
        }
        assert!(
            !somebody_signed_up("https://app.test", "192.0.2.1", at)
                .body
                .contains("token")
        );
    }
}
