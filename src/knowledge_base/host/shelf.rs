//! The models in memory, of all kinds, and what they take.
//!
//! Always holds: a model is loaded once however many ask for it, and only after what it takes was set aside: those who load
//! different models at the same time do not overshoot together. One that somebody uses counts until its last user ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::memory::{Holding, Keeper, exhausted, leaving, may_come_free};
use crate::embed::Embedder;
use crate::generate::LanguageModel;
use crate::knowledge_base::Error;
use crate::models::Modality;
use crate::worker::Cancel;

/// How long a model that is to be loaded waits for users of others to end: while models take turns within a small budget,
/// that is a moment.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it looks whether they have: nobody tells when the last one does.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A model in memory.
#[derive(Clone)]
pub(super) enum Model {
    Embedder(Arc<dyn Embedder>),
    Language(Arc<dyn LanguageModel>),
}

impl Model {
    pub(super) fn memory_bytes(&self) -> u64 {
        match self {
            Self::Embedder(model) => model.memory_bytes(),
            Self::Language(model) => model.memory_bytes(),
        }
    }

    /// Returns who holds it, the one who asks included.
    pub(super) fn holders(&self) -> usize {
        match self {
            Self::Embedder(model) => Arc::strong_count(model),
            Self::Language(model) => Arc::strong_count(model),
        }
    }

    fn modality(&self) -> Modality {
        match self {
            Self::Embedder(_) => Modality::Embedding,
            Self::Language(_) => Modality::Text,
        }
    }

    fn downgrade(&self) -> Leaving {
        match self {
            Self::Embedder(model) => Leaving::Embedder(Arc::downgrade(model)),
            Self::Language(model) => Leaving::Language(Arc::downgrade(model)),
        }
    }
}

/// A model that only its last users still hold.
enum Leaving {
    Embedder(Weak<dyn Embedder>),
    Language(Weak<dyn LanguageModel>),
}

impl Leaving {
    fn upgrade(&self) -> Option<Model> {
        match self {
            Self::Embedder(model) => model.upgrade().map(Model::Embedder),
            Self::Language(model) => model.upgrade().map(Model::Language),
        }
    }
}

/// An id, which may name a model of each kind.
type Name = (Modality, String);

/// See the module.
pub(super) struct Shelf {
    budget: u64,
    patience: Duration,
    state: Mutex<State>,
    /// A model was loaded, or could not be.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    time: u64,
    loaded: BTreeMap<Name, Shelved>,
    /// What was set aside for models that are being loaded.
    loading: BTreeMap<Name, u64>,
    /// Models that were taken while somebody used them.
    leaving: Vec<(String, Leaving)>,
}

struct Shelved {
    model: Model,
    is_pinned: bool,
    is_provided: bool,
    used: u64,
}

/// Ends the loading of a model, however it ended.
struct Loading<'a>(&'a Shelf, Name);

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.0.state.lock().loading.remove(&self.1);
        self.0.changed.notify_all();
    }
}

