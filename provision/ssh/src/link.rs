//! The state of one SSH connection that everybody who uses it can see: whether it still stands,
//! what was negotiated, and why it ended.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::host_key::HostKey;
use crate::pipe::Broken;

/// What both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// Key exchange.
    pub key_exchange: String,
    /// Cipher.
    pub cipher: String,
    /// Whether strict key exchange (against Terrapin, CVE-2023-48795) is on.
    pub strict: bool,
}

/// Shared by the session, its channels and russh's handler.
#[derive(Debug)]
pub(crate) struct Link {
    address: String,
    closing: watch::Sender<bool>,
    ended: watch::Sender<Option<String>>,
    negotiated: Mutex<Option<Negotiated>>,
    host_key: Mutex<Option<HostKey>>,
}

impl Link {
    pub(crate) fn new(address: String) -> Self {
        Self {
            address,
            closing: watch::channel(false).0,
            ended: watch::channel(None).0,
            negotiated: Mutex::new(None),
            host_key: Mutex::new(None),
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Becomes true when we close the connection ourselves.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Notes why the connection ended; the first reason counts.
    pub(crate) fn end(&self, reason: impl FnOnce() -> String) {
        self.ended.send_if_modified(|ended| {
            let is_first = ended.is_none();
            if is_first {
                *ended = Some(reason());
            }
            is_first
        });
    }

    /// Why the connection ended, if it has.
    pub(crate) fn ended(&self) -> Option<String> {
        self.ended.borrow().clone()
    }

    /// Waits until the connection has ended.
    pub(crate) async fn wait_end(&self) -> String {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Why the connection ended. Called when it has; the handler's note follows within the same
    /// poll of its task, so there is nothing to wait for long.
    pub(crate) async fn end_reason(&self) -> Broken {
        self.lost(&self.wait_end().await)
    }

    pub(crate) fn lost(&self, detail: &str) -> Broken {
        Broken::Lost { address: self.address.clone(), detail: detail.to_owned() }
    }

    pub(crate) fn refused(&self, detail: &str) -> Broken {
        Broken::Refused { address: self.address.clone(), detail: detail.to_owned() }
    }

    pub(crate) fn set_negotiated(&self, negotiated: Negotiated) {
        *self.negotiated.lock().unwrap_or_else(PoisonError::into_inner) = Some(negotiated);
    }

    pub(crate) fn negotiated(&self) -> Option<Negotiated> {
        self.negotiated.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_host_key(&self, key: HostKey) {
        *self.host_key.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }

    pub(crate) fn host_key(&self) -> Option<HostKey> {
        self.host_key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
