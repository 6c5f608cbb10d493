//! What an operator does beside selling: saving and restoring, moving to another database, looking for what is wrong.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};

use matinee_protocol::api::Money;
use matinee_protocol::id::{EntitlementId, PaymentId, PurchaseId};
use matinee_server::random;
use matinee_server::store::payment::{self, Payment};
use matinee_server::store::purchase::{self, Conditions, Settled};
use matinee_server::store::{Store, plan};
use serde_json::{Value, json};

use crate::postgres::Cluster;
use crate::{House, id};

/// When what is bought is bought.
const NOW_MS: i64 = 1_795_000_000_000;

/// A house with a published film, a rental of it, an account and a few tracks.
fn furnished() -> (House, String) {
    let house = House::new();
    let email = "studio@example.org";
    house.json(&["account", "add", "--email", email, "--role", "publisher", "--password-stdin", "--json"]);
    let film = house.0.path().join("film.mp4");
    std::fs::write(&film, vec![7; 300_000]).unwrap();
    let words = ["publish", "--title", "Sintel", "--publisher", "Blender", "--rental", "0.50USD", "--json"];
    let published = house.json(&[&words[..], &[film.to_str().unwrap()]].concat());
    house.json(&["grant", "--account", email, "--title", &id(&published, "title"), "--json"]);
    let tracks = house.0.path().join("tracks.csv");
    std::fs::write(&tracks, "id,name,artist,popularity\n1,Hyperballad,Björk,9\n2,Army of Me,Björk,5\n")
        .unwrap();
    house.json(&["catalogue", "import", tracks.to_str().unwrap(), "--json"]);
    (house, id(&published, "release"))
}

