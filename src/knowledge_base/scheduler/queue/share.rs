//! What the tenants of a tier were granted: whoever was granted the least goes first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// Tenants that are remembered while they want nothing, in each tier.
pub(in crate::knowledge_base::scheduler) const MAX_IDLE_TENANTS: usize = 1_024;

/// What a tenant was granted, in seconds.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// By generations that ended.
    pub(super) settled: f64,
    /// By those that run, as predicted.
    pub(super) charged: f64,
    /// When one of its generations was started last.
    pub(super) started: Option<Instant>,
    pub(super) waiting: usize,
    pub(super) running: usize,
}

impl Account {
    pub(super) fn granted(&self) -> f64 {
        self.settled + self.charged
    }

    fn is_at_work(&self) -> bool {
        self.waiting + self.running > 0
    }
}

/// What the tenants of one tier were granted.
#[derive(Debug, Default)]
pub(super) struct Class {
    pub(super) accounts: HashMap<Arc<str>, Account>,
    /// The least that one at work was granted.
    pub(super) floor: f64,
}

impl Class {
    /// Opens the account of a tenant that wants something.
    pub(super) fn open(&mut self, tenant: &Arc<str>) -> &mut Account {
        let floor = self.floor;
        let account = self.accounts.entry(Arc::clone(tenant)).or_default();
        if !account.is_at_work() {
            account.settled = account.settled.max(floor);
        }
        account
    }

    /// Does something with the account of a tenant that is at work.
    pub(super) fn with(&mut self, tenant: &str, change: impl FnOnce(&mut Account)) {
        if let Some(account) = self.accounts.get_mut(tenant) {
            change(account);
        }
        let at_work = self.accounts.values().filter(|account| account.is_at_work());
        let Some(floor) = at_work.map(|account| account.settled).min_by(f64::total_cmp) else {
            // Nobody is left to be compared with.
            *self = Self::default();
            return;
        };
        self.floor = floor;
        self.forget_idle();
    }

    /// Forgets tenants that want nothing, once others were granted as much or too many are remembered.
    fn forget_idle(&mut self) {
        let floor = self.floor;
        self.accounts
            .retain(|_, account| account.is_at_work() || account.settled > floor);
        let idle = self.accounts.iter().filter(|(_, account)| !account.is_at_work());
        if idle.clone().count() > MAX_IDLE_TENANTS {
            let least = idle.min_by(|(_, a), (_, b)| a.settled.total_cmp(&b.settled));
            if let Some(least) = least.map(|(tenant, _)| Arc::clone(tenant)) {
                self.accounts.remove(&least);
            }
        }
    }
}
