//! Who runs and who waits, and who comes next. Pure: time comes in.
//!
//! Tiers go before tenants, and tenants share the time of a tier by start-time fair queueing (Goyal, Vin and Cheng 1996):
//! whoever was granted the least goes first. What a running generation will take is predicted, and what it took is charged
//! when it ends. Who comes back, or comes anew, begins with the least that any tenant at work in its tier was granted: there
//! is no claim to time that passed. A tenant none of whose generations was started for long counts as of the next tier, and
//! is compared there by how much more it was granted than the least in its own; one that is served does not, so that no long
//! queue passes those who have just come.
//! Always holds: at most so many run, and their tokens fit; whoever waits leaves by being started, refused or withdrawn.

mod order;
mod share;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::worker::ServiceTier;
use order::{Place, Slots};
use share::Class;
#[cfg(test)]
use share::MAX_IDLE_TENANTS;

/// How long generations of a tenant in the flex tier wait, without one of them being started, until they count as of the
/// default tier.
pub const FLEX_AGES_AFTER: Duration = Duration::from_secs(10);
/// How long they count as of the default tier until they count as of the priority tier.
pub const DEFAULT_AGES_AFTER: Duration = Duration::from_secs(30);

/// Names one generation.
pub(super) type Ticket = u64;

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Generations that run at once.
    pub(super) slots: usize,
    /// Generations that wait at most.
    pub(super) max_waiting: usize,
    /// Those of one tenant.
    pub(super) max_waiting_per_tenant: usize,
    /// Tokens of prompts and answers that all who run may hold.
    pub(super) max_tokens: u64,
}

/// What a generation takes, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cost {
    /// From its start to its end, as expected.
    pub(super) expected: f64,
    /// The same if all goes well.
    pub(super) least: f64,
    /// From its start until there is what its deadline is for, if all goes well.
    pub(super) due: f64,
}

/// What a generation asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Demand {
    /// Whose it is; empty for those who do not say.
    pub(super) tenant: Arc<str>,
    /// How soon it is wanted.
    pub(super) tier: ServiceTier,
    /// Its model.
    pub(super) model: Arc<str>,
    /// Tokens that it holds at most.
    pub(super) tokens: u64,
    /// What it takes.
    pub(super) cost: Cost,
    /// When nobody wants it any more.
    pub(super) deadline: Option<Instant>,
}

/// Why a generation may not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// So many wait.
    Queue(usize),
    /// So many of its tenant wait.
    Tenant(usize),
}

/// A generation whose deadline cannot be met.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hopeless {
    pub(super) ticket: Ticket,
    /// Until it could start at best.
    pub(super) wait: Duration,
    /// Until it would likely start.
    pub(super) expected_wait: Duration,
    /// From there until there is what its deadline is for, at best.
    pub(super) due: Duration,
    /// What is left until the deadline.
    pub(super) left: Duration,
    /// How long it has waited.
    pub(super) waited: Duration,
}

