//! Uploads over HTTP, cut and gone on with.

use matinee_protocol::id::ReleaseId;
use matinee_protocol::limit::SEGMENT_BYTES;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bench::{Bench, bytes};

async fn announce(bench: &Bench, size_bytes: u64) -> ReleaseId {
    let file =
        json!({"name": "film.mp4", "media_type": "video/mp4", "size_bytes": size_bytes, "duration_ms": 5310});
    let body = json!({"sealed": true, "files": [file]});
    let path = format!("/v1/titles/{}/releases", bench.title);
    let answer = bench.request(Method::POST, &path).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["files"], json!([{"file": 0, "upload_offset": 0}]));
    answer["release"].as_str().unwrap().parse().unwrap()
}

fn path(release: ReleaseId) -> String {
    format!("/v1/releases/{release}/files/0/upload")
}

async fn offset(bench: &Bench, release: ReleaseId) -> u64 {
    let answer = bench.request(Method::HEAD, &path(release)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.headers()["upload-offset"].to_str().unwrap().parse().unwrap()
}

async fn append(bench: &Bench, release: ReleaseId, offset: u64, body: Vec<u8>) -> Response {
    bench
        .request(Method::PATCH, &path(release))
        .header("upload-offset", offset)
        .header("content-type", "application/offset+octet-stream")
        .body(body)
        .send()
        .await
        .unwrap()
}

async fn publication(bench: &Bench, release: ReleaseId) -> Response {
    bench.request(Method::POST, &format!("/v1/releases/{release}/publication")).send().await.unwrap()
}

async fn code(answer: Response) -> (StatusCode, String) {
    let status = answer.status();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Value = answer.json().await.unwrap();
    (status, problem["code"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_in_the_middle_it_goes_on_at_the_last_segment() {
    let bench = Bench::new().await;
    let size = 2 * SEGMENT_BYTES + 12_345;
    let plain = bytes(5, size);
    let release = announce(&bench, size).await;

    // The connection dies within the second segment.
    let sent = SEGMENT_BYTES + 100_000;
    let mut socket = TcpStream::connect(bench.address).await.unwrap();
    let head = format!(
        "PATCH {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nupload-offset: 0\r\n\
         content-type: application/offset+octet-stream\r\ncontent-length: {size}\r\n\r\n",
        path(release),
        bench.login
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&plain[..sent as usize]).await.unwrap();
    drop(socket);
    let mut reached = offset(&bench, release).await;
    for _ in 0..200 {
        if reached == SEGMENT_BYTES {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        reached = offset(&bench, release).await;
    }
    assert_eq!(reached, SEGMENT_BYTES, "the whole segment stayed, the partial one did not");
    assert_eq!(
        code(publication(&bench, release).await).await,
        (StatusCode::CONFLICT, "release_incomplete".to_owned())
    );

    // A body that ends early on purpose: its whole segment stays.
    let from = SEGMENT_BYTES as usize;
    let part = plain[from..from + SEGMENT_BYTES as usize + 5].to_vec();
    let answer = append(&bench, release, SEGMENT_BYTES, part).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(answer.headers()["upload-offset"], (2 * SEGMENT_BYTES).to_string().as_str());

    let answer = append(&bench, release, 0, plain[..10].to_vec()).await;
    assert_eq!(answer.headers()["upload-offset"], (2 * SEGMENT_BYTES).to_string().as_str());
    assert_eq!(code(answer).await, (StatusCode::CONFLICT, "upload_offset_conflict".to_owned()));

    let rest = plain[2 * from..].to_vec();
    assert_eq!(append(&bench, release, 2 * SEGMENT_BYTES, rest).await.status(), StatusCode::NO_CONTENT);
    for _ in 0..2 {
        let answer = publication(&bench, release).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let answer: Value = answer.json().await.unwrap();
        let url = format!("{}/v1/releases/{release}/manifest", bench.url);
        assert_eq!(answer, json!({"release": release.to_string(), "manifest_url": url}));
    }
    let refused = bench.request(Method::DELETE, &format!("/v1/releases/{release}")).send().await.unwrap();
    assert_eq!(code(refused).await, (StatusCode::CONFLICT, "release_published".to_owned()));
    let refused = append(&bench, release, size, Vec::new()).await;
    assert_eq!(code(refused).await, (StatusCode::CONFLICT, "release_published".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_writer_a_file_and_removal_ends_it() {
    let bench = Bench::new().await;
    let size = 2 * SEGMENT_BYTES;
    let release = announce(&bench, size).await;
    let mut socket = TcpStream::connect(bench.address).await.unwrap();
    let head = format!(
        "PATCH {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nupload-offset: 0\r\n\
         content-type: application/offset+octet-stream\r\ncontent-length: {size}\r\n\r\n",
        path(release),
        bench.login
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&bytes(1, SEGMENT_BYTES + 1)).await.unwrap();
    while offset(&bench, release).await == 0 && !bench.objects(release).exists() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let stand = offset(&bench, release).await;
    let refused = append(&bench, release, stand, vec![0; 10]).await;
    assert_eq!(code(refused).await, (StatusCode::CONFLICT, "upload_in_progress".to_owned()));

    let removed = bench.request(Method::DELETE, &format!("/v1/releases/{release}")).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    let mut answer = vec![0; 1024];
    let read = socket.read(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer[..read]).starts_with("HTTP/1.1 409"), "the upload is told");
    assert!(!bench.objects(release).exists());
    let gone = bench.request(Method::HEAD, &path(release)).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_is_refused() {
    let bench = Bench::new().await;
    let release = announce(&bench, 10).await;
    let refused = append(&bench, release, 0, vec![0; 11]).await;
    assert_eq!(code(refused).await, (StatusCode::PAYLOAD_TOO_LARGE, "upload_too_long".to_owned()));
    // The same without a length that tells it beforehand.
    let parts = futures_util::stream::iter([Ok::<_, std::io::Error>(vec![0_u8; 6]), Ok(vec![0; 6])]);
    let refused = bench
        .request(Method::PATCH, &path(release))
        .header("upload-offset", 0)
        .header("content-type", "application/offset+octet-stream")
        .body(reqwest::Body::wrap_stream(parts))
        .send()
        .await
        .unwrap();
    assert_eq!(code(refused).await, (StatusCode::PAYLOAD_TOO_LARGE, "upload_too_long".to_owned()));
    assert_eq!(offset(&bench, release).await, 0);
    let request = bench.request(Method::PATCH, &path(release)).header("upload-offset", 0).body("x");
    let refused = request.send().await.unwrap();
    assert_eq!(code(refused).await, (StatusCode::UNSUPPORTED_MEDIA_TYPE, "upload_media_type".to_owned()));
    let stranger = bench.http.patch(format!("{}{}", bench.url, path(release))).send().await.unwrap();
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
    for files in [json!([]), json!([{"name": "../x", "media_type": "a/b", "size_bytes": 1}])] {
        let path = format!("/v1/titles/{}/releases", bench.title);
        let body = json!({"sealed": true, "files": files});
        let refused = bench.request(Method::POST, &path).json(&body).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }
}
