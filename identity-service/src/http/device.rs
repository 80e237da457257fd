//! The device behind a request, for handlers.

use std::sync::Arc;

use poem::{FromRequest, Request, RequestBody, http::header::USER_AGENT};
use shared::serve::Peer;

use crate::device::Device;

impl<'a> FromRequest<'a> for Device {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        let peer: &Arc<Peer> = request
            .data()
            .expect("serve puts the peer into every request");
        // What is not ASCII is cut out rather than refused: it decides nothing.
        let user_agent = request.headers().get(USER_AGENT);
        let user_agent = user_agent.map_or("", |value| value.to_str().unwrap_or_default());
        Ok(Self::new(user_agent, peer.address.ip().to_string()))
    }
}
