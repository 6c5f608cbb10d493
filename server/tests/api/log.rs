//! What the server logs in this process: its errors are shown with a test that fails, whose answer says only that the server
//! did; and all of it can be kept for a test to look through.
//!
//! There is one log for the whole process: the cached interest of a call site goes by what any thread saw first. What is kept
//! is of other tests' requests as well.

use std::io::Write;
use std::sync::{Mutex, Once, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;

static KEPT: Mutex<Option<Vec<u8>>> = Mutex::new(None);

/// Begins to log.
pub fn begin() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let errors = fmt::layer().with_test_writer().with_filter(LevelFilter::ERROR);
        let all = fmt::layer().with_writer(|| Keep).with_filter(dynamic_filter_fn(|_, _| is_kept()));
        let both = tracing_subscriber::registry().with(errors).with(all);
        tracing::subscriber::set_global_default(both).expect("there is no other");
    });
}

/// Keeps everything from now on, down to the smallest of it.
pub fn keep() {
    begin();
    *KEPT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
}

/// What was kept; no more of it is.
pub fn kept() -> String {
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner).take();
    String::from_utf8_lossy(&kept.unwrap_or_default()).into_owned()
}

fn is_kept() -> bool {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

struct Keep;

impl Write for Keep {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(kept) = KEPT.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            kept.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
