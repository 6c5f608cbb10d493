//! The storefront's pages and their headers.

use matinee_server::config::Config;

use crate::bench::Bench;

async fn bench() -> (Bench, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("site");
    std::fs::create_dir_all(inside.join("assets")).unwrap();
    std::fs::write(folder.path().join("secret.txt"), "secret").unwrap();
    for (name, text) in [
        ("index.html", "<!doctype html>"),
        ("sw.js", "self"),
        ("assets/app-1a2b3c.js", "app"),
        ("assets/engine-1a2b3c.wasm", "\0asm"),
    ] {
        std::fs::write(inside.join(name), text).unwrap();
    }
    let mut config = Config::default();
    config.server.web_dir = inside.display().to_string();
    (Bench::with(config).await, folder)
}

#[tokio::test]
async fn pages_are_served_with_their_headers() {
    let (bench, _folder) = bench().await;
    let immutable = "public, max-age=31536000, immutable";
    for (path, kind, cache, body) in [
        ("/", "text/html; charset=utf-8", "no-cache", "<!doctype html>"),
        ("/index.html", "text/html; charset=utf-8", "no-cache", "<!doctype html>"),
        ("/titles/some-title", "text/html; charset=utf-8", "no-cache", "<!doctype html>"),
        ("/sw.js", "text/javascript; charset=utf-8", "no-cache", "self"),
        ("/assets/app-1a2b3c.js", "text/javascript; charset=utf-8", immutable, "app"),
        ("/assets/engine-1a2b3c.wasm", "application/wasm", immutable, "\0asm"),
    ] {
        let answer = bench.get(path).send().await.expect(200);
        let told = (answer.header("content-type"), answer.header("cache-control"), answer.bytes.as_slice());
        assert_eq!(told, (kind, cache, body.as_bytes()), "{path}");
        assert_eq!(answer.header("service-worker-allowed"), if path == "/sw.js" { "/" } else { "" });
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let policy = answer.header("content-security-policy");
        for part in
            ["default-src 'none'", "'wasm-unsafe-eval'", "media-src 'self' blob:", "wss://cinema.example"]
        {
            assert!(policy.contains(part), "{part} in {policy}");
        }
        assert!(!policy.contains("unsafe-inline"), "{policy}");
        let known = bench.get(path).header("if-none-match", answer.header("etag")).send().await.expect(304);
        assert!(known.bytes.is_empty());
    }
}

#[tokio::test]
async fn nothing_outside_the_folder_is_served() {
    let (bench, _folder) = bench().await;
    for path in [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/missing.js",
        "//etc/hostname.txt",
    ] {
        let answer = bench.get(path).send().await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.bytes.windows(6).any(|run| run == b"secret"));
    }
}

#[tokio::test]
async fn the_players_page_is_framed_by_those_whom_the_operator_named() {
    let (bench, _folder) = bench().await;
    for path in ["/", "/embed/some-title"] {
        let policy = bench.get(path).send().await.expect(200).header("content-security-policy").to_owned();
        assert!(policy.contains("frame-ancestors 'self';"), "nobody unless named: {policy}");
    }
    let mut config = Config::default();
    config.server.web_dir = bench.app.config.server.web_dir.clone();
    config.server.embed_origins = vec!["https://shop.example".to_owned(), "http://127.0.0.1:9000".to_owned()];
    let named = Bench::with(config).await;
    let policy = async |path: &'static str| {
        named.get(path).send().await.expect(200).header("content-security-policy").to_owned()
    };
    let embed = policy("/embed/some-title").await;
    assert!(embed.contains("frame-ancestors 'self' https://shop.example http://127.0.0.1:9000;"), "{embed}");
    // What is bought with is framed by nobody, the player's page once it has moved on included.
    for path in ["/", "/titles/some-title", "/wallet", "/embed", "/titles/embed/x"] {
        let policy = policy(path).await;
        assert!(policy.contains("frame-ancestors 'self';"), "{path}: {policy}");
    }
}