#[derive(Debug)]
struct Entry {
    demand: Demand,
    since: Instant,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    bounds: Bounds,
    next_ticket: Ticket,
    waiting: BTreeMap<Ticket, Entry>,
    running: BTreeMap<Ticket, Entry>,
    classes: [Class; ServiceTier::ALL.len()],
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            next_ticket: 0,
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            classes: Default::default(),
        }
    }

    /// Puts a generation into the queue. One that could start at once needs no place in it.
    pub(super) fn join(&mut self, demand: Demand, now: Instant) -> Result<Ticket, Full> {
        let waits = self.running.len() >= self.bounds.slots || !self.waiting.is_empty() || !self.fits(&demand);
        if waits && self.waiting.len() >= self.bounds.max_waiting {
            return Err(Full::Queue(self.waiting.len()));
        }
        let of_class = |class: &Class| class.accounts.get(&demand.tenant).map_or(0, |account| account.waiting);
        let of_tenant = self.classes.iter().map(of_class).sum();
        if waits && of_tenant >= self.bounds.max_waiting_per_tenant {
            return Err(Full::Tenant(of_tenant));
        }
        self.classes[demand.tier as usize].open(&demand.tenant).waiting += 1;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.insert(ticket, Entry { demand, since: now });
        Ok(ticket)
    }

    /// Starts whoever may start now, and returns them.
    pub(super) fn start(&mut self, now: Instant) -> Vec<Ticket> {
        let mut started = Vec::new();
        while self.running.len() < self.bounds.slots {
            let Some(ticket) = self.next(now) else { break };
            // One that does not fit holds up those behind it: else it might wait for ever.
            if !self.waiting.get(&ticket).is_some_and(|entry| self.fits(&entry.demand)) {
                break;
            }
            let Some(entry) = self.waiting.remove(&ticket) else {
                break;
            };
            self.classes[entry.demand.tier as usize].with(&entry.demand.tenant, |account| {
                account.waiting -= 1;
                account.running += 1;
                account.charged += entry.demand.cost.expected;
                account.started = Some(now);
            });
            let entry = Entry { since: now, ..entry };
            self.running.insert(ticket, entry);
            started.push(ticket);
        }
        started
    }

    /// Takes out a generation that waits; one that does not is left alone.
    pub(super) fn withdraw(&mut self, ticket: Ticket) {
        if let Some(entry) = self.waiting.remove(&ticket) {
            let class = &mut self.classes[entry.demand.tier as usize];
            class.with(&entry.demand.tenant, |account| account.waiting -= 1);
        }
    }

    /// Says of a generation that runs what it holds and takes, now that it is known better. One whose tokens do not fit
    /// beside the others keeps what it had, and the tokens that are left for it are returned.
    pub(super) fn revise(&mut self, ticket: Ticket, tokens: u64, cost: Cost) -> Result<(), u64> {
        let others = self.tokens() - self.running.get(&ticket).map_or(0, |entry| entry.demand.tokens);
        let room = self.bounds.max_tokens.saturating_sub(others);
        if tokens > room {
            return Err(room);
        }
        if let Some(entry) = self.running.get_mut(&ticket) {
            let more = cost.expected - entry.demand.cost.expected;
            let class = &mut self.classes[entry.demand.tier as usize];
            class.with(&entry.demand.tenant, |account| account.charged += more);
            entry.demand.tokens = tokens;
            entry.demand.cost = cost;
        }
        Ok(())
    }

    /// Ends a generation that runs, and charges what it took.
    pub(super) fn leave(&mut self, ticket: Ticket, took: f64) {
        if let Some(entry) = self.running.remove(&ticket) {
            self.classes[entry.demand.tier as usize].with(&entry.demand.tenant, |account| {
                account.running -= 1;
                account.charged -= entry.demand.cost.expected;
                account.settled += took;
                if account.running == 0 {
                    // No crumbs of rounding.
                    account.charged = 0.0;
                }
            });
        }
    }

    /// Takes out all who cannot meet their deadlines any more, even if all goes well from here on.
    pub(super) fn take_hopeless(&mut self, now: Instant) -> Vec<Hopeless> {
        if self.waiting.values().all(|entry| entry.demand.deadline.is_none()) {
            return Vec::new();
        }
        let (mut best, mut likely) = (
            self.slots(now, |cost| cost.least),
            self.slots(now, |cost| cost.expected),
        );
        let mut hopeless = Vec::new();
        for ticket in self.order(now) {
            let Some(entry) = self.waiting.get(&ticket) else {
                continue;
            };
            let cost = entry.demand.cost;
            let (wait, expected_wait) = (best.first(), likely.first());
            let left = entry
                .demand
                .deadline
                .map(|deadline| deadline.saturating_duration_since(now));
            match left {
                // What has passed its deadline says so by itself.
                Some(left) if !left.is_zero() && wait + cost.due > left.as_secs_f64() => hopeless.push(Hopeless {
                    ticket,
                    wait: seconds(wait),
                    expected_wait: seconds(expected_wait),
                    due: seconds(cost.due),
                    left,
                    waited: now.saturating_duration_since(entry.since),
                }),
                _ => {
                    best.take(cost.least);
                    likely.take(cost.expected);
                }
            }
        }
        for hopeless in &hopeless {
            self.withdraw(hopeless.ticket);
        }
        hopeless
    }

    /// Returns how long it likely takes until a place in the queue is free: for a tenant, until one of its own starts.
    pub(super) fn place_free_in(&self, tenant: Option<&str>, now: Instant) -> Duration {
        let mut likely = self.slots(now, |cost| cost.expected);
        for ticket in self.order(now) {
            let Some(entry) = self.waiting.get(&ticket) else {
                continue;
            };
            if tenant.is_none_or(|tenant| *entry.demand.tenant == *tenant) {
                break;
            }
            likely.take(entry.demand.cost.expected);
        }
        seconds(likely.first())
    }

    /// Returns how many run, of one model.
    pub(super) fn running(&self, model: &str) -> usize {
        self.running
            .values()
            .filter(|entry| *entry.demand.model == *model)
            .count()
    }

    /// Returns how many wait in each tier, of one model.
    pub(super) fn waiting(&self, model: &str) -> [usize; ServiceTier::ALL.len()] {
        ServiceTier::ALL.map(|tier| {
            let of_tier = |entry: &&Entry| entry.demand.tier == tier && *entry.demand.model == *model;
            self.waiting.values().filter(of_tier).count()
        })
    }

    /// Returns how many run, of all models.
    pub(super) fn all_running(&self) -> usize {
        self.running.len()
    }

    /// Returns how long a generation runs.
    pub(super) fn ran_for(&self, ticket: Ticket, now: Instant) -> Duration {
        let entry = self.running.get(&ticket);
        entry.map_or(Duration::ZERO, |entry| now.saturating_duration_since(entry.since))
    }

    /// Returns the tokens that those who run hold at most.
    pub(super) fn tokens(&self) -> u64 {
        self.running.values().map(|entry| entry.demand.tokens).sum()
    }

    fn fits(&self, demand: &Demand) -> bool {
        // Whoever is alone may have all there is.
        self.running.is_empty() || self.tokens() + demand.tokens <= self.bounds.max_tokens
    }

    fn next(&self, now: Instant) -> Option<Ticket> {
        let place = |(ticket, entry): (&Ticket, &Entry)| self.place(*ticket, entry, 0.0, now);
        self.waiting.iter().map(place).min().map(|place| place.ticket)
    }

    /// Returns all who wait, in the order in which they would start if nobody came.
    fn order(&self, now: Instant) -> Vec<Ticket> {
        let mut entries: Vec<(&Ticket, &Entry)> = self.waiting.iter().collect();
        entries.sort_by_key(|(ticket, entry)| (self.tier_by_now(entry, now), **ticket));
        let mut before: HashMap<(&str, ServiceTier), f64> = HashMap::new();
        let mut places: Vec<Place> = entries
            .into_iter()
            .map(|(ticket, entry)| {
                let before = before.entry((&*entry.demand.tenant, entry.demand.tier)).or_default();
                let place = self.place(*ticket, entry, *before, now);
                *before += entry.demand.cost.expected;
                place
            })
            .collect();
        places.sort();
        places.into_iter().map(|place| place.ticket).collect()
    }

    fn place(&self, ticket: Ticket, entry: &Entry, before: f64, now: Instant) -> Place {
        let class = &self.classes[entry.demand.tier as usize];
        let account = class.accounts.get(&entry.demand.tenant);
        Place {
            tier: self.tier_by_now(entry, now),
            granted: account.map_or(0.0, |account| account.granted() - class.floor) + before,
            running: account.map_or(0, |account| account.running),
            ticket,
        }
    }

    /// Returns the tier that a generation counts as of by now.
    fn tier_by_now(&self, entry: &Entry, now: Instant) -> ServiceTier {
        let class = &self.classes[entry.demand.tier as usize];
        let account = class.accounts.get(&entry.demand.tenant);
        let served = account.and_then(|account| account.started);
        let since = served.map_or(entry.since, |served| served.max(entry.since));
        let waited = now.saturating_duration_since(since);
        match entry.demand.tier {
            ServiceTier::Flex if waited < FLEX_AGES_AFTER => ServiceTier::Flex,
            ServiceTier::Flex if waited < FLEX_AGES_AFTER + DEFAULT_AGES_AFTER => ServiceTier::Default,
            ServiceTier::Default if waited < DEFAULT_AGES_AFTER => ServiceTier::Default,
            _ => ServiceTier::Priority,
        }
    }

    /// Returns when slots become free.
    fn slots(&self, now: Instant, takes: impl Fn(&Cost) -> f64) -> Slots {
        let left = |entry: &Entry| {
            let ran = now.saturating_duration_since(entry.since).as_secs_f64();
            (takes(&entry.demand.cost) - ran).max(0.0)
        };
        Slots::new(self.bounds.slots, self.running.values().map(left))
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests;
