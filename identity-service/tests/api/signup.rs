//! Signing up: what is taken, what is refused, and what the mail says.

use serde_json::json;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, invalid_token, somebody, token},
    replica::Region,
    service::Service,
};

#[tokio::test]
async fn an_account_begins_with_the_answer_to_the_mail_and_not_before() {
    let identity = Service::of_the_test_run();
    let email = somebody();
    let answer = identity.sign_up(&email, PASSWORD).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json(), json!({ "status": "verification_sent" }));
    let mail = identity.mail_number(&email, 1).await;
    assert!(!identity.logs_in(&email, PASSWORD).await);

    let verified = identity.verify(&token(&mail)).await;
    assert_eq!(verified.status, 200);
    assert_eq!(verified.json()["status"], "verified");
    assert!(identity.logs_in(&email, PASSWORD).await);
}

#[tokio::test]
async fn the_mail_says_from_where_and_how_to_confirm_or_object() {
    let identity = Service::of_the_test_run();
    let email = somebody();
    identity.sign_up(&email, PASSWORD).await;
    let mail = identity.mail_number(&email, 1).await;
    let token = token(&mail);
    for part in [
        "from 127.0.0.1",
        &format!("/verify-email#token={token}"),
        &format!("/cancel-signup#token={token}"),
    ] {
        assert!(mail.text.contains(part), "{part} is missing: {}", mail.text);
    }
    // For whoever has no frontend.
    assert!(mail.text.lines().any(|line| line == token));
    assert!(!mail.text.contains(PASSWORD));
}

#[tokio::test]
async fn sign_ups_for_one_address_never_touch_each_other_and_the_confirmed_one_wins() {
    let identity = Service::of_the_test_run();
    let email = somebody();
    // The stranger comes first and last; the owner answers with the password of their own sign-up.
    let before = identity.mailed_sign_up(&email, OTHER_PASSWORD).await;
    let owners = identity.mailed_sign_up(&email, PASSWORD).await;
    let after = identity
        .mailed_sign_up(&email.replace("somebody", "SomeBody"), OTHER_PASSWORD)
        .await;

    assert_eq!(identity.verify_as(&owners, PASSWORD).await.status, 200);
    for stale in [&before, &after, &owners] {
        assert_eq!(identity.verify(stale).await.problem(), invalid_token());
    }
    assert!(identity.logs_in(&email, PASSWORD).await);
    assert!(!identity.logs_in(&email, OTHER_PASSWORD).await);
}

#[tokio::test]
async fn a_sign_up_for_an_account_changes_nothing_and_its_owner_is_told() {
    let identity = Service::of_the_test_run();
    let email = somebody();
    identity.account(&email, PASSWORD).await;
    identity.sign_up(&email, OTHER_PASSWORD).await;
    let notice = identity.mail_number(&email, 2).await;
    assert!(notice.text.contains("You have an account already"));
    assert_eq!(notice.token(), None);
    assert!(identity.logs_in(&email, PASSWORD).await);
    assert!(!identity.logs_in(&email, OTHER_PASSWORD).await);
}

#[tokio::test]
async fn everything_that_is_wrong_is_named_at_once_and_never_repeated() {
    let identity = Service::of_the_test_run();
    let body = json!({ "email": "ada at example", "password": "tiny secret" });
    let answer = identity.post("signup", &body).await;
    assert_eq!(answer.problem(), (400, "invalid_request".to_owned()));
    let errors = answer.json()["errors"].clone();
    let pointers: Vec<_> = errors
        .as_array()
        .expect("a list")
        .iter()
        .map(|error| error["pointer"].as_str().expect("a pointer").to_owned())
        .collect();
    assert_eq!(pointers, ["#/email", "#/password"]);
    assert!(!answer.text.contains("ada at example") && !answer.text.contains("tiny secret"));
}

#[tokio::test]
async fn weak_short_and_endless_passwords_are_refused() {
    let identity = Service::of_the_test_run();
    let email = somebody();
    for weak in [
        "passwordpassword",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "fourteen bytes",
        &email,
        &"plough candle orbit ".repeat(52),
    ] {
        let answer = identity.sign_up(&email, weak).await;
        assert_eq!(
            answer.problem(),
            (400, "invalid_request".to_owned()),
            "{weak}"
        );
        assert_eq!(answer.json()["errors"][0]["pointer"], "#/password");
        assert!(!answer.text.contains(weak), "{}", answer.text);
    }
}

#[tokio::test]
async fn whoever_chose_a_weak_password_is_told_why_and_what_would_help_in_stable_words() {
    let identity = Service::of_the_test_run();
    for (weak, codes) in [
        ("fourteen bytes", &["too_short"][..]),
        (&"plough candle orbit ".repeat(52), &["too_long"]),
        (
            "passwordpassword",
            &[
                "too_easy_to_guess",
                "repeated_text",
                "add_words",
                "avoid_repeats",
            ],
        ),
        (
            "qwertyuiopasdfghjkl",
            &[
                "too_easy_to_guess",
                "similar_to_common_password",
                "add_words",
            ],
        ),
    ] {
        let answer = identity.sign_up(&somebody(), weak).await.json();
        let errors = answer["errors"].as_array().expect("errors");
        let told: Vec<_> = errors.iter().filter_map(|it| it["code"].as_str()).collect();
        assert_eq!(told, codes, "{answer}");
        for error in errors {
            assert_eq!(error["pointer"], "#/password");
            assert!(!error["message"].as_str().expect("a text").is_empty());
        }
    }
    // Where there is no such word, there is no member.
    let answer = identity.sign_up("nobody", PASSWORD).await.json();
    assert_eq!(answer["errors"][0].get("code"), None, "{answer}");
}

