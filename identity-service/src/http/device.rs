//! The device behind a request, for handlers.

use poem::{FromRequest, Request, RequestBody, http::header::USER_AGENT};
use shared::serve::ClientAddress;

use crate::device::Device;

impl<'a> FromRequest<'a> for Device {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        let client: &ClientAddress = request
            .data()
            .expect("serve puts the client into every request");
        // What is not ASCII is cut out rather than refused: it decides nothing.
        let user_agent = request.headers().get(USER_AGENT);
        let user_agent = user_agent.map_or("", |value| value.to_str().unwrap_or_default());
        Ok(Self::new(user_agent, client.network().to_string()))
    }
}
