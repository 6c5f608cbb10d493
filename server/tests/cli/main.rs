//! The command as a program: what it prints, what it leaves, how it fails.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that cannot go on should say where; it exports nothing"
)]

mod list;
mod operator;
#[path = "../store/postgres.rs"]
mod postgres;
mod supplier;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use matinee_server::store::{Store, catalogue};
use serde_json::{Value, json};

/// A data folder of its own.
struct House(tempfile::TempDir);

impl House {
    fn new() -> Self {
        let house = Self(tempfile::tempdir().unwrap());
        house.json(&["init", "--json"]);
        house
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_matinee"));
        command.args(words).arg("--data-dir").arg(self.data()).env_remove("RUST_LOG");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, words: &[&str], input: &str) -> Output {
        let mut child = self.command(words).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Runs what must succeed and print one line of JSON.
    fn json(&self, words: &[&str]) -> Value {
        let output = self.run(words, "correct horse battery staple\n");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Runs what must fail with one line on standard error.
    fn fails(&self, words: &[&str]) -> String {
        let output = self.run(words, "");
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(output.stdout.is_empty());
        told.trim_end().strip_prefix("matinee: ").expect("it says who speaks").to_owned()
    }
}

fn id(data: &Value, name: &str) -> String {
    data[name].as_str().unwrap_or_else(|| panic!("no {name} in {data}")).to_owned()
}

#[test]
fn a_house_is_made_and_furnished() {
    let house = House::new();
    let mode = |name: &str| std::fs::metadata(house.data().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("vault.json")), (0o700, 0o600));
    let before = std::fs::read(house.data().join("vault.json")).unwrap();
    house.json(&["init", "--json"]);
    assert_eq!(std::fs::read(house.data().join("vault.json")).unwrap(), before, "init again changes nothing");

    let email = "studio@example.org";
    let add = ["account", "add", "--email", email, "--role", "publisher", "--password-stdin", "--json"];
    assert_eq!(house.json(&add)["email"], email);
    assert_eq!(house.fails(&add[..7]), format!("there is an account {email} already"));
    let title =
        id(&house.json(&["title", "add", "--name", "Sintel", "--publisher", email, "--json"]), "title");
    let listed = house.json(&["title", "list", "--json"]);
    assert_eq!(listed, json!([{ "id": title, "name": "Sintel", "publisher": "studio" }]));
    house.json(&["plan", "add", "--title", &title, "--rental", "0.50USD", "--views", "5", "--json"]);
    let granted = house.json(&["grant", "--account", email, "--title", &title, "--views", "2", "--json"]);
    let entitlement = id(&granted, "entitlement");
    let revoked = house.json(&["revoke", &entitlement, "--reason", "a mistake", "--json"]);
    assert_eq!(revoked, json!({ "entitlement": entitlement, "status": "cancelled", "views_ended": 0 }));
    let told = house.fails(&["revoke", &entitlement, "--json"]);
    assert_eq!(told, format!("{entitlement} is cancelled already; nothing was changed"));
    let ledger = house.json(&["ledger", "check", "--json"]);
    assert_eq!((&ledger["sound"], &ledger["sum_minor"]), (&json!(true), &json!(0)));
    let account = id(&house.json(&["account", "show", email, "--json"])["account"], "id");
    let roles = house.json(&["account", "roles", email, "--role", "operator", "--json"]);
    assert_eq!(roles, json!({ "account": account, "roles": ["viewer", "operator"] }));

    let words = ["account", "key", "add", email, "--name", "shop", "--scope", "viewers", "--json"];
    let key = house.json(&words);
    assert!(id(&key, "secret").starts_with(&id(&key["api_key"], "prefix")), "{key}");
    let listed = house.json(&["account", "key", "list", email, "--json"]);
    assert_eq!(listed, json!([key["api_key"]]), "without what it is");
    let named = id(&key["api_key"], "id");
    let revoked = house.json(&["account", "key", "revoke", email, &named, "--json"]);
    assert_eq!(revoked, json!({ "api_key": named }));
    assert!(house.fails(&["account", "key", "revoke", email, &named]).contains("has no key"));
    let trail = house.json(&["report", "audit", "--json"]);
    let actions: Vec<_> = trail.as_array().unwrap().iter().rev().map(|act| id(act, "action")).collect();
    assert_eq!(
        actions,
        [
            "account.add",
            "title.create",
            "plan.create",
            "entitlement.grant",
            "entitlement.revoke",
            "account.roles",
            "api_key.create",
            "api_key.revoke",
        ]
    );
    assert_eq!(
        house.json(&["report", "audit", "--subject", &entitlement, "--json"]).as_array().unwrap().len(),
        2
    );
}

#[test]
fn plans_of_every_kind_are_added() {
    let house = House::new();
    let email = "studio@example.org";
    house.json(&["account", "add", "--email", email, "--role", "publisher", "--password-stdin", "--json"]);
    let title = |name: &str| {
        id(&house.json(&["title", "add", "--name", name, "--publisher", email, "--json"]), "title")
    };
    let (first, second) = (title("Sintel"), title("Tears of Steel"));
    let made = house.json(&["collection", "add", "--publisher", email, "--name", "All", "--json"]);
    let collection = id(&made, "collection");
    let put = ["collection", "put", "--collection", &collection, "--tier", "2", &first, &second, "--json"];
    assert_eq!(house.json(&put), json!({ "collection": collection, "titles": 2, "tier": 2 }));
    let one = ["--title", &first];
    let all = ["--collection", &collection];
    let mut plans = Vec::new();
    for (what, kind) in [
        (one, vec!["--purchase", "9.00USD", "--title", &second, "--name", "Both"]),
        (one, vec!["--free", "--guests"]),
        (one, vec!["--rental", "0.50USD", "--concurrent-views", "2"]),
        (all, vec!["--subscription", "7.95USD", "--period", "year", "--trial", "7d", "--tier", "2"]),
        (all, vec!["--quota", "3.00USD", "--titles", "200", "--grace", "1d"]),
    ] {
        let args: Vec<&str> = ["plan", "add", "--json"].into_iter().chain(what).chain(kind).collect();
        plans.push(id(&house.json(&args), "plan"));
    }
    for (wrong, told) in [
        (
            vec!["plan", "add", "--title", &first, "--subscription", "1USD", "--period", "week"],
            "a period is month or year",
        ),
        (vec!["plan", "add", "--title", &first, "--purchase", "1EUR"], "prices are in USD"),
        (vec!["coupon", "X Y", "--percent-off", "5"], "a code has 1 to 40 letters, digits and dashes"),
    ] {
        assert_eq!(house.fails(&wrong), told, "{wrong:?}");
    }
    for wrong in [
        vec!["plan", "add", "--title", &first],
        vec!["plan", "add", "--title", &first, "--free", "--rental", "1USD"],
        vec!["plan", "add", "--collection", &collection, "--quota", "1USD"],
        vec!["plan", "add", "--free"],
    ] {
        assert_eq!(house.run(&wrong, "").status.code(), Some(2), "a wrong command line: {wrong:?}");
    }
    let coupon = ["coupon", "spring-20", "--percent-off", "20", "--plan", &plans[0], "--uses", "3", "--json"];
    assert_eq!(house.json(&coupon), json!({ "coupon": "SPRING-20" }));
    assert_eq!(house.fails(&coupon[..4]), "there is a coupon SPRING-20 already");
    let listed = house.json(&["coupon", "list", "--json"]);
    assert_eq!(
        (&listed[0]["code"], &listed[0]["percent_off"], &listed[0]["plan"], &listed[0]["uses_max"]),
        (&json!("SPRING-20"), &json!(20), &json!(plans[0]), &json!(3))
    );
    let listed = house.json(&["plan", "list", "--json"]);
    let ids: Vec<_> = listed.as_array().unwrap().iter().rev().map(|plan| id(plan, "id")).collect();
    assert_eq!(ids, plans, "every plan, the newest first");
    assert_eq!((&listed[0]["kind"], &listed[0]["quota_titles"]), (&json!("quota"), &json!(200)));
    house.json(&["collection", "add", "--publisher", email, "--name", "Not sold yet", "--json"]);
    let listed = house.json(&["collection", "list", "--json"]);
    let names = [&listed[0]["name"], &listed[1]["name"]];
    assert_eq!((names, &listed[1]["id"]), ([&json!("Not sold yet"), &json!("All")], &json!(collection)));
    for (words, line) in [
        (["coupon", "list"], "SPRING-20  20 % off  0 of 3 uses  plan "),
        (["plan", "list"], "  quota  3.00 USD  collection "),
        (["collection", "list"], "  All  studio"),
    ] {
        let output = house.run(&words, "");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains(line), "{words:?}: {text}");
    }
    let ended = json!({ "coupon": "SPRING-20" });
    assert_eq!(house.json(&["coupon", "spring-20", "--end", "--json"]), ended);
    assert_eq!(house.fails(&["coupon", "winter", "--end"]), "there is no coupon WINTER");
    for _ in 0..2 {
        assert_eq!(house.json(&["plan", "end", &plans[1], "--json"]), json!({ "plan": plans[1] }));
    }
    let trail = house.json(&["report", "audit", "--subject", &plans[1], "--json"]);
    let acts: Vec<_> = trail.as_array().unwrap().iter().map(|act| &act["action"]).collect();
    assert_eq!(acts, ["plan.end", "plan.create"], "once");
    let gift = house.json(&["gift", "--plan", &plans[3], "--count", "3", "--lasts", "30d", "--json"]);
    assert_eq!(gift["codes"].as_array().unwrap().len(), 3);
}

