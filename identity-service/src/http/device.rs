//! The device behind a request, for handlers.

use poem::{
    FromRequest, Request, RequestBody,
    http::{HeaderValue, header::USER_AGENT},
};
use shared::serve::ClientAddress;

use crate::device::Device;

impl<'a> FromRequest<'a> for Device {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        let client: &ClientAddress = request
            .data()
            .expect("serve puts the client into every request");
        // Any bytes are taken, since they decide nothing.
        let user_agent = request.headers().get(USER_AGENT).map(HeaderValue::as_bytes);
        let user_agent = String::from_utf8_lossy(user_agent.unwrap_or_default());
        Ok(Self::new(&user_agent, client.network().to_string()))
    }
}
