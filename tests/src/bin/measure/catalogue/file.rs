//! A catalogue that nobody wrote, skewed as real ones are: a few words stand in very many names, a few artists have very
//! many tracks, and a few tracks are asked for by nearly everybody.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use indicatif::ProgressBar;

/// Words there are.
const WORDS: usize = 60_000;
const GENRES: usize = 40;
/// Tracks on an album.
const ALBUM_TRACKS: usize = 11;
/// Albums of an artist, on average.
const ARTIST_ALBUMS: usize = 3;
const POPULARITY_MAX: f64 = 1e9;

/// A small generator with a seed (splitmix64): the same catalogue every time.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below one.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        (self.share() * count as f64) as usize
    }

    /// A place below `count`, the first far more often than the last: about as one over the place.
    fn skewed(&mut self, count: usize) -> usize {
        ((count as f64).powf(self.share()) as usize).clamp(1, count) - 1
    }
}

/// What somebody will type.
pub(crate) struct Song {
    pub(crate) name: String,
    pub(crate) artist: String,
}

/// Pronounceable words, the frequent ones short.
fn words(random: &mut Random) -> Vec<String> {
    const FIRST: [&str; 20] = [
        "b", "c", "d", "f", "g", "h", "l", "m", "n", "p", "r", "s", "t", "v", "w", "st", "tr", "ch", "sh",
        "th",
    ];
    const MIDDLE: [&str; 8] = ["a", "e", "i", "o", "u", "ea", "ou", "ai"];
    const LAST: [&str; 8] = ["", "n", "r", "s", "t", "l", "nd", "ck"];
    let mut made = std::collections::HashSet::with_capacity(WORDS);
    let mut list = Vec::with_capacity(WORDS);
    while list.len() < WORDS {
        let syllables = 1 + usize::from(list.len() > 300) + usize::from(list.len() > 8_000);
        let mut word = String::new();
        for _ in 0..syllables {
            word.push_str(FIRST[random.below(FIRST.len())]);
            word.push_str(MIDDLE[random.below(MIDDLE.len())]);
            word.push_str(LAST[random.below(LAST.len())]);
        }
        if made.insert(word.clone()) {
            list.push(word);
        }
    }
    list
}

fn phrase(random: &mut Random, words: &[String], most: usize) -> String {
    let count = 1 + random.below(most);
    let chosen: Vec<&str> = (0..count).map(|_| words[random.skewed(words.len())].as_str()).collect();
    chosen.join(" ")
}

/// Writes the file, and gives some of its songs.
pub(crate) fn write(path: &Path, count: usize, typed: usize, bar: &ProgressBar) -> Vec<Song> {
    let mut random = Random::new(7);
    let words = words(&mut random);
    let artists = (count / ALBUM_TRACKS / ARTIST_ALBUMS).max(1);
    // Two artists of one name are one artist: most names are told apart by a rare word.
    let name = |random: &mut Random, at: usize| {
        format!("{} {}", words[WORDS - 1 - at % (WORDS / 2)], phrase(random, &words, 2))
    };
    let artists: Vec<String> = (0..artists).map(|at| name(&mut random, at)).collect();
    let mut out = BufWriter::new(std::fs::File::create(path).expect("a file can be made"));
    writeln!(out, "id,name,artist,album,genre,year,number,duration_ms,popularity")
        .expect("the disk takes it");
    let every = (count / typed).max(1);
    let mut songs = Vec::new();
    let (mut artist, mut album, mut genre, mut year) = (0, String::new(), 0, 0);
    let mut line = String::new();
    for track in 0..count {
        let number = track % ALBUM_TRACKS;
        if number == 0 {
            artist = random.skewed(artists.len() * 2).min(artists.len() - 1);
            album = phrase(&mut random, &words, 3);
            genre = random.skewed(GENRES);
            year = 1950 + random.below(76);
        }
        let name = phrase(&mut random, &words, 4);
        // One in a million is asked for by nearly everybody.
        let popularity = (POPULARITY_MAX / (1.0 + random.share() * count as f64)) as i32;
        line.clear();
        let duration_ms = 90_000 + random.below(300_000);
        writeln!(
            line,
            "t{track:08},{name},{},{album},Genre {genre},{year},{},{duration_ms},{popularity}",
            artists[artist],
            number + 1,
        )
        .expect("a string takes it");
        out.write_all(line.as_bytes()).expect("the disk takes it");
        if track % every == 0 && songs.len() < typed {
            songs.push(Song { name, artist: artists[artist].clone() });
        }
        bar.inc(1);
    }
    out.flush().expect("the disk takes it");
    songs
}