#[test]
fn keys_rotate() {
    let house = House::new();
    let first = id(&house.json(&["key", "rotate", "view", "--json"]), "kid");
    let second = id(&house.json(&["key", "rotate", "view", "--json"]), "kid");
    assert_ne!(first, second);
    let release = id(&house.json(&["key", "rotate", "release", "--json"]), "kid");
    assert!(release.starts_with("r-"), "{release}");
    let vault = house.json(&["key", "rotate", "vault", "--forget-old", "--json"]);
    assert_eq!((&vault["rewrapped"], &vault["forgotten"]), (&json!(7), &json!(1)), "{vault}");
    let file: Value =
        serde_json::from_slice(&std::fs::read(house.data().join("vault.json")).unwrap()).unwrap();
    assert_eq!(file["current"], vault["vault_key"]);
    assert_eq!(file["keys"].as_object().unwrap().len(), 1);
    house.json(&["key", "rotate", "view", "--json"]);
}

#[test]
fn a_catalogue_comes_in_from_files() {
    let house = House::new();
    let file = house.0.path().join("tracks.csv");
    let path = file.to_str().unwrap();
    let rows = |count: usize| {
        let row = |at| format!("{at},Song {at},Band {},Album {},Rock,{at}\n", at % 50, at % 200);
        let rows: String = (0..count).map(row).collect();
        format!("id,name,artist,album,genre,popularity\n{rows}")
    };
    // The first ten thousand are in when the row after them turns out to be broken.
    std::fs::write(&file, rows(10_500) + "x,,Band,,,1\n").unwrap();
    let told = house.fails(&["catalogue", "import", path]);
    assert_eq!(
        told,
        "tracks.csv: row 10501: name must have 1 to 500 characters; the 10000 rows before are in"
    );
    assert_eq!(house.json(&["catalogue", "count", "--json"])["tracks"], 10_000);
    assert_eq!(house.fails(&["catalogue", "import", path]), told, "it goes on, and numbers rows as before");

    std::fs::write(&file, rows(10_500)).unwrap();
    assert_eq!(house.json(&["catalogue", "import", path, "--json"])["rows"], 10_500);
    let counts = house.json(&["catalogue", "count", "--json"]);
    assert_eq!(counts, json!({ "artists": 50, "albums": 200, "genres": 1, "tracks": 10_500 }));
    let found = house.json(&["catalogue", "search", "song", "1049", "--json"]);
    assert_eq!((&found[0]["name"], &found[0]["artist"]["name"]), (&json!("Song 10499"), &json!("Band 49")));
    assert!(house.fails(&["catalogue", "import", path]).contains("is in already"));
    assert_eq!(house.json(&["catalogue", "import", path, "--again", "--json"])["rows"], 10_500);
    assert_eq!(house.json(&["catalogue", "count", "--json"]), counts);

    let lines = house.0.path().join("more.jsonl");
    let nobody = "0190d9e4-0000-7000-8000-000000000000";
    let line = |title: &str| format!("{{\"id\":\"n\",\"name\":\"New\",\"artist\":\"Band 7\"{title}}}\n");
    std::fs::write(&lines, line(&format!(",\"title\":\"{nobody}\""))).unwrap();
    let told = house.fails(&["catalogue", "import", lines.to_str().unwrap()]);
    assert_eq!(told, format!("track n: there is no title {nobody}"));
    std::fs::write(&lines, line("")).unwrap();
    house.json(&["catalogue", "import", lines.to_str().unwrap(), "--json"]);
    let found = house.json(&["catalogue", "search", "new", "--json"]);
    assert_eq!((found.as_array().unwrap().len(), &found[0]["artist"]["name"]), (1, &json!("Band 7")));
}