impl Shelf {
    /// Holds models that came with the process; all together may take so many bytes.
    pub(super) fn new(budget: u64, provided: impl Iterator<Item = (String, Model)>) -> Self {
        let shelved = |(id, model): (String, Model)| {
            let shelved = Shelved {
                is_pinned: false,
                is_provided: true,
                used: 0,
                model,
            };
            ((shelved.model.modality(), id), shelved)
        };
        let state = State {
            loaded: provided.map(shelved).collect(),
            ..State::default()
        };
        Self {
            budget,
            patience: PATIENCE,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// Looks at a model that is in memory, without using it.
    pub(super) fn peek<T>(&self, modality: Modality, id: &str, look: impl FnOnce(&Model) -> T) -> Option<T> {
        let state = self.state.lock();
        let shelved = state.loaded.get(&(modality, id.to_owned()))?;
        Some(look(&shelved.model))
    }

    /// Returns whether a model is in memory and stays there, and how many bytes it takes; nothing where it is not.
    pub(super) fn described(&self, modality: Modality, id: &str) -> Option<(bool, u64)> {
        let state = self.state.lock();
        let shelved = state.loaded.get(&(modality, id.to_owned()))?;
        Some((shelved.is_pinned, shelved.model.memory_bytes()))
    }

    /// Returns how many bytes models may take together, and how many they take.
    pub(super) fn memory(&self) -> (u64, u64) {
        let state = self.state.lock();
        let held = state.holdings().0.iter().map(|holding| holding.bytes).sum();
        (self.budget, held)
    }

    /// Looks at all models in memory, those too that only their last users still hold.
    pub(super) fn each(&self, look: impl Fn(&Model)) {
        let state = self.state.lock();
        state.loaded.values().for_each(|shelved| look(&shelved.model));
        let leaving = state.leaving.iter().filter_map(|(_, model)| model.upgrade());
        leaving.for_each(|model| look(&model));
    }

    /// Returns a model, loading it if need be. `size` finds out what it takes before it is loaded, and how to; others that
    /// nobody uses make room for it, and `on_leave` is told of each. Waits a moment for those that somebody uses, and while
    /// others load it.
    pub(super) fn get_or_load<L: FnOnce() -> Result<Model, Error>>(
        &self,
        modality: Modality,
        id: &str,
        cancel: &Cancel,
        on_leave: &dyn Fn(&Model),
        size: impl FnOnce() -> Result<(u64, L), Error>,
    ) -> Result<Model, Error> {
        let name = (modality, id.to_owned());
        {
            let mut state = self.state.lock();
            loop {
                if let Some(model) = state.take_use(&name) {
                    return Ok(model);
                }
                if !state.loading.contains_key(&name) {
                    break;
                }
                cancel.check()?;
                self.changed.wait_for(&mut state, LOOK_AGAIN);
            }
            state.loading.insert(name.clone(), 0);
        }
        let loading = Loading(self, name.clone());
        let (predicted, load) = size()?;
        let mut state = self.wait_for_room(predicted, cancel)?;
        self.set_aside(&mut state, &name, predicted, on_leave)?;
        drop(state);
        let model = load()?;
        let bytes = model.memory_bytes();
        if bytes > predicted {
            // It takes the memory already, so that it cannot wait.
            self.set_aside(&mut self.state.lock(), &name, bytes, on_leave)?;
        }
        let mut state = self.state.lock();
        state.time += 1;
        let shelved = Shelved {
            model: model.clone(),
            is_pinned: false,
            is_provided: false,
            used: state.time,
        };
        state.loading.remove(&name);
        state.loaded.insert(name, shelved);
        drop(state);
        drop(loading);
        Ok(model)
    }

    /// Waits until so many bytes can be set aside, while there is hope: not when models that stay leave no room, and not for
    /// ever.
    fn wait_for_room(&self, bytes: u64, cancel: &Cancel) -> Result<MutexGuard<'_, State>, Error> {
        let give_up_at = Instant::now() + self.patience;
        let mut state = self.state.lock();
        loop {
            let (holdings, _) = state.holdings();
            let is_over = leaving(bytes, self.budget, &holdings).is_some()
                || !may_come_free(bytes, self.budget, &holdings)
                || Instant::now() >= give_up_at;
            if is_over {
                return Ok(state);
            }
            cancel.check()?;
            self.changed.wait_for(&mut state, LOOK_AGAIN);
        }
    }

    /// Sets memory aside for a model that is being loaded; others leave for it.
    fn set_aside(&self, state: &mut State, name: &Name, bytes: u64, on_leave: &dyn Fn(&Model)) -> Result<(), Error> {
        // What was set aside before is part of it.
        state.loading.insert(name.clone(), 0);
        let (holdings, names) = state.holdings();
        let Some(places) = leaving(bytes, self.budget, &holdings) else {
            return Err(exhausted(&name.1, bytes, self.budget, &holdings));
        };
        let mut gone = Vec::new();
        for at in places {
            if let Some(left) = names[at].as_ref().and_then(|name| state.loaded.remove(name)) {
                tracing::info!(
                    model = holdings[at].id,
                    bytes = holdings[at].bytes,
                    "the model makes room for another"
                );
                gone.push(left.model);
            }
        }
        state.loading.insert(name.clone(), bytes);
        // Nobody can have taken them since they were looked at, so that their memory is free before the lock is.
        for model in gone {
            on_leave(&model);
        }
        Ok(())
    }

    /// Keeps a model in memory that is there; one that is not is left alone.
    pub(super) fn pin(&self, modality: Modality, id: &str) {
        if let Some(shelved) = self.state.lock().loaded.get_mut(&(modality, id.to_owned())) {
            shelved.is_pinned = true;
        }
    }

    /// Returns whether somebody still uses a model that was taken out.
    pub(super) fn is_leaving(&self, modality: Modality, id: &str) -> bool {
        let state = self.state.lock();
        let mut leaving = state.leaving.iter().filter(|(other, _)| other == id);
        leaving.any(|(_, model)| model.upgrade().is_some_and(|model| model.modality() == modality))
    }

    /// Takes a model out, pinned or not, for whoever used it to end with.
    pub(super) fn take(&self, modality: Modality, id: &str) -> Option<Model> {
        let mut state = self.state.lock();
        state.leaving.retain(|(_, model)| model.upgrade().is_some());
        let taken = state.loaded.remove(&(modality, id.to_owned()))?.model;
        state.leaving.push((id.to_owned(), taken.downgrade()));
        Some(taken)
    }
}

impl State {
    /// Returns a model that is in memory, used by now.
    fn take_use(&mut self, name: &Name) -> Option<Model> {
        self.time += 1;
        let shelved = self.loaded.get_mut(name)?;
        shelved.used = self.time;
        Some(shelved.model.clone())
    }

    /// Returns who takes memory, and the names of those who are loaded.
    fn holdings(&self) -> (Vec<Holding>, Vec<Option<Name>>) {
        let loaded = self.loaded.iter().map(|(name, shelved)| {
            let kept_by = if shelved.is_provided {
                Some(Keeper::Process)
            } else if shelved.is_pinned {
                Some(Keeper::Pin)
            } else {
                (shelved.model.holders() > 1).then_some(Keeper::Users)
            };
            let holding = Holding {
                id: name.1.clone(),
                bytes: shelved.model.memory_bytes(),
                kept_by,
                used: shelved.used,
            };
            (holding, Some(name.clone()))
        });
        let kept = |id: &str, bytes, keeper| Holding {
            id: id.to_owned(),
            bytes,
            kept_by: Some(keeper),
            used: 0,
        };
        let loading = self.loading.iter();
        let loading = loading.map(|((_, id), bytes)| (kept(id, *bytes, Keeper::Loading), None));
        let leaving = self.leaving.iter().filter_map(|(id, model)| {
            let bytes = model.upgrade()?.memory_bytes();
            Some((kept(id, bytes, Keeper::Users), None))
        });
        loaded.chain(loading).chain(leaving).unzip()
    }
}

#[cfg(test)]
mod tests;
