//! Files that are no films: documents, archives, and sizes at the edges of a chunk.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::kept;

/// Plaintext bytes of one chunk.
pub const CHUNK_BYTES: u64 = 262_144;
const BLOCK_BYTES: usize = 64 * 1024;

/// A valid PDF of `pages` pages, each with one line of text.
pub fn pdf(pages: u32) -> PathBuf {
    kept(&format!("magazine-{pages}p.pdf"), "pdf", |path| write(path, &pdf_bytes(pages)))
}

/// A small HTML page.
pub fn html() -> PathBuf {
    let text = "<!doctype html><html lang=en><title>Notes</title><p>About the bunny.</p></html>\n";
    kept("notes.html", text, |path| write(path, text.as_bytes()))
}

/// A ZIP of exactly `bytes` bytes (at least 200, below 4 GiB) with one stored entry that does not compress.
pub fn zip(bytes: u64) -> PathBuf {
    kept(&format!("build-{bytes}.zip"), "zip", |path| {
        write_zip(path, bytes).expect("the target folder is writable")
    })
}

/// A file of exactly `bytes` bytes of noise, the same each time.
pub fn exact(bytes: u64) -> PathBuf {
    kept(&format!("noise-{bytes}.bin"), "noise", |path| {
        let mut out = BufWriter::new(File::create(path).expect("the target folder is writable"));
        Noise::new(bytes).each(bytes, |block| out.write_all(block)).expect("the disk has room");
        out.flush().expect("the disk has room");
    })
}

/// A file without a byte.
pub fn empty() -> PathBuf {
    exact(0)
}

/// Sizes at which cutting into chunks goes wrong first: one and two chunks, and a byte to either side.
pub fn chunk_edges() -> [u64; 7] {
    [
        1,
        CHUNK_BYTES - 1,
        CHUNK_BYTES,
        CHUNK_BYTES + 1,
        2 * CHUNK_BYTES - 1,
        2 * CHUNK_BYTES,
        2 * CHUNK_BYTES + 1,
    ]
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("the target folder is writable");
}

fn pdf_bytes(pages: u32) -> Vec<u8> {
    let kids: Vec<String> = (0..pages).map(|page| format!("{} 0 R", 4 + page * 2)).collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Kids [{}] /Count {pages} >>", kids.join(" ")),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    for page in 0..pages {
        let drawing = format!("BT /F1 24 Tf 72 720 Td (Page {} of {pages}) Tj ET", page + 1);
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> \
             /Contents {} 0 R >>",
            5 + page * 2
        ));
        objects.push(format!("<< /Length {} >>\nstream\n{drawing}\nendstream", drawing.len()));
    }
    let mut out = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n".to_vec();
    let mut places = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        places.push(out.len());
        out.extend_from_slice(format!("{} 0 obj\n{object}\nendobj\n", index + 1).as_bytes());
    }
    let table = out.len();
    out.extend_from_slice(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).as_bytes());
    for place in places {
        out.extend_from_slice(format!("{place:010} 00000 n \n").as_bytes());
    }
    let size = objects.len() + 1;
    out.extend_from_slice(
        format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n").as_bytes(),
    );
    out
}

/// APPNOTE 6.3, the stored method: local header, data, central directory, end record.
fn write_zip(path: &Path, bytes: u64) -> std::io::Result<()> {
    const NAME: &[u8] = b"build.bin";
    let overhead = (30 + NAME.len() + 46 + NAME.len() + 22) as u64;
    let length = bytes.checked_sub(overhead).expect("a ZIP has at least its headers");
    let length_field =
        u32::try_from(length).expect("a ZIP without extensions stays below 4 GiB").to_le_bytes();
    let mut crc = !0u32;
    Noise::new(bytes).each(length, |block| {
        crc = block.iter().fold(crc, |crc, byte| crc_step(crc, *byte));
        Ok(())
    })?;
    // Version, flags, method, time, date (1980-01-01), checksum, sizes, name length, extra length.
    let mut fields = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
    fields.extend_from_slice(&(!crc).to_le_bytes());
    fields.extend_from_slice(&length_field);
    fields.extend_from_slice(&length_field);
    fields.extend_from_slice(&[NAME.len() as u8, 0, 0, 0]);
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(b"PK\x03\x04")?;
    out.write_all(&fields)?;
    out.write_all(NAME)?;
    Noise::new(bytes).each(length, |block| out.write_all(block))?;
    out.write_all(b"PK\x01\x02\x14\x00")?;
    out.write_all(&fields)?;
    // Comment length, disk, attributes within and without, where the entry starts: all zero.
    out.write_all(&[0; 14])?;
    out.write_all(NAME)?;
    let directory_bytes = (46 + NAME.len()) as u32;
    let directory_at = (30 + NAME.len()) as u32 + u32::from_le_bytes(length_field);
    out.write_all(b"PK\x05\x06\0\0\0\0\x01\0\x01\0")?;
    out.write_all(&directory_bytes.to_le_bytes())?;
    out.write_all(&directory_at.to_le_bytes())?;
    out.write_all(&[0, 0])?;
    out.flush()
}

/// One byte of CRC-32 (ISO 3309, reflected).
fn crc_step(crc: u32, byte: u8) -> u32 {
    (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
}

/// A xorshift stream: noise that no compressor shortens, the same on each machine.
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    fn each(mut self, bytes: u64, mut take: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
        let mut block = vec![0; BLOCK_BYTES];
        let mut left = bytes;
        while left > 0 {
            for word in block.chunks_exact_mut(8) {
                self.0 ^= self.0 << 13;
                self.0 ^= self.0 >> 7;
                self.0 ^= self.0 << 17;
                word.copy_from_slice(&self.0.to_le_bytes());
            }
            let now = left.min(BLOCK_BYTES as u64) as usize;
            take(&block[..now])?;
            left -= now as u64;
        }
        Ok(())
    }
}