#[test]
fn a_catalogue_is_corrected_by_what_comes_later() {
    let house = House::new();
    let import = |name: &str, text: &[u8]| {
        let file = house.0.path().join(name);
        std::fs::write(&file, text).unwrap();
        house.json(&["catalogue", "import", file.to_str().unwrap(), "--json"])
    };
    let album = || {
        let folder = house.data().join("matinee.db");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (track, album) = runtime.block_on(async {
            let store = Store::open(&format!("sqlite:{}", folder.display())).await.unwrap();
            let mut tx = store.read().await.unwrap();
            let found = catalogue::search(&mut tx, None, &["isobel".to_owned()], 9).await.unwrap().remove(0);
            let album = catalogue::album(&mut tx, found.album.as_ref().unwrap().id).await.unwrap().unwrap();
            drop(tx);
            store.close().await;
            (found, album)
        });
        (track.artist.name, track.genre.unwrap().name, album.name, album.year)
    };
    let told = |artist: &str, genre: &str, name: &str, year| {
        (artist.to_owned(), genre.to_owned(), name.to_owned(), year)
    };
    // The first row of an album does not say when it came out, nor does a list that comes later.
    let first =
        "id,name,artist,album,genre,year\n1,Army of Me,Bjork,POST,pop,\n2,Isobel,Bjork,POST,pop,1994\n";
    import("first.csv", first.as_bytes());
    assert_eq!(album(), told("Bjork", "pop", "POST", Some(1994)));
    import("second.csv", b"id,name,artist,album,genre\n2,Isobel,Bj\xc3\xb6rk,Post,Pop\n");
    assert_eq!(album(), told("Björk", "Pop", "Post", Some(1994)), "spelled as it was spelled last");
    import("third.csv", first.replace("1994", "1995").as_bytes());
    assert_eq!(album(), told("Bjork", "pop", "POST", Some(1995)));
    assert_eq!(house.json(&["catalogue", "count", "--json"])["albums"], 1);
}

