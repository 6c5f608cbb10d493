//! One writer a file at a time, within this server.
//!
//! A writer holds its place until the last object it has under way is written, so a segment that a cut upload left behind
//! can never land on top of its successor's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use matinee_protocol::id::{FileIndex, ReleaseId};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long removing a release waits for its uploads to let go.
const CLEAR_MS_MAX: u64 = 20_000;

/// The files that are being written to.
#[derive(Clone, Debug, Default)]
pub struct Writers {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    busy: Mutex<HashMap<(ReleaseId, FileIndex), CancellationToken>>,
    freed: Notify,
}

/// A writer's place; freed when dropped.
#[derive(Debug)]
pub struct Writing {
    file: (ReleaseId, FileIndex),
    inner: Arc<Inner>,
    cancelled: CancellationToken,
}

impl Writers {
    /// Takes the place of the one writer of a file, or `None` while another holds it.
    #[must_use]
    pub fn begin(&self, release: ReleaseId, file: FileIndex) -> Option<Writing> {
        let mut busy = self.inner.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if busy.contains_key(&(release, file)) {
            return None;
        }
        let cancelled = CancellationToken::new();
        busy.insert((release, file), cancelled.clone());
        Some(Writing { file: (release, file), inner: Arc::clone(&self.inner), cancelled })
    }

    /// Asks every writer of a release to stop and waits until they have. False when one is still at it after 20 s.
    pub async fn clear(&self, release: ReleaseId) -> bool {
        let wait = async {
            loop {
                let freed = self.inner.freed.notified();
                tokio::pin!(freed);
                freed.as_mut().enable();
                if !self.cancel(release) {
                    return;
                }
                freed.await;
            }
        };
        tokio::time::timeout(Duration::from_millis(CLEAR_MS_MAX), wait).await.is_ok()
    }

    /// Cancels the writers of a release and says whether there are any.
    fn cancel(&self, release: ReleaseId) -> bool {
        let busy = self.inner.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let mut any = false;
        for (_, token) in busy.iter().filter(|((of, _), _)| *of == release) {
            token.cancel();
            any = true;
        }
        any
    }
}

impl Writing {
    /// Resolves when the release is being removed and the writer should stop.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Whether the writer should stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.inner.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.file);
        self.inner.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_writer_a_file_and_clearing_waits_for_it() {
        let writers = Writers::default();
        let (one, two) = (ReleaseId::from_bytes([1; 16]), ReleaseId::from_bytes([2; 16]));
        let held = writers.begin(one, FileIndex(0)).expect("free");
        assert!(writers.begin(one, FileIndex(0)).is_none());
        writers.begin(one, FileIndex(1)).map(drop).expect("another file is free");
        let _release = writers.begin(two, FileIndex(0)).expect("another release is free");
        let holder = tokio::spawn(async move {
            held.cancelled().await;
            drop(held);
        });
        assert!(writers.clear(one).await);
        holder.await.unwrap();
        assert!(writers.begin(one, FileIndex(0)).is_some());
    }
}
