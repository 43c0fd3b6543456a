//! Reads the body of a request: counted, and within a time.
//!
//! What is too large is read on for a while and thrown away, because a client that is still sending
//! when the connection closes gets a reset and never sees the 413 (RFC 9112, section 9.6).
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;
use poem::Request;
use poem::http::header;

use crate::api::error::{ApiError, Kind};
use crate::base::size::ByteSize;

/// Bytes beyond the ceiling that are thrown away before the connection is given up.
const DISCARDED_AT_MOST: u64 = 64 << 20;

/// Reads the whole body.
///
/// # Errors
/// 413 above `ceiling`, 408 after `time`, 400 when the client stops sending.
pub(super) async fn read(request: &mut Request, ceiling: ByteSize, time: Duration) -> Result<Vec<u8>, ApiError> {
    let declared = request.headers().get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let waits = request.headers().contains_key(header::EXPECT);
    let too_large = declared.is_some_and(|bytes| bytes > ceiling.bytes());
    if too_large && waits {
        return Err(over(ceiling));
    }
    let body: BoxBody<Bytes, std::io::Error> = request.take_body().into();
    match tokio::time::timeout(time, collect(body, ceiling)).await {
        Ok(result) => result,
        Err(_late) if too_large => Err(over(ceiling)),
        Err(_late) => {
            let message = format!("the body did not arrive within {} s", time.as_secs_f64());
            Err(ApiError::new(Kind::RequestTimeout, message))
        }
    }
}

async fn collect(mut body: BoxBody<Bytes, std::io::Error>, ceiling: ByteSize) -> Result<Vec<u8>, ApiError> {
    let mut kept = Vec::new();
    let mut arrived: u64 = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| ApiError::new(Kind::InvalidRequest, format!("the body could not be read: {error}")))?;
        let Some(data) = frame.data_ref() else { continue };
        arrived = arrived.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        if arrived <= ceiling.bytes() {
            kept.extend_from_slice(data);
        } else if arrived - ceiling.bytes() > DISCARDED_AT_MOST {
            break;
        } else {
            kept = Vec::new();
        }
    }
    if arrived > ceiling.bytes() { Err(over(ceiling)) } else { Ok(kept) }
}

fn over(ceiling: ByteSize) -> ApiError {
    ApiError::new(Kind::PayloadTooLarge, format!("the body is larger than {ceiling}"))
}
