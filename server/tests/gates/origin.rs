//! Manifest, pages and ciphertext ranges as a member of the swarm sees them.

use matinee_protocol::hash::{HashPage, chunk_hash};
use matinee_protocol::id::{ChunkAddress, ReleaseId};
use matinee_protocol::limit::{CHUNK_BYTES, SEGMENT_BYTES, SEGMENT_CHUNKS, TAG_BYTES};
use matinee_protocol::manifest::Manifest;
use reqwest::{Method, Response, StatusCode};

use crate::bench::{Bench, Device, bytes};

const SEALED: u64 = (CHUNK_BYTES + TAG_BYTES) as u64;

async fn get(bench: &Bench, device: &Device, path: &str) -> Response {
    bench.member(device, Method::GET, path, Vec::new()).send().await.unwrap()
}

async fn range(bench: &Bench, device: &Device, path: &str, range: &str) -> Response {
    bench.member(device, Method::GET, path, Vec::new()).header("range", range).send().await.unwrap()
}

fn paths(release: ReleaseId) -> [String; 3] {
    let base = format!("/v1/releases/{release}");
    [format!("{base}/manifest"), format!("{base}/files/0/pages/0"), format!("{base}/files/0/ciphertext")]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_at_every_edge() {
    let bench = Bench::new().await;
    let release = bench.publish(true, &bytes(1, SEGMENT_BYTES + 5 * u64::from(CHUNK_BYTES) + 9)).await;
    let device = bench.device(1, release).await;
    let [manifest_path, page_path, path] = paths(release);

    let answer = get(&bench, &device, &manifest_path).await;
    assert_eq!(answer.headers()["content-type"], "application/jose");
    let manifest = Manifest::from_jws(&answer.text().await.unwrap(), &bench.app.keyring.key_set()).unwrap();
    let page = get(&bench, &device, &page_path).await.bytes().await.unwrap();
    let page = HashPage::verify(page, &manifest.files[0].pages[0]).unwrap();

    let answer = get(&bench, &device, &path).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let length = manifest.ciphertext_bytes(0.into()).unwrap();
    assert_eq!(answer.content_length(), Some(length));
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let whole = answer.bytes().await.unwrap();
    assert_eq!(whole.len() as u64, length);
    let chunk = SEGMENT_CHUNKS + 2;
    let at = manifest.ciphertext_offset(ChunkAddress::new(0, chunk)).unwrap() as usize;
    assert_eq!(page.chunk(chunk), Some(chunk_hash(&whole[at..at + SEALED as usize])));

    let edge = u64::from(SEGMENT_CHUNKS) * SEALED;
    let cases = [
        ("bytes=0-0".to_owned(), 0..1),
        (format!("bytes=0-{}", SEALED - 1), 0..SEALED),
        (format!("bytes={}-{}", edge - 1, edge), edge - 1..edge + 1),
        (format!("bytes={}-{}", edge, edge + SEALED - 1), edge..edge + SEALED),
        (format!("bytes={}-", length - 1), length - 1..length),
        (format!("bytes=-{}", edge), length - edge..length),
        (format!("bytes=5-{}", length * 2), 5..length),
    ];
    for (asked, expected) in cases {
        let answer = range(&bench, &device, &path, &asked).await;
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT, "{asked}");
        let named = format!("bytes {}-{}/{length}", expected.start, expected.end - 1);
        assert_eq!(answer.headers()["content-range"], named.as_str());
        assert_eq!(answer.content_length(), Some(expected.end - expected.start));
        let body = answer.bytes().await.unwrap();
        assert!(body == whole.slice(expected.start as usize..expected.end as usize), "{asked}");
    }
    let answer = range(&bench, &device, &path, &format!("bytes={length}-")).await;
    assert_eq!(answer.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(answer.headers()["content-range"], format!("bytes */{length}").as_str());

    let conditional = |if_range: &str| {
        let request = bench.member(&device, Method::GET, &path, Vec::new());
        request.header("range", "bytes=1-2").header("if-range", if_range).send()
    };
    assert_eq!(conditional(&tag).await.unwrap().status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(conditional("\"another\"").await.unwrap().status(), StatusCode::OK);
    let known = bench.member(&device, Method::GET, &path, Vec::new()).header("if-none-match", &tag);
    assert_eq!(known.send().await.unwrap().status(), StatusCode::NOT_MODIFIED);
    let head = bench.member(&device, Method::HEAD, &path, Vec::new()).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-length"], length.to_string().as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_members_of_the_swarm_and_only_what_is_published() {
    let bench = Bench::new().await;
    let release = bench.publish(true, b"one").await;
    let other = bench.publish(false, b"two").await;
    let device = bench.device(1, release).await;
    for path in paths(other) {
        let status = get(&bench, &device, &path).await.status();
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
    for path in paths(release) {
        assert_eq!(get(&bench, &device, &path).await.status(), StatusCode::OK, "{path}");
        let naked = bench.http.get(format!("{}{path}", bench.url)).send().await.unwrap();
        assert_eq!(naked.status(), StatusCode::UNAUTHORIZED, "{path}");
        let by_login = bench.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(by_login.status(), StatusCode::UNAUTHORIZED, "{path}");
        // The token with another device's proof.
        let thief =
            Device { key: matinee_protocol::device::SigningKey::from_seed(&[9; 32]), ..device.clone() };
        let token = bench.token(&device, 300);
        let proof = bench.proof(&thief, "GET", &path, &token, b"", None);
        let request = bench.http.get(format!("{}{path}", bench.url));
        let stolen = request.header("authorization", format!("DPoP {token}")).header("dpop", proof).send();
        assert_eq!(stolen.await.unwrap().status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let [_, page, _] = paths(release);
    let missing = get(&bench, &device, &page.replace("pages/0", "pages/1")).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    let missing = get(&bench, &device, &page.replace("pages/0", "pages/x")).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);

    let device = bench.device(2, other).await;
    let [.., path] = paths(other);
    assert_eq!(
        get(&bench, &device, &path).await.bytes().await.unwrap(),
        "two",
        "an open release travels as it is"
    );
}