fn findings(told: &Value) -> Vec<(&str, bool)> {
    let findings = told["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|finding| (finding["what"].as_str().unwrap(), finding["ok"].as_bool().unwrap()))
        .collect()
}

/// What doctor prints, well or not.
fn examined(house: &House) -> Value {
    let output = house.run(&["doctor", "--json"], "");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_backup_brings_everything_back() {
    let (house, release) = furnished();
    let folder = house.0.path().join("saved");
    let saved = house.json(&["backup", folder.to_str().unwrap(), "--json"]);
    assert_eq!((&saved["releases"], saved["blake3"].as_str().unwrap().len()), (&json!(1), 64));
    assert!(saved["not_included"]["vault_key"].as_str().unwrap().ends_with("vault.json"));
    assert!(house.fails(&["restore", folder.to_str().unwrap()]).ends_with("move it away first"));

    // What a killed server wrote last stands in a log beside the database: it is not played into what is restored.
    let database = house.data().join("matinee.db");
    std::fs::rename(&database, house.0.path().join("aside.db")).unwrap();
    for name in ["matinee.db-wal", "matinee.db-shm", "matinee.db-journal"] {
        std::fs::write(house.data().join(name), "of another database").unwrap();
        let told = house.fails(&["restore", folder.to_str().unwrap()]);
        assert!(told.ends_with(&format!("{name} is there already; move it away first")), "{told}");
        assert!(!database.exists(), "{name}: nothing was restored");
        std::fs::remove_file(house.data().join(name)).unwrap();
    }
    std::fs::rename(house.0.path().join("aside.db"), &database).unwrap();

    // The disk is lost: database and ciphertext are gone, the vault key was kept elsewhere.
    for name in ["matinee.db", "matinee.db-wal", "matinee.db-shm"] {
        std::fs::remove_file(house.data().join(name)).ok();
    }
    std::fs::rename(house.data().join("objects"), house.0.path().join("elsewhere")).unwrap();
    let restored = house.json(&["restore", folder.to_str().unwrap(), "--json"]);
    assert_eq!(
        (&restored["releases_without_objects"], &restored["vault_key_there"]),
        (&json!([release]), &json!(true))
    );
    let wrong = examined(&house);
    assert!(findings(&wrong).contains(&("origin", false)), "{wrong}");
    std::fs::remove_dir_all(house.data().join("objects")).unwrap();
    std::fs::rename(house.0.path().join("elsewhere"), house.data().join("objects")).unwrap();
    let well = examined(&house);
    assert_eq!(well["well"], true, "{well}");
    assert_eq!(house.json(&["title", "list", "--json"])[0]["name"], "Sintel");
    assert_eq!(house.json(&["catalogue", "search", "bjork", "--json"])[0]["name"], "Hyperballad");
    let trail = house.json(&["report", "audit", "--json"]);
    let acts: Vec<_> = trail.as_array().unwrap().iter().map(|act| act["action"].as_str().unwrap()).collect();
    assert_eq!(acts[..2], ["database.restore", "database.backup"], "what was saved tells of it: {acts:?}");
    assert!(acts.contains(&"catalogue.import"), "{acts:?}");

    // A backup that changed on its way is not taken.
    let file = folder.join("matinee.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    std::fs::remove_file(house.data().join("matinee.db")).unwrap();
    assert!(house.fails(&["restore", folder.to_str().unwrap()]).contains("is not what was saved"));
    assert!(!house.data().join("matinee.db").exists(), "nothing half restored");
}

#[test]
fn doctor_says_what_is_wrong() {
    let (house, release) = furnished();
    let well = examined(&house);
    let all = [
        "configuration",
        "clock",
        "address",
        "countries",
        "disk",
        "database",
        "vault key",
        "ledger",
        "origin",
    ];
    assert_eq!(findings(&well), all.map(|what| (what, true)), "{well}");
    assert_eq!(house.run(&["doctor"], "").status.code(), Some(0));

    let segment = house.data().join("objects").join(&release).join("0").join("00000000");
    let bytes = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &bytes[1..]).unwrap();
    let wrong = examined(&house);
    let told = wrong["findings"][8]["told"].as_str().unwrap();
    assert!(!wrong["well"].as_bool().unwrap() && told.contains(&release), "{wrong}");
    std::fs::write(&segment, bytes).unwrap();

    // Another house's key.
    let other = House::new();
    let key = house.data().join("vault.json");
    let own = std::fs::read(&key).unwrap();
    std::fs::write(&key, std::fs::read(other.data().join("vault.json")).unwrap()).unwrap();
    assert!(findings(&examined(&house)).contains(&("vault key", false)));
    std::fs::write(&key, own).unwrap();

    std::fs::remove_file(house.data().join("matinee.db")).unwrap();
    let wrong = examined(&house);
    assert_eq!(findings(&wrong)[5], ("database", false), "{wrong}");
    assert!(!house.data().join("matinee.db").exists(), "it changes nothing");
    assert_eq!(house.run(&["doctor"], "").status.code(), Some(1));
}

#[test]
fn everything_moves_to_postgresql_and_back() {
    let (house, _) = furnished();
    let cluster = Cluster::shared();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let postgres = runtime.block_on(cluster.database());
    let sqlite = format!("sqlite:{}", house.data().join("matinee.db").display());
    let copied = house.json(&["store", "copy", "--from", &sqlite, "--to", &postgres, "--json"]);
    assert_eq!(
        (&copied["tables"]["titles"], &copied["tables"]["tracks"]),
        (&json!(1), &json!(2)),
        "{copied}"
    );
    let told = house.fails(&["store", "copy", "--from", &sqlite, "--to", &postgres]);
    assert!(told.starts_with("the target is not empty: "), "{told}");

    // The house lives on over there: it reads, it numbers on, and the key opens its secrets.
    let there = |words: &[&str]| house.json(&[words, &["--store", &postgres, "--json"]].concat());
    assert_eq!(there(&["title", "list"])[0]["name"], "Sintel");
    assert_eq!(there(&["catalogue", "search", "bjo"])[0]["name"], "Hyperballad");
    assert_eq!(there(&["doctor"])["well"], true);
    let more = house.0.path().join("more.csv");
    std::fs::write(&more, "id,name,artist\n3,Isobel,Björk\n").unwrap();
    there(&["catalogue", "import", more.to_str().unwrap()]);

    let back = format!("sqlite:{}", house.0.path().join("back.db").display());
    let returned = house.json(&["store", "copy", "--from", &postgres, "--to", &back, "--json"]);
    assert_eq!(returned["tables"]["tracks"], 3);
    let here = |words: &[&str]| house.json(&[words, &["--store", &back, "--json"]].concat());
    assert_eq!(here(&["catalogue", "search", "isobel"])[0]["name"], "Isobel");
    assert_eq!(here(&["ledger", "check"])["sound"], true);
    let trail = here(&["report", "audit"]);
    assert_eq!((&trail[0]["action"], &trail[0]["subject"]), (&json!("database.copy"), &json!("postgres")));
    assert!(
        house
            .fails(&["store", "copy", "--from", "sqlite:/nowhere.db", "--to", &back])
            .contains("there is no")
    );
    let backup = house.0.path().join("saved");
    let told = house.fails(&["backup", backup.to_str().unwrap(), "--store", &postgres]);
    assert!(told.contains("pg_dump") && !backup.exists(), "{told}");
}

/// Lets an account pay two dollars in, and buy a plan out of them.
fn buys(house: &House, account: &str, plan: &str) {
    let address = format!("sqlite:{}", house.data().join("matinee.db").display());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = Store::open(&address).await.unwrap();
        let mut tx = store.write().await.unwrap();
        let (account, fresh) = (account.parse().unwrap(), || random::id(NOW_MS));
        let plan = plan::by_id(&mut tx, plan.parse().unwrap()).await.unwrap().unwrap();
        let money = Money { minor: 200, currency: "USD".to_owned() };
        let paid = Payment::new(PaymentId::from_bytes(fresh()), account, "simulated", money, NOW_MS);
        payment::insert(&mut tx, &paid).await.unwrap();
        assert!(payment::succeed(&mut tx, &paid, "order", "money", NOW_MS).await.unwrap());
        let (purchase, given) = (PurchaseId::from_bytes(fresh()), || EntitlementId::from_bytes(fresh()));
        let sale = purchase::draft(account, &plan, purchase, given, Conditions::default(), NOW_MS).unwrap();
        assert_eq!(purchase::settle(&mut tx, &plan, &sale).await.unwrap(), Settled::Yes);
        tx.commit().await.unwrap();
        store.close().await;
    });
}

