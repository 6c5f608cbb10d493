//! Upload credit.

use bytes::Bytes;
use matinee_protocol::device::SigningKey;
use matinee_protocol::encoding::b64u;
use matinee_protocol::frame::Frame;
use matinee_protocol::receipt::{Parties, Receipt};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::bench::{Bench, Device, bytes};

fn receipt(uploader: &Device, downloader: &SigningKey, total_bytes: u64) -> String {
    let public = downloader.public();
    let parties = Parties {
        swarm: uploader.swarm,
        uploader: uploader.key.public().thumbprint(),
        downloader: public.thumbprint(),
    };
    let signature = downloader.sign(&parties.signed_bytes(total_bytes, 1));
    let frame: Bytes = Frame::Receipt(Receipt { total_bytes, at_ms: 1, signature }).encode();
    b64u(&[&frame[..], &public.0[..]].concat())
}

async fn hand_in(bench: &Bench, device: &Device, receipts: Value) -> (StatusCode, Value) {
    let body = serde_json::to_vec(&json!({"receipts": receipts})).unwrap();
    let answer = bench.member(device, Method::POST, "/v1/receipts", body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_growth_counts_and_never_more_than_the_release() {
    let bench = Bench::new().await;
    let release = bench.publish(true, &bytes(1, 1000)).await;
    let (uploader, downloader) = (bench.device(1, release).await, bench.device(2, release).await);
    let credited =
        async |total| hand_in(&bench, &uploader, json!([receipt(&uploader, &downloader.key, total)])).await;
    assert_eq!(credited(600).await, (StatusCode::OK, json!({"credited_bytes": 600})));
    assert_eq!(credited(600).await, (StatusCode::OK, json!({"credited_bytes": 0})));
    assert_eq!(credited(700).await, (StatusCode::OK, json!({"credited_bytes": 100})));
    assert_eq!(
        credited(u64::MAX).await,
        (StatusCode::OK, json!({"credited_bytes": 316})),
        "1000 bytes and a tag"
    );

    let stranger = SigningKey::from_seed(&[7; 32]);
    let made_up = hand_in(&bench, &uploader, json!([receipt(&uploader, &stranger, 500)])).await;
    assert_eq!(made_up, (StatusCode::OK, json!({"credited_bytes": 0})), "a device that never had a view");
    let own = hand_in(&bench, &uploader, json!([receipt(&uploader, &uploader.key, 500)])).await;
    assert_eq!(own.0, StatusCode::BAD_REQUEST);
    let other = bench.device(3, release).await;
    let another = hand_in(&bench, &other, json!([receipt(&uploader, &downloader.key, 900)])).await;
    assert_eq!(another.0, StatusCode::BAD_REQUEST, "a receipt serves nobody but its uploader");
    assert_eq!(hand_in(&bench, &uploader, json!(["AAAA"])).await.0, StatusCode::BAD_REQUEST);
}
