//! Films and other files that tests publish, made on demand and kept under `target/film/`.
//!
//! Everything that moves is made by ffmpeg from the one committed clip, `tests/film/bigbuckbunny.mp4`
//! ((c) 2008 Blender Foundation, CC BY 3.0), looped to the length asked for. Each frame carries its own time
//! twice: readable, and as a row of black and white squares along the bottom, so that a test which draws the
//! `<video>` onto a canvas reads which moment is on screen ([`timecode_js`]) to 0.2 s.
//!
//! The row has 20 cells over the full width: white, black, 16 bits (highest first) of `floor(5 t)`, their even
//! parity, white. Anything that does not read as such a row is no answer rather than a wrong one.
//!
//! These functions block while ffmpeg runs (about a tenth of the film's length); from async code call them in
//! `spawn_blocking`. Concurrent callers, in other processes too, wait for one to make the file.

mod documents;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

pub use documents::{CHUNK_BYTES, chunk_edges, empty, exact, html, pdf, zip};

/// Steps of the time code in one second.
pub const TIMECODE_PER_SECOND: u32 = 5;
/// Bits in the time code: enough for three and a half hours.
const TIMECODE_BITS: u32 = 16;
/// Cells in the row: two references, the bits, their parity, one reference.
const CELLS: u32 = TIMECODE_BITS + 4;
const WIDTH_PX: u32 = 640;
const HEIGHT_PX: u32 = 360;
const CELL_PX: u32 = WIDTH_PX / CELLS;
const FRAMES_PER_SECOND: u32 = 25;
const FONT: &str = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf";
/// Raise it when a recipe changes in a way its arguments do not show.
const RECIPE: u32 = 1;

/// An H.264 and AAC film, `+faststart`, one key frame a second, about 0.5 Mbit/s, with the time code.
pub fn timecoded(seconds: u32) -> PathBuf {
    mp4(seconds, &format!("timecoded-{seconds}s.mp4"), &["-movflags", "+faststart"])
}

/// The same film with its index (`moov`) after the data, as many cameras and tools write it.
pub fn index_at_end(seconds: u32) -> PathBuf {
    mp4(seconds, &format!("index-at-end-{seconds}s.mp4"), &[])
}

/// The film as fragmented mp4, one fragment a second. Without B-frames: fragments carry no edit list that would
/// take their delay back.
pub fn fragmented(seconds: u32) -> PathBuf {
    let flags = "+frag_keyframe+empty_moov+default_base_moof";
    mp4(seconds, &format!("fragmented-{seconds}s.mp4"), &["-bf", "0", "-movflags", flags])
}

/// A VP9 and Opus WebM with the time code. VP9 is slow to make: keep it short.
pub fn webm(seconds: u32) -> PathBuf {
    let codecs = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "600k"];
    film(
        seconds,
        &format!("timecoded-{seconds}s.webm"),
        &[&codecs[..], &["-c:a", "libopus", "-b:a", "64k"]].concat(),
    )
}

/// The film's sound as MP3, tagged with a title, artist and album.
pub fn mp3(seconds: u32) -> PathBuf {
    sound(seconds, "mp3", &["-c:a", "libmp3lame", "-b:a", "128k", "-id3v2_version", "3"])
}

/// The film's sound as FLAC, tagged.
pub fn flac(seconds: u32) -> PathBuf {
    sound(seconds, "flac", &["-c:a", "flac"])
}

/// The film's sound as Ogg Vorbis, tagged.
pub fn ogg(seconds: u32) -> PathBuf {
    sound(seconds, "ogg", &["-c:a", "libvorbis", "-b:a", "96k"])
}

/// A JPEG poster: the frame at `second`.
pub fn poster(second: u32) -> PathBuf {
    let name = format!("poster-{second}s.jpg");
    let at = second.to_string();
    kept(&name, &at, |target| {
        let from = timecoded(second + 2);
        run_ffmpeg(
            Command::new("ffmpeg").args(["-ss", &at, "-i"]).arg(from).args(["-frames:v", "1"]).arg(target),
        );
    })
}

