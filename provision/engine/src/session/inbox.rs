//! What a session is asked to do, in order.

use std::collections::VecDeque;

use provision_protocol::Call;
use tokio::sync::mpsc;

use super::{Order, errand};

/// Orders, some of which were taken before their turn.
pub(super) struct Inbox {
    orders: mpsc::UnboundedReceiver<Order>,
    early: VecDeque<Order>,
    closed: bool,
}

impl Inbox {
    pub(super) fn new(orders: mpsc::UnboundedReceiver<Order>) -> Self {
        Inbox { orders, early: VecDeque::new(), closed: false }
    }

    /// The next order; `None` when no more will come. Nothing is lost if this is not awaited to
    /// its end.
    pub(super) async fn next(&mut self) -> Option<Order> {
        match self.early.pop_front() {
            Some(order) => Some(order),
            None if self.closed => None,
            None => self.orders.recv().await,
        }
    }

    /// Gives back an order whose turn has not come.
    pub(super) fn put_back(&mut self, order: Order) {
        self.early.push_front(order);
    }

    /// The call that waits for the host, if that is what comes first.
    pub(super) fn waiting(&mut self) -> Option<Box<Call>> {
        let order = self.early.pop_front().or_else(|| self.orders.try_recv().ok())?;
        match order {
            Order::Call(call, _) if errand::is_patient(&call) => Some(call),
            other => {
                self.put_back(other);
                None
            }
        }
    }

    /// Waits until what is being done is to stop: the run is cancelled or over. Calls that come
    /// meanwhile keep their turn.
    pub(super) async fn stop(&mut self) {
        while !self.closed {
            match self.orders.recv().await {
                Some(Order::Cancel) => {
                    self.early.push_back(Order::Cancel);
                    return;
                }
                Some(call) => self.early.push_back(call),
                None => self.closed = true,
            }
        }
    }
}
