//! Which models leave the memory so that another fits. Pure.

use std::path::Path;
use std::time::Duration;

use crate::knowledge_base::{Error, ErrorKind};

/// Share of the machine's memory that models may take when nobody says otherwise: three quarters.
const DEFAULT_SHARE: (u64, u64) = (3, 4);
/// What they may take where the system does not tell how much there is.
const DEFAULT_BYTES: u64 = 8 << 30;

/// When a refused caller should try again, where others are to end theirs: about the time of a short answer.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// A model in memory, or on its way there or from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holding {
    /// Its id.
    pub(super) id: String,
    /// What it takes.
    pub(super) bytes: u64,
    /// Who keeps it there.
    pub(super) kept_by: Option<Keeper>,
    /// When it was last asked for: a later one has a larger number.
    pub(super) used: u64,
}

/// Why a model may not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeper {
    /// Somebody uses it.
    Users,
    /// It was pinned.
    Pin,
    /// It is being loaded.
    Loading,
    /// It came with the process, and could not be loaded again.
    Process,
}

impl Keeper {
    fn text(self) -> &'static str {
        match self {
            Self::Users => "in use",
            Self::Pin => "pinned",
            Self::Loading => "being loaded",
            Self::Process => "part of the process",
        }
    }
}

/// Returns the places of those who leave so that so many bytes more fit: the least recently used first, and no more than
/// must. Nothing where that is not enough.
pub(super) fn leaving(bytes: u64, budget: u64, holdings: &[Holding]) -> Option<Vec<usize>> {
    let mut held: u64 = holdings.iter().map(|holding| holding.bytes).sum();
    let mut free: Vec<usize> = (0..holdings.len())
        .filter(|at| holdings[*at].kept_by.is_none())
        .collect();
    free.sort_by_key(|at| holdings[*at].used);
    let mut leaving = Vec::new();
    for at in free {
        if held.saturating_add(bytes) <= budget {
            break;
        }
        // One that takes nothing makes no room.
        if holdings[at].bytes > 0 {
            held -= holdings[at].bytes;
            leaving.push(at);
        }
    }
    (held.saturating_add(bytes) <= budget).then_some(leaving)
}

/// Returns whether so many bytes fit once nobody uses or loads any other model.
pub(super) fn may_come_free(bytes: u64, budget: u64, holdings: &[Holding]) -> bool {
    let stays = |holding: &&Holding| matches!(holding.kept_by, Some(Keeper::Pin | Keeper::Process));
    let staying: u64 = holdings.iter().filter(stays).map(|holding| holding.bytes).sum();
    staying.saturating_add(bytes) <= budget
}

/// Says that a model does not fit, and who holds what there is.
pub(super) fn exhausted(id: &str, bytes: u64, budget: u64, holdings: &[Holding]) -> Error {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let kept = holdings.iter().filter(|holding| holding.bytes > 0);
    let kept = kept.filter_map(|holding| {
        let why = holding.kept_by?.text();
        Some(format!("`{}` {} MiB ({why})", holding.id, mib(holding.bytes)))
    });
    let kept: Vec<String> = kept.collect();
    let held = if kept.is_empty() {
        String::new()
    } else {
        format!(", of which others hold {}", kept.join(", "))
    };
    let message = format!(
        "the model `{id}` needs {} MiB, models may take {} MiB{held}; unload one, or raise the setting max_model_memory_mb",
        mib(bytes),
        mib(budget)
    );
    let held: u64 = holdings.iter().map(|holding| holding.bytes).sum();
    let error = Error::new(ErrorKind::Overloaded, "MODEL_MEMORY_EXHAUSTED", message)
        .about("model", id)
        .with_fact("needed_bytes", bytes)
        .with_fact("budget_bytes", budget)
        .with_fact("held_bytes", held);
    if may_come_free(bytes, budget, holdings) {
        error.retry_after(RETRY_AFTER)
    } else {
        error
    }
}

/// Returns how many bytes models may take when nobody says otherwise.
pub(super) fn default_budget() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.as_deref().and_then(total_of);
    // A container may have less than its machine.
    let group = std::fs::read_to_string(Path::new("/sys/fs/cgroup/memory.max")).ok();
    let group = group.and_then(|text| text.trim().parse::<u64>().ok());
    let total = machine.into_iter().chain(group).min();
    total.map_or(DEFAULT_BYTES, |bytes| bytes / DEFAULT_SHARE.1 * DEFAULT_SHARE.0)
}

fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes = line.split_whitespace().next()?.parse::<u64>().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests;
