//! How fast one connection may speak.

/// A token bucket over milliseconds given from outside.
#[derive(Debug)]
pub struct Rate {
    per_s: u64,
    /// Thousandths of a message.
    level: u64,
    level_max: u64,
    at_ms: u64,
}

impl Rate {
    /// `per_s` messages a second, `burst` at once, full at `now_ms`.
    #[must_use]
    pub fn new(per_s: u32, burst: u32, now_ms: u64) -> Self {
        let level = u64::from(burst) * 1000;
        Self { per_s: u64::from(per_s), level, level_max: level, at_ms: now_ms }
    }

    /// Takes one message; false when there is none left.
    pub fn take(&mut self, now_ms: u64) -> bool {
        let passed = now_ms.saturating_sub(self.at_ms);
        self.at_ms = self.at_ms.max(now_ms);
        self.level = self.level.saturating_add(passed.saturating_mul(self.per_s)).min(self.level_max);
        let allowed = self.level >= 1000;
        if allowed {
            self.level -= 1000;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut rate = Rate::new(64, 256, 0);
        assert_eq!((0..300).filter(|_| rate.take(0)).count(), 256);
        assert_eq!((0..300).filter(|_| rate.take(500)).count(), 32);
        assert!(!rate.take(400), "a clock that went back gives nothing");
        assert_eq!((0..300).filter(|_| rate.take(1_000_000)).count(), 256);
    }
}