#[test]
fn what_there_is_of_an_account_is_shown() {
    let (house, _) = furnished();
    let email = "ana@example.org";
    let added = house.json(&["account", "add", "--email", email, "--password-stdin", "--json"]);
    buys(&house, &id(&added, "account"), &id(&house.json(&["plan", "list", "--json"])[0], "id"));
    let show = || house.json(&["account", "show", email, "--json"]);
    let shown = show();
    let account = &shown["account"];
    assert_eq!((&account["id"], &account["email"]), (&added["account"], &json!(email)));
    assert_eq!((&account["roles"], &account["wallet"]["minor"]), (&json!(["viewer"]), &json!(150)));
    assert_eq!(
        (&shown["purchases"][0]["name"], &shown["purchases"][0]["refunded_minor"]),
        (&json!("Sintel"), &json!(0))
    );
    assert_eq!(shown["entitlements"][0]["status"], "ready");
    assert_eq!(
        (&shown["payments"][0]["state"], &shown["payments"][0]["amount"]["minor"]),
        (&json!("succeeded"), &json!(200))
    );

    // What it shows is what the other commands want.
    let (purchase, right) = (id(&shown["purchases"][0], "id"), id(&shown["entitlements"][0], "id"));
    house.json(&["refund", &purchase, "--amount", "0.20USD", "--keep", "--json"]);
    house.json(&["revoke", &right, "--json"]);
    let after = show();
    assert_eq!(
        (&after["purchases"][0]["refunded_minor"], &after["entitlements"][0]["status"]),
        (&json!(20), &json!("cancelled"))
    );
    let text = String::from_utf8(house.run(&["account", "show", email], "").stdout).unwrap();
    for line in [
        "roles: viewer; wallet: 1.70 USD".to_owned(),
        format!("{purchase}  rental  Sintel  0.50 USD, 0.20 USD refunded"),
        format!("{right}  rental  cancelled  title "),
        "  simulated  succeeded  2.00 USD".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}: {text}");
    }
    assert_eq!(
        house.fails(&["account", "show", "nobody@example.org"]),
        "there is no account nobody@example.org"
    );
}

