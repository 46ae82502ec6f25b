//! How often may be searched.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::places::addresses;
use crate::error::PortError;
use crate::limits::{Decision, RateLimiter, Rule};
use crate::viewer::{ClientInfo, Viewer};

/// How often may be searched, for people or in messages: both count together.
#[derive(Clone, Copy, Debug)]
pub struct SearchPolicy {
    /// A user.
    pub user: Rule,
    /// An IP address; many users may share one.
    pub address: Rule,
}

/// Holds back who searches too often, across all instances.
pub struct SearchLimit {
    pub(crate) limiter: Arc<dyn RateLimiter>,
    pub(crate) policy: SearchPolicy,
}

impl SearchLimit {
    /// Counts a search, or says how long to wait. What one of the two refuses is not counted by the
    /// other.
    ///
    /// # Errors
    /// Where the limiter fails.
    pub async fn admit(
        &self,
        viewer: &Viewer,
        client: &ClientInfo,
    ) -> Result<Option<Duration>, PortError> {
        let user = viewer.user_id.to_string();
        let mut counted = vec![(self.policy.user, user)];
        counted.extend(client.ip.map(|ip| self.places(ip)).into_iter().flatten());
        for (place, (rule, key)) in counted.iter().enumerate() {
            if let Decision::Denied(wait) = self.limiter.check(*rule, key).await? {
                for (rule, key) in counted.iter().take(place) {
                    self.limiter.give_back(*rule, key).await?;
                }
                return Ok(Some(wait));
            }
        }
        Ok(None)
    }

    fn places(&self, ip: IpAddr) -> Vec<(Rule, String)> {
        let places = addresses(ip).into_iter();
        let counted = places.map(|place| (place.rule(self.policy.address), place.name));
        counted.collect()
    }
}
