//! No secret reaches the log.

use matinee_protocol::encoding::b64u;
use matinee_server::store::account::Role;
use serde_json::json;

use crate::bench::{Bench, Device, RELEASE_SECRET, opening};
use crate::log;

#[tokio::test]
async fn nothing_secret_is_logged() {
    log::keep();
    let bench = Bench::new().await;
    let password = "a password that is nowhere else";
    let sign_up = json!({ "email": "ana@example.org", "password": password, "name": "Ana", "bearer": true });
    let signed_up = bench.post("/v1/accounts", &sign_up).send().await.expect(201);
    let token = signed_up.json()["session_token"].as_str().unwrap().to_owned();
    let wrong = json!({ "email": "ana@example.org", "password": "another password nowhere" });
    bench.post("/v1/sessions", &wrong).send().await.expect(401);
    let (login, bought) = bench.viewer_with_rental("bob@example.org").await;
    let device = Device::new(1);
    let opened = opening(&bench.open(&login, bought, &device).await.expect(201));
    bench.license(opened.view, &opened.view_token, &device, 3).await.expect(200);
    bench.license(opened.view, "not.a.token", &device, 3).await.expect(401);
    let carrier = bench.login("car@example.org", &[Role::Carrier]).await;
    let carry = bench.post(format!("/v1/releases/{}/carries", bench.release), &json!({}));
    carry.bearer(&carrier).proof(&device, None).send().await.expect(201);

    let text = log::kept();
    assert!(text.contains("/v1/views"), "requests are logged");
    let license = opened.license.unwrap();
    let secrets = [
        password.to_owned(),
        "another password nowhere".to_owned(),
        token,
        login,
        carrier,
        opened.view_token.clone(),
        license.sealed_keys,
        b64u(&RELEASE_SECRET),
        hex::encode(RELEASE_SECRET),
        format!("{RELEASE_SECRET:?}"),
        "argon2id".to_owned(),
    ];
    for secret in secrets {
        assert!(!text.contains(&secret), "logged: {secret}");
    }
    for hidden in
        [format!("{:?}", bench.app), format!("{:?}", bench.app.vault), format!("{:?}", bench.app.keyring)]
    {
        assert!(hidden.len() < 200, "says little: {hidden}");
    }
}
