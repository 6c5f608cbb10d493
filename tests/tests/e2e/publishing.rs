//! Publishing through the HTTP interface: cut, resumed, cancelled; and vault keys rotated under a running title.

use std::time::Duration;

use matinee_tests::deployment::{Deployment, PASSWORD};
use matinee_tests::film;
use matinee_tests::process::{Running, run_ok};
use matinee_tests::viewer::Viewer;
use matinee_tests::watching::sha256_of;
use reqwest::Method;
use serde_json::{Value, json};

const VIEWS: u32 = 5;

async fn publisher(deployment: &Deployment) -> Viewer {
    deployment.add_account("publisher@example.com", "publisher").await;
    Viewer::sign_in(&deployment.url(), "publisher@example.com").await
}

async fn json_of(request: reqwest::RequestBuilder) -> Value {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{status} {text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn an_upload_cut_at_any_byte_and_by_a_killed_server_is_resumed() {
    let mut deployment = Deployment::start().await;
    let publisher = publisher(&deployment).await;
    let file = film::zip(70_000_000);
    let bytes = std::fs::read(&file).unwrap();
    let title = json_of(publisher.request(Method::POST, "/v1/titles").json(&json!({ "name": "Cut" }))).await;
    let title = title["title"]["id"].as_str().unwrap().to_owned();
    let announced = json!({ "sealed": true, "files": [
        { "name": "cut.zip", "media_type": "application/zip", "size_bytes": bytes.len() },
    ] });
    let path = format!("/v1/titles/{title}/releases");
    let made = json_of(publisher.request(Method::POST, &path).json(&announced)).await;
    let release = made["release"]["id"].as_str().or(made["release"].as_str()).unwrap().to_owned();
    let upload = format!("/v1/releases/{release}/files/0/upload");

    let mut offset = 0;
    for (round, cut_after) in [5, 17_000_001, 33_554_432, 20_000_000].into_iter().enumerate() {
        let end = bytes.len().min(offset + cut_after);
        send_part(&deployment.url(), &publisher.session, &upload, offset, &bytes[offset..end], bytes.len())
            .await;
        if round == 2 {
            deployment.kill().await;
            deployment.serve().await;
        }
        offset = upload_offset(&publisher, &upload).await;
        assert!(offset % (16 << 20) == 0 || offset == bytes.len(), "{offset}");
    }
    // What a cut request had sent may still be on its way to the disk: whoever is told of another offset goes on there.
    for _ in 0..50 {
        offset = upload_offset(&publisher, &upload).await;
        if offset == bytes.len() {
            break;
        }
        send_part(&deployment.url(), &publisher.session, &upload, offset, &bytes[offset..], bytes.len())
            .await;
    }
    assert_eq!(offset, bytes.len());
    // Not published yet, so nobody sees it; then published, bought and got whole.
    json_of(publisher.request(Method::POST, &format!("/v1/releases/{release}/publication")).json(&json!({})))
        .await;
    let plan = json!({ "kind": "rental", "price": { "minor": 50, "currency": "USD" },
        "start_within_ms": 86_400_000, "play_within_ms": 86_400_000, "views": 3 });
    let plan =
        json_of(publisher.request(Method::POST, &format!("/v1/titles/{title}/plans")).json(&plan)).await;
    let published = matinee_tests::deployment::Published {
        title: title.clone(),
        release,
        plan: plan["plan"]["id"].as_str().unwrap().to_owned(),
    };
    let viewer = deployment.viewer("viewer@example.com").await;
    viewer.buy(&published).await;
    let output = deployment.folder().join("out.zip");
    let peer = deployment.peer("viewer@example.com").await;
    run_ok(peer.command(&["get", &title, "--output", output.to_str().unwrap()]), "").await;
    assert_eq!(sha256_of(&output), sha256_of(&file));
}

async fn upload_offset(publisher: &Viewer, path: &str) -> usize {
    // A cut upload is noticed by the server a moment later; until then the file is locked.
    for _ in 0..100 {
        let answer = publisher.request(Method::HEAD, path).send().await.unwrap();
        if answer.status() == 200 {
            return answer.headers()["upload-offset"].to_str().unwrap().parse().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no upload offset");
}

/// Sends part of an upload as a client does that promised the rest and then went away.
async fn send_part(url: &str, session: &str, path: &str, offset: usize, part: &[u8], size: usize) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = url.trim_start_matches("http://");
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {session}\r\nupload-offset: {offset}\r\n\
         content-type: application/offset+octet-stream\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        size - offset
    );
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may refuse before it has read everything.
    let _ = stream.write_all(part).await;
    if offset + part.len() < size {
        tokio::time::sleep(Duration::from_millis(400)).await;
        return;
    }
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    let expected = ["HTTP/1.1 204", "HTTP/1.1 409"].iter().any(|status| answer.starts_with(status));
    assert!(expected, "{answer}");
    tokio::time::sleep(Duration::from_millis(200)).await;
}

#[tokio::test]
async fn a_cancelled_publication_leaves_nothing_behind() {
    let deployment = Deployment::start().await;
    let file = film::zip(600_000_000);
    let before = bytes_under(&deployment.data());
    let mut command = deployment.command(&["publish"]);
    command.arg(&file).args(["--title", "Cancelled", "--rental", "0.50USD", "--json"]);
    let mut publishing = Running::start(command);
    tokio::time::sleep(Duration::from_millis(700)).await;
    let code = publishing.interrupt().await;
    assert!(code != Some(0), "it was cancelled in the middle: {code:?}");
    let left = bytes_under(&deployment.data()).saturating_sub(before);
    assert!(left < 2_000_000, "{left} bytes are left");
    let titles = reqwest::get(format!("{}/v1/titles", deployment.url())).await.unwrap();
    let titles: Value = titles.json().await.unwrap();
    assert_eq!(titles["titles"].as_array().unwrap().len(), 0, "{titles}");
}

fn bytes_under(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(
            |entry| {
                if entry.path().is_dir() {
                    bytes_under(&entry.path())
                } else {
                    entry.metadata().unwrap().len()
                }
            },
        )
        .sum()
}

#[tokio::test]
async fn publishing_through_the_server_by_the_command() {
    let deployment = Deployment::start().await;
    deployment.add_account("publisher@example.com", "publisher").await;
    let file = film::zip(40_000_000);
    let mut command = tokio::process::Command::new(matinee_tests::process::program("matinee"));
    command
        .arg("publish")
        .arg(&file)
        .args(["--title", "By HTTP", "--rental", "0.50USD", "--views", "3", "--json"]);
    command.args(["--server", &deployment.url(), "--email", "publisher@example.com", "--password-stdin"]);
    let printed = run_ok(command, PASSWORD).await;
    let ids: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    let published = matinee_tests::deployment::Published {
        title: ids["title"].as_str().unwrap().to_owned(),
        release: ids["release"].as_str().unwrap().to_owned(),
        plan: ids["plan"].as_str().unwrap().to_owned(),
    };
    let viewer = deployment.viewer("viewer@example.com").await;
    assert!(viewer.rent(&published).await.license.is_some());
}

#[tokio::test]
async fn vault_keys_rotate_under_a_published_title() {
    let mut deployment = Deployment::start().await;
    let published = deployment.publish("Rotated", &[&film::exact(300_000)], VIEWS).await;
    let viewer = deployment.viewer("viewer@example.com").await;
    let entitlement = viewer.buy(&published).await;
    let before = viewer.open(&entitlement).await;
    run_ok(deployment.command(&["key", "rotate"]), "").await;
    deployment.kill().await;
    deployment.serve().await;
    let after = viewer.on_new_device();
    let opening = after.open(&entitlement).await;
    let old = viewer.device.open(before.license.as_ref().unwrap());
    let new = after.device.open(opening.license.as_ref().unwrap());
    assert!(old == new, "the release's content keys are the same under a new vault key");
}
