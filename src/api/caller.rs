//! Who makes a request. Authentication is not built yet: everybody is one principal (contract
//! rule 12), and the daemon refuses to start with authentication on.
use poem::{FromRequest, Request, RequestBody};

use crate::access::Principal;
use crate::api::error::{ApiError, Kind};

/// The principal of a request, as an argument of a handler.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub Principal);

impl<'a> FromRequest<'a> for Caller {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let identified = request.extensions().get::<Principal>().cloned();
        let nobody = || ApiError::new(Kind::Internal, "nobody was identified");
        Ok(Self(identified.ok_or_else(nobody)?))
    }
}