/// Files that differ somewhere within, and not at all in length, beginning and end.
#[test]
fn files_are_told_apart_by_all_of_their_bytes() {
    let house = House::new();
    let import = |text: &str| {
        let file = house.0.path().join("long.jsonl");
        std::fs::write(&file, text).unwrap();
        house.json(&["catalogue", "import", file.to_str().unwrap(), "--json"])
    };
    let long = |name: &str| {
        let blank = format!("{}\n", " ".repeat(60_000)).repeat(20);
        format!("{blank}{{\"id\":\"9\",\"name\":\"{name}\",\"artist\":\"Can\"}}\n{blank}")
    };
    assert_eq!(import(&long("Oh Yeah"))["rows"], 1);
    assert_eq!(import(&long("Yoo Doo"))["rows"], 1, "it is another file");
    assert_eq!(house.json(&["catalogue", "search", "yoo", "--json"])[0]["name"], "Yoo Doo");
}

#[test]
fn imports_at_once_do_not_hold_each_other_up() {
    let house = House::new();
    let cluster = postgres::Cluster::shared();
    let address = tokio::runtime::Runtime::new().unwrap().block_on(cluster.database());
    house.json(&["catalogue", "count", "--json", "--store", &address]);
    let mut imports = Vec::new();
    for list in ["a", "b", "c"] {
        let file = house.0.path().join(format!("{list}.csv"));
        let row = |at| format!("{list}{at},Song {at},Band {at},Album {at}\n");
        let rows: String = (0..3000).map(row).collect();
        std::fs::write(&file, format!("id,name,artist,album\n{rows}")).unwrap();
        let words = ["catalogue", "import", file.to_str().unwrap(), "--json", "--store", &address];
        imports.push(house.command(&words).spawn().unwrap());
    }
    for import in imports {
        let output = import.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let counts = house.json(&["catalogue", "count", "--json", "--store", &address]);
    assert_eq!((&counts["artists"], &counts["tracks"]), (&json!(3000), &json!(9000)));
}

#[test]
fn failures_are_one_line() {
    let house = House::new();
    let nothing = "0190d9e4-0000-7000-8000-000000000000";
    let told = house.fails(&["revoke", nothing]);
    assert_eq!(told, format!("there is no entitlement {nothing}"));
    assert_eq!(
        house.fails(&["grant", "--account", "a@b.c", "--title", nothing]),
        "there is no account a@b.c"
    );
    let told = house.fails(&["ledger", "check", "--store", "mysql://user:secret@host/db"]);
    assert!(told.contains("write sqlite:<path> or postgres://") && !told.contains("secret"), "{told}");
    std::fs::write(house.data().join("config.toml"), "[server]\nport = 8080\n").unwrap();
    let told = house.fails(&["ledger", "check"]);
    assert!(told.contains("port") && told.starts_with("configuration: "), "{told}");
    std::fs::write(house.data().join("config.toml"), "").unwrap();
    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(house.data().join("vault.json"), mode).unwrap();
    assert!(house.fails(&["serve", "--listen", "127.0.0.1:0"]).contains("run chmod 600"));

    let wrong = house.run(&["plan", "add", "--title", nothing, "--rental", "0.505USD"], "");
    assert_eq!(wrong.status.code(), Some(2), "a wrong command line");
    let nowhere = House(tempfile::tempdir().unwrap());
    assert!(nowhere.fails(&["ledger", "check"]).ends_with("run matinee init first"));
}

#[test]
fn the_server_says_where_it_listens_and_stops_when_asked() {
    let house = House::new();
    let mut child = house.command(&["serve", "--listen", "127.0.0.1:0"]).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("matinee listening on http://").expect("the readiness line");
    let mut socket = std::net::TcpStream::connect(address).unwrap();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("}"), "{answer}");
    let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(asked.success());
    assert!(child.wait().unwrap().success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "one line on standard output, no more");
}

