//! How long a file plays, asked of `ffprobe` where it is installed.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

/// How long `ffprobe` may take for one file.
const PROBE_MS_MAX: u64 = 10_000;
/// Bytes of its answer that are read.
const ANSWER_BYTES_MAX: u64 = 256;
/// A longer duration than this is taken for nonsense: 30 days.
pub const DURATION_MS_MAX: u64 = 30 * 24 * 3600 * 1000;

/// The duration in milliseconds, or `None` when it cannot be found out within 10 s.
pub async fn duration_ms(file: &Path) -> Option<u64> {
    // A path that begins with a dash would be read as an option, one with a colon as a protocol.
    let path = std::path::absolute(file).ok()?;
    let mut child = tokio::process::Command::new("ffprobe")
        .args(["-v", "error", "-protocol_whitelist", "file", "-show_entries", "format=duration"])
        .args(["-of", "default=noprint_wrappers=1:nokey=1", "-i"])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let stdout = child.stdout.take()?;
    let answer = async {
        let mut text = String::new();
        stdout.take(ANSWER_BYTES_MAX).read_to_string(&mut text).await.ok()?;
        child.wait().await.ok()?.success().then_some(text)
    };
    let text = tokio::time::timeout(Duration::from_millis(PROBE_MS_MAX), answer).await.ok()??;
    parse(&text)
}

/// Reads seconds as `ffprobe` prints them.
fn parse(text: &str) -> Option<u64> {
    let seconds: f64 = text.trim().parse().ok()?;
    let plausible = seconds.is_finite() && seconds > 0.0 && seconds * 1000.0 <= DURATION_MS_MAX as f64;
    plausible.then(|| (seconds * 1000.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds() {
        assert_eq!(parse("5.310000\n"), Some(5310));
        for nonsense in ["N/A", "", "-1", "inf", "NaN", "1e300", "0.0"] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }

    #[tokio::test]
    async fn what_is_no_film_has_no_duration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("-notes.txt");
        std::fs::write(&path, "not a film").unwrap();
        assert_eq!(duration_ms(&path).await, None);
    }
}
