//! One queue of all instances of an app, at the gateways: requests are bound late. An instance that
//! has nothing to do takes the next request; then the request is sent to its machine, its source is
//! downloaded there, and it is worked on. The instance is held all the time. That is what late
//! binding costs; what it brings is that nobody waits behind one instance while another one is idle.
//!
//! The queue belongs to no machine: when a machine fails, what waits goes on waiting as long as there
//! is somebody to wait for. For how long is the same for every queue, whatever its scope, which has
//! all instances of the app, those of a machine, or one:
//!
//! - With the last instance that takes requests and crashes, or fails with its machine, what waits
//!   fails, too, though others may be starting. Gateways know none of these yet: what arrives then is
//!   refused (`no_instance`).
//! - The last one that leaves has begun what waited when that was decided. If something came since
//!   (for one that then crashed), it waits for those that start, as long as any instance is left: one
//!   that starts, however long that is held back after a crash, or one that has left and still holds
//!   its machine. As soon as none is left (the start is called off, or lost with its machine; the last
//!   one has given its machine back), it fails. A machine that is down isn't waited for.
//!
//! So each request that was let in is served, dropped by a rule about waits, or fails. Apps that borrow
//! machines send it to another queue instead, and under a scheduler the second case is like the first:
//! with the end of the last instance that took requests what waits fails.
//!
//! Warm-up weights mean nothing, for nobody chooses an instance: the one that has been idle for
//! longest takes the request.

use std::fmt;

use policy::queue::QueueScope;

use crate::model::Model;

/// Why a model can't have central queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Transfers share links of machines.
    Links,
    /// Instances work on several requests at a time, and requests take time on their way.
    Crowds,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unfit::Links => {
                "transfers that share links go to a machine that is known beforehand, not to the \
                 one that takes a request"
            }
            Unfit::Crowds => {
                "instances with a concurrency would be held by requests that are still on their \
                 way: leave `dispatch` and downloads out, or `concurrency`"
            }
        })
    }
}

/// Whether a model can be run so; one without central queues can.
///
/// # Errors
/// Why not.
pub fn check(model: &Model) -> Result<(), Unfit> {
    if model.queue.scope != QueueScope::Central {
        return Ok(());
    }
    if model.shares_links() {
        return Err(Unfit::Links);
    }
    if model.has_crowds() && model.has_stages() {
        return Err(Unfit::Crowds);
    }
    Ok(())
}
