//! What every operation is given.
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::access::Principal;
use crate::api::core::Core;
use crate::api::error::{ApiError, Kind};
use crate::base::size::ByteSize;
use crate::base::time::{Clock, Timestamp};
use crate::job::limits::Policy;

/// What every operation is given.
#[derive(Clone)]
pub struct ApiState {
    /// The parts behind the API.
    pub core: Arc<dyn Core>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// When the daemon started.
    pub started: Timestamp,
    /// Defaults and ceilings of jobs.
    pub policy: Policy,
    /// What the configuration says.
    pub settings: Settings,
    /// Who everybody is while authentication is off.
    pub everybody: Principal,
}

/// The bounds of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Largest body (`security.max_request_size`).
    pub max_request_size: ByteSize,
    /// For the arrival of a request, and for parts that answer it (`security.request_timeout`).
    pub request_time: Duration,
    /// Longest that a job may wait for a place.
    pub queue_time: Duration,
    /// Whether a job may use the network (`network.egress`).
    pub network_access: bool,
}

impl ApiState {
    /// Time since the start.
    pub(super) fn uptime(&self) -> Duration {
        Duration::from_secs(self.clock.now().since(self.started).as_secs())
    }

    /// Waits for a part behind the API, but not for ever.
    pub(super) async fn in_time<T>(&self, part: impl Future<Output = T>) -> Result<T, ApiError> {
        let late = |_elapsed| ApiError::new(Kind::HandlerTimeout, "a part did not answer in time");
        tokio::time::timeout(self.settings.request_time, part).await.map_err(late)
    }
}

impl fmt::Debug for ApiState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiState").field("settings", &self.settings).finish_non_exhaustive()
    }
}