#[test]
fn reports_of_an_empty_house() {
    let house = House::new();
    let text = |words: &[&str]| {
        let output = house.run(words, "");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let heading = "at_ms,journal,kind,reference,account,amount_minor,currency\n";
    assert_eq!(text(&["report", "ledger"]), heading);
    assert_eq!(text(&["report", "ledger", "--format", "json"]), "{\"entries\":[]}\n");
    assert_eq!(text(&["report", "ledger", "--json"]), "{\"entries\":[]}\n");
    let statement = json!({ "currency": "USD", "revenue_minor": 0, "house_minor": 0, "lines": [] });
    let report = text(&["report", "royalties", "--month", "2026-10", "--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&report).unwrap(), json!({ "statement": statement }));
    assert_eq!(text(&["report", "royalties", "--month", "2026-10", "--json"]), report);
    let heading = "country,rate_basis_points,net_minor,tax_minor,refunded_net_minor,refunded_tax_minor,owed_minor,currency\n";
    assert_eq!(text(&["report", "tax", "--month", "2026-10"]), heading);
    let report = text(&["report", "tax", "--month", "2026-10", "--format", "json"]);
    assert_eq!(report, "{\"lines\":[]}\n");
    for of in ["royalties", "tax"] {
        let wrong = house.run(&["report", of, "--month", "2026-13"], "");
        assert_eq!(wrong.status.code(), Some(2), "a wrong command line");
    }
    let nothing = "0190d9e4-0000-7000-8000-000000000000";
    assert_eq!(house.fails(&["refund", nothing]), format!("there is no purchase {nothing}"));
    let set = ["royalty", "set", "--title", nothing, "--holder", "Studio=5000,0.10USD"];
    assert_eq!(house.fails(&set), format!("there is no title {nothing}"));
    let too_much = ["royalty", "set", "--title", nothing, "--holder", "a=9000", "--holder", "b=9000"];
    assert!(house.fails(&too_much).contains("18000 basis points"));
    let euros = ["royalty", "set", "--title", nothing, "--holder", "a=9000,1EUR"];
    assert_eq!(house.fails(&euros), "minimums are in USD");
    let past = ["royalty", "set", "--title", nothing, "--holder", "a=1", "--from", "2001-01"];
    assert!(house.fails(&past).starts_with("the statement of that month is final"));
    assert_eq!(house.fails(&["royalty", "show", nothing]), format!("there is no title {nothing}"));
}
