//! Requests under way with an `Idempotency-Key`: a second one with the same key waits for the first's answer, for a
//! moment, and is then told that the first is still at work.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// How long a request waits for the one before it.
const WAIT_MS_MAX: u64 = 2_000;

/// Who asks for what, under which key: a hash.
type Name = [u8; 32];

/// The keys under way in this process. Those of other servers are waited for in the database.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<Mutex<HashMap<Name, Arc<Turn<()>>>>>);

/// A key under way, until it is dropped.
#[derive(Debug)]
pub struct Held {
    all: InFlight,
    name: Name,
    guard: Option<OwnedMutexGuard<()>>,
}

impl InFlight {
    /// Takes the key, waiting for a moment where it is under way. None if it still is then.
    pub async fn take(&self, name: Name) -> Option<Held> {
        let turn = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(name).or_default())
        };
        let guard = tokio::time::timeout(Duration::from_millis(WAIT_MS_MAX), turn.lock_owned()).await.ok()?;
        Some(Held { all: self.clone(), name, guard: Some(guard) })
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.guard = None;
        // Whoever waits holds a share too, taken under the same lock.
        if all.get(&self.name).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            all.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_held_by_one_at_a_time_and_forgotten_after() {
        let all = InFlight::default();
        let first = all.take([1; 32]).await.unwrap();
        assert!(all.take([2; 32]).await.is_some(), "another key is another");
        assert!(all.take([1; 32]).await.is_none(), "it waits for a moment only");
        let (second, ()) = tokio::join!(all.take([1; 32]), async { drop(first) });
        assert!(second.is_some(), "it has its turn when the first is done");
        drop(second);
        assert_eq!(all.len(), 0);
    }
}
