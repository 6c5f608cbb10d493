//! What an operator does beside selling: saving and restoring, moving to another database, looking for what is wrong.

use serde_json::{Value, json};

use crate::postgres::Cluster;
use crate::{House, id};

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

    // The disk is lost: database and ciphertext are gone, the vault key was kept elsewhere.
    for name in ["matinee.db", "matinee.db-wal", "matinee.db-shm"] {
        std::fs::remove_file(house.data().join(name)).ok();
    }
    std::fs::rename(house.data().join("objects"), house.0.path().join("elsewhere")).unwrap();
    let restored = house.json(&["restore", folder.to_str().unwrap(), "--json"]);
    assert_eq!(
        (&restored["releases_without_objects"], &restored["vault_key_there"]),
        (&json!([release]), &json!(true))
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
    std::fs::write(house.data().join("config.toml"), "").unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = house.run(&["completions", shell], "");
        let script = String::from_utf8(script.stdout).unwrap();
        assert!(script.contains("matinee") && script.contains("catalogue"), "{shell}");
    }
}
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
