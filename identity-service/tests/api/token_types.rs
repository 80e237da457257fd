//! Every place that takes a token, and every other kind of token in it.

use reqwest::Method;
use serde_json::json;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, somebody},
    authenticator::Protected,
    device::unauthorized,
    replica::Region,
    service::{Answer, Service, sent},
    validation::service_token,
};

/// The kinds of tokens that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Access,
    Refresh,
    Device,
    Mfa,
    Verification,
    Reset,
    AddressChange,
    Csrf,
    Service,
}

/// The places that take one.
#[derive(Clone, Copy, Debug)]
enum Place {
    VerifyEmail,
    CancelSignup,
    Reset,
    ConfirmEmail,
    Refresh,
    VerifyMfa,
    LoginDevice,
    Bearer,
    ForwardAuth,
    Introspect,
}

impl Place {
    const ALL: [Self; 10] = [
        Self::VerifyEmail,
        Self::CancelSignup,
        Self::Reset,
        Self::ConfirmEmail,
        Self::Refresh,
        Self::VerifyMfa,
        Self::LoginDevice,
        Self::Bearer,
        Self::ForwardAuth,
        Self::Introspect,
    ];

    fn wants(self) -> Kind {
        match self {
            Self::VerifyEmail | Self::CancelSignup => Kind::Verification,
            Self::Reset => Kind::Reset,
            Self::ConfirmEmail => Kind::AddressChange,
            Self::Refresh => Kind::Refresh,
            Self::VerifyMfa => Kind::Mfa,
            Self::LoginDevice => Kind::Device,
            Self::Bearer | Self::ForwardAuth => Kind::Access,
            Self::Introspect => Kind::Service,
        }
    }

    async fn given(self, identity: &Service, token: &str, email: &str) -> Answer {
        match self {
            Self::VerifyEmail => identity.verify(token).await,
            Self::CancelSignup => identity.cancel(token).await,
            Self::Reset => identity.reset(token, OTHER_PASSWORD).await,
            Self::ConfirmEmail => identity.confirm_address(token).await,
            Self::Refresh => identity.refresh(token).await,
            Self::VerifyMfa => identity.verify_code(token, "123456").await,
            Self::LoginDevice => identity.login_from(token, email, PASSWORD).await,
            Self::Bearer => identity.me(token).await,
            Self::ForwardAuth => {
                let request = identity.request(Method::GET, "/api/auth/verify");
                sent(request.bearer_auth(token)).await
            }
            Self::Introspect => {
                let request = identity.request(Method::POST, "/api/auth/introspect");
                let form = "application/x-www-form-urlencoded";
                let request = request.header("content-type", form).body("token=x");
                sent(request.bearer_auth(token)).await
            }
        }
    }
}

#[tokio::test]
async fn no_place_takes_another_kind_of_token_nor_uses_it_up() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (ada, pending) = (identity.person().await, somebody());
    let verification = identity.mailed_sign_up(&pending, PASSWORD).await;
    let reset = identity.mailed_reset(&ada.email).await;
    let login = identity.login(&ada.email, PASSWORD).await;
    let (tokens, device) = (login.tokens(), login.device_token());
    let bob = identity.logged_in(&identity.person().await).await;
    let address = identity.mailed_address(&bob, &somebody()).await;
    let service = service_token("journal", "identity");
    let Protected {
        person,
        authenticator,
        ..
    } = region.protected(identity).await;
    let challenge = identity.challenge(&person).await;
    let csrf = identity.browser(&ada).await.csrf;
    let kinds = [
        (Kind::Access, &tokens.access),
        (Kind::Refresh, &tokens.refresh),
        (Kind::Device, &device),
        (Kind::Mfa, &challenge),
        (Kind::Verification, &verification),
        (Kind::Reset, &reset),
        (Kind::AddressChange, &address),
        (Kind::Csrf, &csrf),
        (Kind::Service, &service),
    ];
    for place in Place::ALL {
        for (kind, token) in kinds {
            if kind == place.wants() {
                continue;
            }
            for email in [&ada.email, &somebody()] {
                let answer = place.given(identity, token, email).await;
                let expected = unauthorized("wrong_token_type");
                assert_eq!(answer.problem(), expected, "{place:?} {kind:?}");
            }
        }
    }
    // All of them are as good as before.
    assert_eq!(identity.me(&tokens.access).await.status, 200);
    assert_eq!(identity.refresh(&tokens.refresh).await.status, 200);
    let again = identity.login_from(&device, &ada.email, PASSWORD).await;
    assert_eq!(again.status, 200, "{}", again.text);
    let code = region.code(&authenticator);
    assert_eq!(identity.verify_code(&challenge, &code).await.status, 200);
    assert_eq!(identity.count("pending_signups").await, 1);
    assert_eq!(identity.cancel(&verification).await.status, 204);
    assert_eq!(identity.count("pending_signups").await, 0);
    assert_eq!(identity.reset(&reset, OTHER_PASSWORD).await.status, 200);
    assert_eq!(identity.confirm_address(&address).await.status, 200);
}

#[tokio::test]
async fn a_browser_whose_device_cookie_holds_something_else_still_logs_in() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;
    let body = json!({ "email": ada.email, "password": PASSWORD, "session": "cookie" });
    let request = identity.request(Method::POST, "/api/auth/login");
    let cookie = format!("__Secure-ks_device={}", tokens.refresh);
    let answer = sent(request.header("Cookie", cookie).json(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}