#[test]
fn an_operator_who_forgot_the_password_has_a_way_back() {
    let house = House::new();
    let email = "op@example.org";
    house.json(&["account", "add", "--email", email, "--role", "operator", "--password-stdin", "--json"]);
    let set = |named: &str, password: &str| {
        house.run(&["account", "password", named, "--password-stdin"], password)
    };
    assert!(set(email, "another horse\n").status.success());
    assert_eq!(set(email, "short\n").status.code(), Some(1));
    assert_eq!(set("nobody@example.org", "another horse\n").status.code(), Some(1));
    assert_eq!(sign_in(&house, email, &["correct horse battery staple", "another horse"]), [401, 201]);
    assert!(set(email, "a third horse\n").status.success());

    let closed = house.json(&["account", "close", email, "--json"]);
    assert_eq!(closed["views_ended"], 0);
    assert!(house.fails(&["account", "close", email]).starts_with("there is no account"));
    assert!(house.fails(&["account", "close", &id(&closed, "account")]).contains("no such account"));
    assert_eq!(sign_in(&house, email, &["a third horse"]), [401]);
    let trail = house.json(&["report", "audit", "--json"]);
    let actions: Vec<_> = trail.as_array().unwrap().iter().rev().map(|act| id(act, "action")).collect();
    assert_eq!(actions, ["account.add", "account.password", "account.password", "account.close"]);
    assert_eq!(trail[1]["detail"], json!({ "sessions_ended": 1 }));
}

/// How a server answers to these passwords, one after the other.
fn sign_in(house: &House, email: &str, passwords: &[&str]) -> Vec<u16> {
    let mut child = house.command(&["serve", "--listen", "127.0.0.1:0"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("matinee listening on http://").unwrap();
    let answers = passwords.iter().map(|password| {
        let body = json!({ "email": email, "password": password }).to_string();
        let head =
            "POST /v1/sessions HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-type: application/json";
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        write!(socket, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    });
    let answers = answers.collect();
    child.kill().unwrap();
    child.wait().unwrap();
    answers
}

#[test]
fn what_was_sold_is_reported() {
    let (house, _) = furnished();
    assert_eq!(house.json(&["report", "sales", "--json"]), json!([]));
    let shown = house.run(&["report", "sales", "--within", "30d"], "");
    assert!(String::from_utf8(shown.stdout).unwrap().contains("purchases"));
}

#[test]
fn configuration_and_completions_are_printed() {
    let house = House::new();
    let shown = house.json(&["config", "check", "--json", "--store", "postgres://ann:hunter2@db/matinee"]);
    assert_eq!(shown["store"]["address"], "postgres://ann@db/matinee");
    std::fs::write(house.data().join("config.toml"), "[payment]\ncurrency = \"XXXX\"\n").unwrap();
    assert!(house.fails(&["config", "check"]).contains("ISO 4217"));
    for (text, told) in [
        ("[tax]\nrates = [\"DE=19%\"]\n", "tax: \"DE=19%\": write a country and basis points"),
        ("[tax]\nhome_country = \"Germany\"\n", "tax: \"Germany\" is no country code"),
        ("[outbox]\nsmtp_url = \"mail.example\"\n", "outbox.smtp_url: "),
        ("[outbox]\nsmtp_url = \"smtp://localhost\"\nmail_from = \"Matinee\"\n", "outbox.mail_from: "),
    ] {
        std::fs::write(house.data().join("config.toml"), text).unwrap();
        let refused = house.fails(&["serve", "--listen", "127.0.0.1:0"]);
        assert!(refused.starts_with("configuration: ") && refused.contains(told), "{refused}");
        assert_eq!(house.fails(&["config", "check"]), refused, "it says what a server says");
        let examined = examined(&house);
        assert_eq!(examined["findings"][0], json!({ "what": "configuration", "ok": false, "told": refused }));
    }
    std::fs::write(house.data().join("config.toml"), "").unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = house.run(&["completions", shell], "");
        let script = String::from_utf8(script.stdout).unwrap();
        assert!(script.contains("matinee") && script.contains("catalogue"), "{shell}");
    }
}
