use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const RELEASE: ReleaseId = ReleaseId::from_bytes([9; 16]);

/// Files in memory.
#[derive(Debug)]
struct Memory {
    files: Vec<Vec<u8>>,
    read: Arc<AtomicU32>,
}

struct MemoryReader {
    bytes: Vec<u8>,
    read: Arc<AtomicU32>,
}

impl Library for Memory {
    type Reader = MemoryReader;

    fn about(&self, release: ReleaseId, file: FileIndex) -> Option<FileAbout> {
        let bytes = self.files.get(file.get() as usize).filter(|_| release == RELEASE)?;
        let media_type = if file.get() == 0 { "video/mp4" } else { "bad\ntype" };
        Some(FileAbout { size_bytes: bytes.len() as u64, media_type: media_type.into() })
    }

    fn reader(&self, _: ReleaseId, file: FileIndex) -> Option<MemoryReader> {
        let bytes = self.files.get(file.get() as usize)?.clone();
        Some(MemoryReader { bytes, read: Arc::clone(&self.read) })
    }
}

impl Reader for MemoryReader {
    async fn read(&mut self, chunk: ChunkIndex) -> Result<Bytes, ReadError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        let start = chunk.get() as usize * CHUNK_BYTES as usize;
        let end = self.bytes.len().min(start + CHUNK_BYTES as usize);
        let refused =
            ReadError { status: StatusCode::FORBIDDEN, code: "view_ended".into(), detail: "no".into() };
        self.bytes
            .get(start..end)
            .filter(|bytes| bytes.first() != Some(&255))
            .map(Bytes::copy_from_slice)
            .ok_or(refused)
    }
}

struct Served {
    gateway: Gateway,
    film: Vec<u8>,
    read: Arc<AtomicU32>,
    http: reqwest::Client,
}

async fn served() -> Served {
    let film: Vec<u8> = (0..700_000_u32).map(|index| (index / 7 % 251) as u8).collect();
    let read = Arc::new(AtomicU32::new(0));
    let library = Memory { files: vec![film.clone(), Vec::new(), vec![255; 100]], read: Arc::clone(&read) };
    let gateway = Gateway::start(Arc::new(library), 0).await.unwrap();
    Served { gateway, film, read, http: reqwest::Client::new() }
}

impl Served {
    fn get(&self, file: u32, range: Option<&str>) -> reqwest::RequestBuilder {
        let request = self.http.get(self.gateway.url(RELEASE, FileIndex(file), "a film?.mp4"));
        match range {
            Some(range) => request.header("range", range),
            None => request,
        }
    }
}

#[tokio::test]
async fn whole_and_partial_answers_are_exact() {
    let served = served().await;
    let whole = served.get(0, None).send().await.unwrap();
    assert_eq!(whole.status(), 200);
    assert_eq!(whole.headers()["content-type"], "video/mp4");
    assert_eq!(whole.headers()["accept-ranges"], "bytes");
    assert_eq!(whole.headers()["content-length"], "700000");
    let tag = whole.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(whole.bytes().await.unwrap(), served.film);

    let chunk = u64::from(CHUNK_BYTES);
    for (first, last) in
        [(0, 1), (0, chunk - 1), (chunk - 1, chunk), (1, 699_999), (2 * chunk, 3 * chunk), (699_999, 699_999)]
    {
        let answer = served.get(0, Some(&format!("bytes={first}-{last}"))).send().await.unwrap();
        assert_eq!(answer.status(), 206);
        let last = last.min(699_999);
        assert_eq!(answer.headers()["content-range"], format!("bytes {first}-{last}/700000"));
        assert_eq!(answer.bytes().await.unwrap(), served.film[first as usize..=last as usize]);
    }
    let suffix = served.get(0, Some("bytes=-5")).send().await.unwrap();
    assert_eq!(suffix.bytes().await.unwrap(), served.film[699_995..]);

    let beyond = served.get(0, Some("bytes=700000-")).send().await.unwrap();
    assert_eq!(
        (beyond.status().as_u16(), beyond.headers()["content-range"].to_str().unwrap()),
        (416, "bytes */700000")
    );
    let same = served.get(0, Some("bytes=0-0")).header("if-range", tag).send().await.unwrap();
    assert_eq!(same.status(), 206);
    let other = served.get(0, Some("bytes=0-0")).header("if-range", "\"other\"").send().await.unwrap();
    assert_eq!(other.status(), 200);
}

#[tokio::test]
async fn head_reads_nothing_and_empty_files_are_whole() {
    let served = served().await;
    let url = served.gateway.url(RELEASE, FileIndex(0), "film.mp4");
    let head = served.http.head(&url).header("range", "bytes=10-19").send().await.unwrap();
    assert_eq!((head.status().as_u16(), head.headers()["content-length"].to_str().unwrap()), (206, "10"));
    assert_eq!(served.read.load(Ordering::Relaxed), 0);
    let empty = served.get(1, None).send().await.unwrap();
    assert_eq!(
        (empty.status().as_u16(), empty.headers()["content-type"].to_str().unwrap()),
        (200, "application/octet-stream")
    );
    assert!(empty.bytes().await.unwrap().is_empty());
    assert_eq!(served.get(1, Some("bytes=0-")).send().await.unwrap().status(), 416);
}

#[tokio::test]
async fn secret_and_host_are_asked_for() {
    let served = served().await;
    let url = served.gateway.url(RELEASE, FileIndex(0), "film.mp4");
    let bare = url.split('?').next().unwrap();
    for wrong in
        [bare.to_owned(), format!("{bare}?access=00"), format!("{url}0"), format!("{bare}?{}", url.len())]
    {
        let answer = served.http.get(wrong).send().await.unwrap();
        assert_eq!(answer.status(), 403);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    for host in ["evil.example", "127.0.0.1", "127.0.0.1:1", ""] {
        assert_eq!(served.http.get(&url).header("host", host).send().await.unwrap().status(), 403, "{host}");
    }
    let by_name = format!("localhost:{}", served.gateway.address().port());
    assert_eq!(served.http.get(&url).header("host", by_name).send().await.unwrap().status(), 200);
    let missing = url.replace(&RELEASE.to_string(), &ReleaseId::from_bytes([1; 16]).to_string());
    assert_eq!(served.http.get(missing).send().await.unwrap().status(), 404);
    assert_eq!(served.http.post(&url).send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn a_refused_key_is_a_problem_with_its_code() {
    let served = served().await;
    let refused = served.get(2, None).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    let problem: serde_json::Value = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
    assert_eq!(problem["code"], "view_ended");
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_reader_back() {
    let read = Arc::new(AtomicU32::new(0));
    let library = Memory { files: vec![vec![7; 64 << 20]], read: Arc::clone(&read) };
    let gateway = Gateway::start(Arc::new(library), 0).await.unwrap();
    let answer = reqwest::get(gateway.url(RELEASE, FileIndex(0), "film.mp4")).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let before = read.load(Ordering::Relaxed);
    assert!(before < 64, "{before} of 256 chunks were read for a client that takes none");
    drop(answer);
}