/// The body of a JavaScript function of `video` (and nothing else) that returns the seconds on screen in steps
/// of 0.2, or null while no time code can be read. Use it as
/// `const read = (video) => { … }` or through [`page_time_js`].
pub fn timecode_js() -> String {
    format!(
        "if (!video || video.readyState < 2 || !video.videoWidth) return null;
const canvas = (globalThis.matineeTimecodeCanvas ??= document.createElement('canvas'));
const width = (canvas.width = {WIDTH_PX}), height = (canvas.height = {HEIGHT_PX}), cell = {CELL_PX};
const context = canvas.getContext('2d', {{ willReadFrequently: true }});
context.drawImage(video, 0, 0, width, height);
const row = context.getImageData(0, height - cell, width, cell).data;
const level = (index) => {{
  let sum = 0;
  for (let y = cell / 2 - 4; y < cell / 2 + 4; y += 1)
    for (let x = cell / 2 - 4; x < cell / 2 + 4; x += 1) sum += row[(y * width + index * cell + x) * 4 + 1];
  return sum / 64;
}};
const bit = (index) => {{ const l = level(index); return l > 160 ? 1 : l < 95 ? 0 : NaN; }};
if (bit(0) !== 1 || bit(1) !== 0 || bit({last}) !== 1) return null;
let code = 0, parity = 0;
for (let index = 0; index < {TIMECODE_BITS}; index += 1) {{
  const b = bit(2 + index);
  code = code * 2 + b;
  parity ^= b;
}}
if (Number.isNaN(code) || parity !== bit({last} - 1)) return null;
return code / {TIMECODE_PER_SECOND};",
        last = CELLS - 1,
    )
}

/// The body of an async function for `Page::eval` or `Page::wait_for`: the time code of the first `<video>` of
/// the page, looked for inside open shadow roots too, in seconds, or null.
pub fn page_time_js() -> String {
    format!(
        "const look = (root) => root.querySelector('video')
  ?? [...root.querySelectorAll('*')].reduce((found, e) => found ?? (e.shadowRoot && look(e.shadowRoot)), null);
const video = look(document);
{}",
        timecode_js()
    )
}

/// Reads the time code out of one frame of 8-bit gray, `WIDTH_PX` by `HEIGHT_PX`; the native twin of
/// [`timecode_js`] for what ffmpeg decodes. Seconds, or nothing where no code can be read.
pub fn timecode_of_gray(frame: &[u8]) -> Option<f64> {
    let bit = |cell: u32| {
        let (x, y) = (cell * CELL_PX + CELL_PX / 2, HEIGHT_PX - CELL_PX / 2);
        match frame.get((y * WIDTH_PX + x) as usize)? {
            161..=255 => Some(1u32),
            0..=94 => Some(0),
            _ => None,
        }
    };
    if (bit(0)?, bit(1)?, bit(CELLS - 1)?) != (1, 0, 1) {
        return None;
    }
    let mut code = 0;
    for cell in 2..2 + TIMECODE_BITS {
        code = code * 2 + bit(cell)?;
    }
    (code.count_ones() % 2 == bit(CELLS - 2)?).then(|| f64::from(code) / f64::from(TIMECODE_PER_SECOND))
}

/// The time code on screen at `second` of a film file, as ffmpeg decodes it.
pub fn timecode_at(film: &Path, second: f64) -> Option<f64> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-ss", &second.to_string(), "-i"])
        .arg(film)
        .args(["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray"])
        .args(["-s", &format!("{WIDTH_PX}x{HEIGHT_PX}"), "-"])
        .output()
        .expect("ffmpeg is installed by `cargo xtask setup`");
    timecode_of_gray(&output.stdout)
}

fn mp4(seconds: u32, name: &str, muxer: &[&str]) -> PathBuf {
    let keyframes = FRAMES_PER_SECOND.to_string();
    let video = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "27", "-pix_fmt", "yuv420p"];
    let groups = ["-g", &keyframes, "-keyint_min", &keyframes, "-sc_threshold", "0"];
    film(seconds, name, &[&video[..], &groups[..], &["-c:a", "aac", "-b:a", "96k"], muxer].concat())
}

fn film(seconds: u32, name: &str, codecs: &[&str]) -> PathBuf {
    let filter = timecode_filter();
    kept(name, &format!("{filter}{codecs:?}"), |target| {
        run_ffmpeg(
            Command::new("ffmpeg")
                .args(["-stream_loop", "-1", "-i"])
                .arg(clip())
                .args(["-t", &seconds.to_string(), "-vf", &filter, "-af", "aresample=async=1", "-ac", "2"])
                .args(["-metadata", "title=Big Buck Bunny", "-metadata", "artist=Blender Foundation"])
                .args(codecs)
                .arg(target),
        );
    })
}