#[tokio::test]
async fn bodies_of_another_shape_are_refused() {
    let identity = Service::of_the_test_run();
    let email = somebody();
    for body in [
        json!({}),
        json!([]),
        json!({ "email": email }),
        json!({ "email": email, "password": PASSWORD, "admin": true }),
        json!({ "email": email, "password": { "$ne": "" } }),
        json!({ "email": email, "password": [PASSWORD] }),
        json!({ "email": [email], "password": PASSWORD }),
        json!({ "email": email, "password": null }),
    ] {
        let answer = identity.post("signup", &body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text);
        assert!(!answer.text.contains(PASSWORD) && !answer.text.contains(&email));
    }
    identity.outbox_worked_off().await;
    assert!(identity.mails(&email).is_empty());
}

#[tokio::test]
async fn a_domain_in_its_own_script_and_in_ascii_is_one_account() {
    let identity = Service::of_the_test_run();
    let somebody = somebody();
    let local = somebody.split('@').next().expect("an address");
    let (typed, ascii) = (
        format!("{local}@bücher.test"),
        format!("{local}@xn--bcher-kva.test"),
    );
    assert_eq!(identity.sign_up(&typed, PASSWORD).await.status, 202);
    // Mail goes to the name that mail servers look up.
    let mail = identity.mail_number(&ascii, 1).await;
    assert_eq!(identity.verify(&token(&mail)).await.status, 200);
    let other = format!("{local}@BU\u{308}CHER.test");
    for spelling in [&typed, &ascii, &other] {
        assert!(identity.logs_in(spelling, PASSWORD).await, "{spelling}");
    }
    let tokens = identity.login(&ascii, PASSWORD).await.tokens();
    assert_eq!(identity.me(&tokens.access).await.json()["email"], *typed);
    // A sign-up in the other spelling is one for an account that is there.
    identity.sign_up(&ascii, OTHER_PASSWORD).await;
    let notice = identity.mail_number(&ascii, 2).await;
    assert!(notice.text.contains("You have an account already"));
}

#[tokio::test]
async fn an_address_cannot_write_headers_into_a_mail() {
    let identity = Service::of_the_test_run();
    let eve = somebody();
    for address in [
        format!("ada@example.test\r\nBcc: {eve}"),
        format!("ada@example.test, {eve}"),
        format!("\"a\r\nBcc: {eve}\r\n\"@example.test"),
        format!("Ada <{eve}>"),
    ] {
        let answer = identity.sign_up(&address, PASSWORD).await;
        assert_eq!(answer.status, 400, "{address:?}: {}", answer.text);
    }
    identity.outbox_worked_off().await;
    assert!(identity.mails(&eve).is_empty());
}

#[tokio::test]
async fn passwords_that_bcrypt_alone_would_confuse_are_distinct() {
    let identity = Service::of_the_test_run();
    let seventy_two = "plough candle orbit meadow 1843 walnut lantern river 2077 harbour violin";
    assert_eq!(seventy_two.len(), 72);
    let pairs = [
        // bcrypt ignores what follows the 72nd byte …
        (format!("{seventy_two}x"), format!("{seventy_two}y")),
        (format!("{seventy_two}x"), seventy_two.to_owned()),
        // … and takes a NUL for the end.
        (format!("{PASSWORD}\0x"), format!("{PASSWORD}\0y")),
        (format!("{PASSWORD}\0x"), PASSWORD.to_owned()),
        (PASSWORD.to_owned(), format!("{PASSWORD}\0{PASSWORD}")),
    ];
    for (chosen, other) in pairs {
        let email = somebody();
        identity.account(&email, &chosen).await;
        assert!(identity.logs_in(&email, &chosen).await, "{chosen:?}");
        assert!(!identity.logs_in(&email, &other).await, "{other:?}");
    }
}

#[tokio::test]
async fn a_letter_composed_either_way_is_the_same_password_and_address() {
    let identity = Service::of_the_test_run();
    let email = somebody();
    identity
        .account(&format!("zo\u{eb}.{email}"), "zo\u{e9} de la gare du nord")
        .await;
    let (email, password) = (
        format!("zoe\u{308}.{email}"),
        "zoe\u{301} de la gare du nord",
    );
    assert!(identity.logs_in(&email, password).await);
}

#[tokio::test]
async fn a_sign_up_whose_mail_cannot_be_left_is_none() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    // There is a key from before.
    identity.mailed_sign_up(&somebody(), PASSWORD).await;
    let refusing = "ALTER TABLE outbox ADD CHECK (false) NOT VALID";
    let done = identity.database().await.batch_execute(refusing).await;
    done.expect("the table is the service's own");
    assert_eq!(identity.sign_up(&somebody(), PASSWORD).await.status, 500);
    assert_eq!(identity.count("pending_signups").await, 1);
}
