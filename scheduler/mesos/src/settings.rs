//! Who the framework is, and how its tasks are made.

use mesos::scheduler::{Call, OfferConstraints, Subscribe, UpdateFramework};
use mesos::{FrameworkCapability, FrameworkCapabilityType, FrameworkId, FrameworkInfo};

/// The shortest failover timeout: Mesos ends all tasks of a framework that is away for longer, so it
/// must cover the longest outage of schedulers. Marathon takes a week, Aurora three.
pub const FAILOVER_TIMEOUT_LEAST_SECONDS: u32 = 7 * 24 * 3600;

/// Who the framework is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framework {
    /// Its name, as dashboards show it.
    pub name: String,
    /// The user that tasks run as.
    pub user: String,
    /// Its role.
    pub role: String,
    /// Who it logs in as, if masters want that.
    pub principal: Option<String>,
    /// The host that the scheduler runs on.
    pub hostname: Option<String>,
    /// Where people find its dashboard.
    pub webui_url: Option<String>,
    /// How long tasks live on without a scheduler; less than a week counts as a week.
    pub failover_timeout_seconds: u32,
}

/// Who the framework is, and how its tasks are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Who it is.
    pub framework: Framework,
    /// `TZ` of tasks that don't set it.
    pub timezone: Option<String>,
    /// Whether tasks say that what they need is the most that they get. Agents before 1.11 refuse
    /// such tasks; all limit memory anyway, and processors if they are told to.
    pub declares_limits: bool,
}

impl Framework {
    /// As Mesos wants it.
    #[must_use]
    pub fn info(&self, id: Option<FrameworkId>) -> FrameworkInfo {
        let capability =
            |one: FrameworkCapabilityType| FrameworkCapability { r#type: Some(one.into()) };
        FrameworkInfo {
            user: self.user.clone(),
            name: self.name.clone(),
            id,
            failover_timeout: Some(f64::from(
                self.failover_timeout_seconds.max(FAILOVER_TIMEOUT_LEAST_SECONDS),
            )),
            // Tasks survive the restart of their agent.
            checkpoint: Some(true),
            roles: vec![self.role.clone()],
            hostname: self.hostname.clone(),
            principal: self.principal.clone(),
            webui_url: self.webui_url.clone(),
            capabilities: vec![
                capability(FrameworkCapabilityType::MultiRole),
                capability(FrameworkCapabilityType::PartitionAware),
                capability(FrameworkCapabilityType::TaskKillingState),
                // Offers say of each resource whose it is, with labels.
                capability(FrameworkCapabilityType::ReservationRefinement),
            ],
            ..FrameworkInfo::default()
        }
    }

    /// The call that opens the stream, with which agents are worth an offer; all, if that is absent.
    #[must_use]
    pub fn subscribe(
        &self,
        id: Option<FrameworkId>,
        offer_constraints: Option<OfferConstraints>,
    ) -> Call {
        let framework_info = self.info(id);
        Call::subscribe(Subscribe { framework_info, offer_constraints, ..Subscribe::default() })
    }

    /// The call that changes which agents are worth an offer, and nothing else.
    pub(crate) fn update(
        &self,
        id: FrameworkId,
        is_suppressed: bool,
        offer_constraints: Option<OfferConstraints>,
    ) -> Call {
        let framework_info = self.info(Some(id.clone()));
        let suppressed_roles = is_suppressed.then(|| self.role.clone()).into_iter().collect();
        let update = UpdateFramework { framework_info, suppressed_roles, offer_constraints };
        Call::update_framework(id, update)
    }
}