fn sound(seconds: u32, extension: &str, codec: &[&str]) -> PathBuf {
    kept(&format!("sound-{seconds}s.{extension}"), &format!("{codec:?}"), |target| {
        run_ffmpeg(
            Command::new("ffmpeg")
                .args(["-stream_loop", "-1", "-i"])
                .arg(clip())
                .args([
                    "-t",
                    &seconds.to_string(),
                    "-vn",
                    "-af",
                    "aresample=async=1",
                    "-ac",
                    "2",
                    "-ar",
                    "48000",
                ])
                .args(["-metadata", "title=Bunny's Morning", "-metadata", "artist=Blender Foundation"])
                .args(["-metadata", "album=Big Buck Bunny", "-metadata", "track=1"])
                .args(codec)
                .arg(target),
        );
    })
}

/// Scales, gives every frame its exact time, and burns that time in, for people and for tests.
fn timecode_filter() -> String {
    let mut filter = format!(
        "fps={FRAMES_PER_SECOND},setpts=N/{FRAMES_PER_SECOND}/TB,scale={WIDTH_PX}:{HEIGHT_PX},setsar=1,\
         drawtext=fontfile={FONT}:text='%{{pts\\:hms}}':x=16:y=16:fontsize=32:fontcolor=white:box=1:\
         boxcolor=black@0.6:boxborderw=6,drawbox=x=0:y={top}:w={WIDTH_PX}:h={CELL_PX}:color=black:t=fill",
        top = HEIGHT_PX - CELL_PX,
    );
    let mut cell = |index: u32, condition: &str| {
        filter.push_str(&format!(
            ",drawbox=x={x}:y={top}:w={CELL_PX}:h={CELL_PX}:color=white:t=fill:enable='{condition}'",
            x = index * CELL_PX,
            top = HEIGHT_PX - CELL_PX,
        ));
    };
    // Frame times are k/25, and the sum keeps a time that is a hair below its step on the right side of it.
    let bit = |power: u32| format!("mod(floor(floor(t*{TIMECODE_PER_SECOND}+0.01)/{}),2)", 1u32 << power);
    cell(0, "1");
    cell(CELLS - 1, "1");
    for position in 0..TIMECODE_BITS {
        cell(2 + position, &bit(TIMECODE_BITS - 1 - position));
    }
    let ones: Vec<String> = (0..TIMECODE_BITS).map(bit).collect();
    cell(CELLS - 2, &format!("mod({},2)", ones.join("+")));
    filter
}

fn clip() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("film/bigbuckbunny.mp4")
}

fn run_ffmpeg(command: &mut Command) {
    // The target comes last among the caller's arguments; what follows it would be ignored, so these go by
    // environment and defaults: quiet unless something is wrong, never a question.
    let output = command
        .env("AV_LOG_FORCE_NOCOLOR", "1")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("ffmpeg is installed by `cargo xtask setup`");
    let words = String::from_utf8_lossy(&output.stderr);
    let tail: Vec<&str> = words.lines().rev().take(12).collect();
    assert!(
        output.status.success(),
        "ffmpeg failed:\n{}",
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    );
}

/// The folder of made files.
fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    target.join("film")
}

/// Makes a file once: `recipe` says what it depends on, `make` writes it to the path it is given.
fn kept(name: &str, recipe: &str, make: impl FnOnce(&Path)) -> PathBuf {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (RECIPE, recipe).hash(&mut hasher);
    let folder = folder().join(format!("{:016x}", hasher.finish()));
    let path = folder.join(name);
    if path.exists() {
        return path;
    }
    fs::create_dir_all(&folder).expect("the target folder is writable");
    let lock = File::create(folder.join(format!("{name}.lock"))).expect("the target folder is writable");
    lock.lock().expect("files in the target folder can be locked");
    if !path.exists() {
        // The part keeps the extension, which is how ffmpeg chooses the format.
        let part = folder.join(format!("part-{name}"));
        let _ = fs::remove_file(&part);
        make(&part);
        fs::rename(&part, &path).expect("a file moves within its folder");
    }
    path
}
