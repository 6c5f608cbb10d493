//! Every route asks for the authority that the table names, and no other road leads to keys.

use matinee_server::router::{Authority, ROUTES};
use matinee_server::store::account::Role;
use serde_json::json;

use crate::bench::{Bench, Device, opening};

/// A path with an id in every place.
fn filled(path: &str) -> String {
    let id = "0190d9e4-0000-7000-8000-000000000000";
    let parts = path.split('/').map(|part| match part {
        "{file}" | "{page}" | "{break}" => "0",
        part if part.starts_with('{') => id,
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_route_refuses_strangers() {
    let bench = Bench::new().await;
    for route in ROUTES {
        let answer = bench.call(route.method, filled(route.path)).json(&json!({})).send().await;
        let told = format!("{} {}: {}", route.method, route.path, answer.status);
        match route.authority {
            Authority::None => assert_ne!(answer.status, 401, "{told}"),
            // Before it is a WebSocket it is nothing.
            Authority::Signaling => assert!(answer.status.is_client_error(), "{told}"),
            _ => {
                assert_eq!(answer.status, 401, "{told}");
                if route.method != "HEAD" {
                    let expected = match route.authority {
                        Authority::View | Authority::Swarm => "view_token_required",
                        _ => "session_required",
                    };
                    assert_eq!(answer.code(), expected, "{told}");
                }
            }
        }
        assert!(!answer.header("x-request-id").is_empty(), "{told}");
    }
}

#[tokio::test]
async fn roles_open_their_own_routes_only() {
    let bench = Bench::new().await;
    let viewer = bench.login("ana@example.org", &[Role::Viewer]).await;
    let publisher = bench.login("pub@example.org", &[Role::Publisher]).await;
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    for route in ROUTES {
        let refused: &[&str] = match route.authority {
            Authority::Publisher => &[&viewer, &operator],
            Authority::Seller => &[&viewer],
            Authority::Operator | Authority::Integrator | Authority::ApiKey => &[&viewer, &publisher],
            _ => continue,
        };
        for login in refused {
            let answer =
                bench.call(route.method, filled(route.path)).json(&json!({})).bearer(login).send().await;
            assert_eq!(answer.status, 403, "{} {} as {login}", route.method, route.path);
        }
    }
}

/// Every route, asked by a carrier with a valid token and by a viewer whose view has ended, gives no keys.
#[tokio::test]
async fn no_route_gives_keys_without_an_active_view() {
    let bench = Bench::new().await;
    let (login, bought) = bench.viewer_with_rental("ana@example.org").await;
    let carrier = bench.login("car@example.org", &[Role::Carrier, Role::Publisher, Role::Operator]).await;
    let (phone, box_) = (Device::new(1), Device::new(2));
    let view = opening(&bench.open(&login, bought, &phone).await.expect(201));
    let ended = bench.call("DELETE", format!("/v1/views/{}", view.view));
    ended.proof(&phone, Some(&view.view_token)).send().await.expect(204);
    let carries = bench.post(format!("/v1/releases/{}/carries", bench.release), &json!({}));
    let carry = opening(&carries.bearer(&carrier).proof(&box_, None).send().await.expect(201));
    for route in ROUTES {
        let opens = route.path == "/v1/views";
        for (device, token, subject) in
            [(&phone, &view.view_token, view.view), (&box_, &carry.view_token, carry.view)]
        {
            let path = route.path.replace("{view}", &subject.to_string());
            let path = path
                .replace("{release}", &bench.release.to_string())
                .replace("{title}", &bench.title.to_string());
            let call = bench.call(route.method, filled(&path));
            let call =
                if route.method == "GET" { call } else { call.json(&json!({ "file": 0, "epoch": 0 })) };
            let by_token = call.clone().proof(device, Some(token)).send().await;
            let by_login = call.bearer(&carrier).key("k").proof(device, None).send().await;
            for answer in [by_token, by_login] {
                let text = String::from_utf8_lossy(&answer.bytes);
                assert!(!text.contains("sealed_keys\":\""), "{} {}: {text}", route.method, route.path);
                assert!(!opens || answer.status.is_client_error());
            }
        }
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let bench = Bench::new().await;
    for (method, path, status, code) in [
        ("GET", "/v1", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("POST", "/v1/nothing/at/all", 404, "not_found"),
        ("PUT", "/v1/titles", 405, "method_not_allowed"),
        ("GET", "/v1/checkouts", 405, "method_not_allowed"),
        ("POST", "/somewhere", 404, "not_found"),
        ("GET", "/v1/titles/not-an-id", 404, "not_found"),
    ] {
        let answer = bench.call(method, path).send().await.expect(status);
        assert_eq!(answer.code(), code, "{method} {path}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let named = bench.get("/healthz").header("x-request-id", "from-a-proxy-1").send().await.expect(200);
    assert_eq!(named.header("x-request-id"), "from-a-proxy-1");
    let forged = bench.get("/healthz").header("x-request-id", "a b").send().await.expect(200);
    assert_ne!(forged.header("x-request-id"), "a b");
    assert_eq!(named.json(), json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }));
}
