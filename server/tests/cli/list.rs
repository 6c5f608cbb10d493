//! `matinee publish --list`: every row of a list becomes one title, however often it is tried and wherever it is cut.

use std::path::Path;

use matinee_protocol::id::{CollectionId, ReleaseId, TitleId};
use matinee_server::store::page::Asked;
use matinee_server::store::{collection, import, plan, release, title};
use serde_json::{Value, json};

use crate::id;
use crate::supplier::{Shop, arrived, lines, many, wait_for};

/// Runs each test against both databases.
macro_rules! on_both {
    ($($name:ident;)*) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                super::$name(&super::Shop::sqlite());
            })*
        }

        mod postgresql {
            $(#[test]
            fn $name() {
                super::$name(&super::Shop::postgres());
            })*
        }
    };
}

on_both! {
    a_list_is_published_once;
    a_bad_row_does_not_stop_the_others;
    a_list_that_cannot_be_read_changes_nothing;
    a_killed_command_is_gone_on_with;
    a_file_goes_on_where_it_stood;
    a_stopped_command_says_how_to_go_on;
    two_commands_make_one_title_of_a_row;
    a_full_disk_stops_it;
}

fn a_list_is_published_once(shop: &Shop) {
    let account = ["account", "add", "--email", "label@publisher.invalid", "--role", "publisher"];
    shop.run(&[&account[..], &["--password-stdin"]].concat());
    let collection = |name: &str| {
        let words = ["collection", "add", "--publisher", "label@publisher.invalid", "--name", name];
        id(&shop.run(&words), "collection")
    };
    let (all, new) = (collection("All"), collection("New"));
    let tracks =
        shop.put("tracks.csv", "id,name,artist\nisobel,Isobel,Björk\narmy,Army of Me,Björk\n".as_bytes());
    shop.run(&["catalogue", "import", &tracks]);
    for name in ["a.bin", "b.bin", "sub/c.bin", "d.bin"] {
        shop.put(name, name.repeat(10_000).as_bytes());
    }
    let list = shop.put(
        "list.csv",
        format!(
            "id,title,file,rental,collection,track,open,duration_ms\n\
             a,\"First, of all\",a.bin,0.50USD,All,isobel,,\n\
             b,Second,b.bin|sub/c.bin,1.25USD,{all}|New,,false,61000\n\
             c,Third,d.bin,,,,true,\n"
        )
        .as_bytes(),
    );
    let told = shop.published(&list);
    assert_eq!((&told["rows"], &told["published"], &told["skipped"]), (&json!(3), &json!(3), &json!(0)));
    assert_eq!((&told["failed"], &told["bytes"]), (&json!([]), &json!(50_000 + 50_000 + 90_000 + 50_000)));
    assert!(told["seconds"].as_f64().unwrap() > 0.0);
    let titles = shop.titles();
    let (first, second, third) = (&titles["First, of all"], &titles["Second"], &titles["Third"]);
    assert_eq!((&first.2, &second.2, &third.2), (&vec![50], &vec![125], &vec![]));
    let sealed = |found: &(TitleId, Option<release::Release>, Vec<i64>)| found.1.as_ref().unwrap().sealed;
    assert_eq!((sealed(first), sealed(second), sealed(third)), (true, true, false));
    shop.store(async |store| {
        let mut tx = store.read().await.unwrap();
        let held = async |tx: &mut _, id: &str| {
            let id: CollectionId = id.parse().unwrap();
            let page = collection::titles(tx, id, None, &Asked::first(9)).await.unwrap();
            let mut held: Vec<_> = page.rows.iter().map(|held| (held.name.clone(), held.tier)).collect();
            held.sort();
            held
        };
        let named = |name: &str| (name.to_owned(), 1);
        assert_eq!(held(&mut tx, &all).await, [named("First, of all"), named("Second")]);
        assert_eq!(held(&mut tx, &new).await, [named("Second")]);
        let (_, bought) = import::track(&mut tx, "isobel").await.unwrap().unwrap();
        assert_eq!(bought, Some(first.0));
        let (_, bought) = import::track(&mut tx, "army").await.unwrap().unwrap();
        assert_eq!(bought, None);
        let files = release::files(&mut tx, second.1.as_ref().unwrap().id).await.unwrap();
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["b.bin", "c.bin"]);
        assert_eq!((files[0].duration_ms, files[1].duration_ms), (Some(61_000), None));
    });
    let acts = shop.acts();
    let once = ["title.create", "release.create", "release.publish", "collection.put"];
    assert_eq!(once.map(|act| acts[act]), [3; 4], "{acts:?}");
    assert_eq!((acts["plan.create"], acts["track.title"]), (2, 1));

    // The same again, and the same in the other form: there is nothing left to do.
    let objects = shop.put(
        "list.jsonl",
        "{\"id\":\"a\",\"title\":\"First\",\"files\":[\"a.bin\"]}\n\n\
         {\"id\":\"b\",\"title\":\"Second\",\"files\":[\"b.bin\",\"sub/c.bin\"],\"collections\":[\"All\"]}\n"
            .as_bytes(),
    );
    let counts = shop.counts();
    assert_eq!(counts, [3, 3, 2, 3]);
    let told = shop.published(&list);
    assert_eq!((&told["published"], &told["skipped"], &told["bytes"]), (&json!(0), &json!(3), &json!(0)));
    let told = shop.published(&objects);
    assert_eq!((&told["rows"], &told["skipped"]), (&json!(2), &json!(2)));
    assert_eq!((shop.counts(), shop.acts()), (counts, acts));

    // Another publisher's references are its own; flags hold where a row says nothing else.
    let flags = ["--publisher", "Studio", "--rental", "2.00USD", "--views", "3", "--open", "--json"];
    let words = [&["publish", "--list", &list, "--store", &shop.address], &flags[..]].concat();
    let told = shop.house.run(&words, "");
    let told_of: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told_of["published"], 1, "{told_of}");
    let wrong: Vec<_> =
        told_of["failed"].as_array().unwrap().iter().map(|row| row["error"].clone()).collect();
    assert!(wrong.contains(&json!("the publisher has no collection All")), "{wrong:?}");
    let plans = shop.store(async |store| {
        let mut tx = store.read().await.unwrap();
        let mut plans = Vec::new();
        for found in title::listed(&mut tx, None, &Asked::first(1000)).await.unwrap().rows {
            if found.publisher_name == "Studio" {
                let published = release::latest_published(&mut tx, found.id).await.unwrap().unwrap();
                plans.push((published.sealed, plan::by_title(&mut tx, found.id).await.unwrap()));
            }
        }
        plans
    });
    assert_eq!((plans.len(), plans[0].0, plans[0].1[0].price.minor), (1, false, 200), "{plans:?}");
}

fn a_bad_row_does_not_stop_the_others(shop: &Shop) {
    for name in ["good.bin", "late.bin", "sub/good.bin"] {
        shop.put(name, &[7; 1000]);
    }
    let secret = shop.house.data().join("vault.json");
    std::os::unix::fs::symlink(&secret, shop.path("link.bin")).unwrap();
    std::os::unix::fs::symlink(shop.path("good.bin"), shop.path("inside.bin")).unwrap();
    let absolute = secret.to_str().unwrap();
    let list = |late: &str| {
        let rows = format!(
            "id,title,file,rental,collection,track\n\
             ok1,Good 1,good.bin,0.50USD,,\n\
             gone,Gone,gone.bin,,,\n\
             price,Price,good.bin,0.505USD,,\n\
             euros,Euros,good.bin,1EUR,,\n\
             heap,Heap,good.bin,,Nowhere,\n\
             song,Song,good.bin,,,nothing\n\
             up,Up,../data/vault.json,,,\n\
             root,Root,{absolute},,,\n\
             link,Link,link.bin,,,\n\
             folder,Folder,sub,,,\n\
             empty,,good.bin,,,\n\
             none,None,,,,\n\
             twice,Twice,good.bin|sub/good.bin,,,\n\
             late,Late,{late},0.75USD,,\n\
             ok2,Good 2,inside.bin,,,\n"
        );
        shop.put("list.csv", rows.as_bytes())
    };
    let path = list("missing.bin");
    let output = shop.publish(&path, &[]);
    assert_eq!(output.status.code(), Some(1));
    let told = lines(&output.stderr);
    let (last, rows) = told.split_last().unwrap();
    assert_eq!(last, "matinee: 13 of 15 rows failed; the same command tries only those again");
    let expected = [
        ("line 3 (id gone): ", "gone.bin: No such file or directory"),
        ("line 4 (id price): ", "rental 0.505USD: USD has 2 digits"),
        ("line 5 (id euros): ", "this server's wallets are in USD"),
        ("line 6 (id heap): ", "the publisher has no collection Nowhere"),
        ("line 7 (id song): ", "there is no track nothing"),
        ("line 8 (id up): ", "../data/vault.json is outside of the list's folder"),
        ("line 9 (id root): ", "vault.json is outside of the list's folder"),
        ("line 10 (id link): ", "link.bin is outside of the list's folder"),
        ("line 11 (id folder): ", "is no plain file"),
        ("line 12 (id empty): ", "a title's name has 1 to 200 characters"),
        ("line 13 (id none): ", "a release has 1 to 65536 files"),
        ("line 14 (id twice): ", "two files are called \"good.bin\""),
        ("line 15 (id late): ", "missing.bin: No such file or directory"),
    ];
    for (begins, holds) in expected {
        let found: Vec<_> = rows.iter().filter(|row| row.starts_with(begins)).collect();
        assert!(found.len() == 1 && found[0].contains(holds), "{begins}{holds}: {told:?}");
    }
    assert_eq!(rows.len(), expected.len(), "{told:?}");
    assert!(
        lines(&output.stdout)[0].starts_with("published 2 of 15 rows, 0 were published before, 13 failed")
    );
    assert_eq!(shop.titles().into_keys().collect::<Vec<_>>(), ["Good 1", "Good 2"]);
    assert_eq!((shop.counts(), shop.in_origin()), ([2, 2, 1, 2], 2), "nothing of the others");

    // Only what failed is tried again.
    let path = list("late.bin");
    let output = shop.publish(&path, &["--json"]);
    assert_eq!(
        lines(&output.stderr),
        ["matinee: 12 of 15 rows failed; the same command tries only those again"]
    );
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["published"], &told["skipped"], &told["bytes"]), (&json!(1), &json!(2), &json!(1000)));
    let failed = told["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 12);
    let song = json!({ "line": 7, "id": "song", "error": "there is no track nothing" });
    assert!(failed.contains(&song), "{failed:?}");
    assert_eq!(shop.titles()["Late"].2, [75]);

    // What was published stays what it is.
    shop.put("good.bin", &[7; 1001]);
    let one = shop.put("one.csv", b"id,title,file\nok1,Good 1,good.bin\n");
    let output = shop.publish(&one, &[]);
    let told = lines(&output.stderr);
    let title = shop.titles()["Good 1"].0;
    let expected = format!(
        "line 2 (id ok1): it was published with other files; publish these as a new release: \
         matinee publish --title-id {title} FILE…"
    );
    assert_eq!(told[0], expected);
    assert_eq!(shop.counts(), [3, 3, 2, 3]);
    let (file, title) = (shop.path("good.bin"), title.to_string());
    let words = ["publish", file.to_str().unwrap(), "--title-id", &title, "--publisher", "Label"];
    shop.run(&words);
    assert_eq!(shop.counts(), [3, 4, 2, 3], "as it was told to");

    // A track that is bought by one title is not taken by another.
    let tracks = shop.put("tracks.csv", b"id,name,artist,title\nt,Song,Band,");
    std::fs::write(&tracks, std::fs::read_to_string(&tracks).unwrap() + &title + "\n").unwrap();
    shop.run(&["catalogue", "import", &tracks]);
    let one = shop.put("one.csv", b"id,title,file,track\nnew,New,late.bin,t\n");
    let told = lines(&shop.publish(&one, &[]).stderr);
    assert_eq!(told[0], format!("line 2 (id new): the track has title {title} already"));
    assert_eq!(shop.counts(), [3, 4, 2, 3]);
}

fn a_list_that_cannot_be_read_changes_nothing(shop: &Shop) {
    shop.put("a.bin", &[7; 1000]);
    let good = "id,title,file\na,A,a.bin\nb,B,a.bin\n";
    for (name, text, told) in [
        ("l.csv", format!("{good}a,C,a.bin\n"), "line 4: id a stands in line 2 already"),
        (
            "l.csv",
            good.replace("title,", "title,mood,").replace("A,", "A,x,"),
            "line 2: unknown field `mood`",
        ),
        ("l.csv", format!("{good}c,C\n"), "line 4: "),
        (
            "l.jsonl",
            "{\"id\":\"a\",\"title\":\"A\",\"files\":[\"a.bin\"]}\n{\"id\":".to_owned(),
            "line 2: EOF",
        ),
        (
            "l.jsonl",
            "{\"id\":\"a\",\"title\":\"A\",\"files\":[\"a.bin\"],\"mood\":1}".to_owned(),
            "line 1: unknown field `mood`",
        ),
    ] {
        let list = shop.put(name, text.as_bytes());
        let words = shop.words(&list, &[]);
        let error = shop.house.fails(&words);
        assert!(error.starts_with(&format!("{list}: {told}")), "{error}");
    }
    assert!(shop.house.fails(&shop.words("nowhere.csv", &[])).starts_with("nowhere.csv: No such file"));
    let list = shop.put("l.csv", good.as_bytes());
    let euros = shop.words(&list, &["--rental", "1EUR"]);
    assert!(shop.house.fails(&euros).starts_with("this server's wallets are in USD"));
    assert_eq!((shop.counts(), shop.in_origin()), ([0; 4], 0));
    assert!(shop.acts().is_empty(), "no publisher was made either");

    let nothing = "0190d9e4-0000-7000-8000-000000000000";
    let server = ["--server", "http://127.0.0.1:1"];
    for (wrong, named) in [
        (vec!["a.bin"], "[FILE]..."),
        (vec!["--title", "A"], "--title <TITLE>"),
        (vec!["--title-id", nothing], "--title-id <TITLE_ID>"),
        (vec!["--resume", nothing], "--resume <RELEASE>"),
        (server.to_vec(), "--server <URL>"),
    ] {
        let words = [&["publish", "--list", &list], &wrong[..]].concat();
        let output = shop.house.run(&words, "");
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {told}");
        assert!(told.contains("'--list <LIST>' cannot be used with") && told.contains(named), "{told}");
    }
    assert_eq!(shop.house.run(&["publish", "--title", "A"], "").status.code(), Some(2), "files or a list");
    let unpriced = ["publish", "a.bin", "--title", "A", "--views", "3"];
    assert_eq!(shop.house.run(&unpriced, "").status.code(), Some(2), "views of what is not rented out");

    // A publisher that was made for nothing goes again.
    let list = shop.put("l.csv", b"id,title,file\na,A,gone.bin\n");
    assert_eq!(shop.publish(&list, &[]).status.code(), Some(1));
    let acts = shop.acts();
    assert_eq!(acts.keys().collect::<Vec<_>>(), ["account.add", "account.remove"]);
}

fn a_killed_command_is_gone_on_with(shop: &Shop) {
    const ROWS: usize = 40;
    let list = many(shop, ROWS);
    let mut kills = 0;
    for target in (1..ROWS).step_by(3) {
        let mut child = shop.start(&list);
        let reached = wait_for(&mut child, || shop.in_origin() >= target);
        child.kill().unwrap();
        child.wait().unwrap();
        kills += usize::from(reached);
    }
    assert!(kills > 5, "{kills}");
    let told = shop.published(&list);
    assert_eq!((&told["rows"], &told["failed"]), (&json!(ROWS), &json!([])));
    let titles = shop.titles();
    for at in 0..ROWS {
        let (_, published, prices) = &titles[&format!("Title {at}")];
        assert!(published.is_some(), "{at}");
        assert_eq!(prices, &vec![at as i64 + 1]);
    }
    assert_eq!((titles.len(), shop.in_origin()), (ROWS, ROWS));
    assert_eq!(shop.counts(), [ROWS as i64; 4]);
    let acts = shop.acts();
    for act in ["title.create", "release.create", "release.publish", "plan.create"] {
        assert_eq!(acts[act], ROWS, "{act}");
    }
    assert_eq!(shop.run(&["doctor"])["well"], true);
    assert_eq!(shop.published(&list)["skipped"], ROWS);
}

fn a_file_goes_on_where_it_stood(shop: &Shop) {
    const SEGMENT_BYTES: usize = 16 * 1024 * 1024;
    let list = shop.put("big.csv", b"id,title,file,rental\nbig,Big,big.bin,0.50USD\n");
    shop.put("big.bin", &vec![7; 12 * SEGMENT_BYTES]);
    let cut = || {
        let mut child = shop.start(&list);
        let cut = wait_for(&mut child, || arrived(shop).is_some_and(|(_, bytes)| bytes > 0));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(cut, "it was too fast");
        arrived(shop).unwrap()
    };
    let (release, bytes) = cut();
    assert!(bytes < 12 * SEGMENT_BYTES as u64, "it was too fast");
    assert_eq!(shop.counts(), [1, 1, 0, 1]);
    let segment = |release: ReleaseId| {
        let file = shop.house.data().join("objects").join(release.to_string()).join("0").join("00000000");
        Path::metadata(&file).unwrap().modified().unwrap()
    };
    let before = segment(release);
    assert_eq!(shop.published(&list)["published"], 1);
    assert_eq!(segment(release), before, "what had arrived is not sealed again");
    let (_, published, prices) = &shop.titles()["Big"];
    assert_eq!((published.as_ref().unwrap().id, prices), (release, &vec![50]));
    assert_eq!(shop.counts(), [1, 1, 1, 1]);

    // A row that says something else now begins anew, and nothing of what was under way is left.
    let rename = |id: &str, title: &str| {
        shop.put("big.csv", format!("id,title,file\n{id},{title},big.bin\n").as_bytes());
    };
    std::fs::remove_dir_all(shop.house.data().join("objects").join(release.to_string())).unwrap();
    rename("big2", "Big2");
    let (release, _) = cut();
    rename("big2", "Bigger");
    shop.put("big.bin", &[7; 1000]);
    assert_eq!(shop.published(&list)["published"], 1);
    let (after, bytes) = arrived(shop).expect("the objects of the first are gone");
    assert!(after != release && bytes == 1000, "{after} {bytes}");
    assert_eq!(shop.titles().into_keys().collect::<Vec<_>>(), ["Big", "Bigger"]);
    assert_eq!(shop.counts(), [2, 2, 1, 2]);
    assert_eq!((shop.acts()["title.remove"], shop.acts()["release.remove"]), (1, 1));
}

fn a_stopped_command_says_how_to_go_on(shop: &Shop) {
    const ROWS: usize = 90;
    let list = many(shop, ROWS);
    let mut child = shop.start(&list);
    assert!(wait_for(&mut child, || shop.in_origin() >= 8), "it was too fast");
    let asked = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(asked.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = lines(&output.stderr);
    let published: usize = told[0]
        .strip_prefix("matinee: stopped: ")
        .and_then(|rest| rest.strip_suffix(" titles were published; the same command goes on from there"))
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{told:?}"));
    assert!(published > 0 && published < ROWS && told.len() == 1, "{told:?}");
    let begun = format!("published {published} of {ROWS} rows, 0 were published before, 0 failed");
    assert_eq!(lines(&output.stdout)[0], begun);
    let told = shop.published(&list);
    // One that was all but published when it was stopped may count for neither.
    let sum = told["published"].as_u64().unwrap() + told["skipped"].as_u64().unwrap();
    assert!(sum == ROWS as u64 && told["skipped"].as_u64().unwrap() >= published as u64, "{told}");
    assert_eq!(shop.counts(), [ROWS as i64; 4]);
}

fn two_commands_make_one_title_of_a_row(shop: &Shop) {
    const ROWS: usize = 40;
    let list = many(shop, ROWS);
    let children = [shop.start(&list), shop.start(&list)];
    for child in children {
        // Where both were at one row, one of them may say so.
        let told = child.wait_with_output().unwrap();
        assert!(matches!(told.status.code(), Some(0 | 1)), "{told:?}");
    }
    assert_eq!(shop.published(&list)["failed"], json!([]));
    assert_eq!(shop.titles().len(), ROWS);
    assert_eq!((shop.counts(), shop.in_origin()), ([ROWS as i64; 4], ROWS));
    assert_eq!(shop.run(&["doctor"])["well"], true);
}

fn a_full_disk_stops_it(shop: &Shop) {
    const ROWS: usize = 40;
    shop.put("large.bin", &vec![7; 4 * 1024 * 1024]);
    let rows: String = (0..ROWS).map(|at| format!("t{at},Title {at},large.bin\n")).collect();
    let list = shop.put("list.csv", format!("id,title,file\n{rows}").as_bytes());
    // No file may grow beyond 3 MiB, which is told as an error and not by a signal.
    let command = shop.house.command(&shop.words(&list, &[]));
    let output = std::process::Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f 3072; exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args())
        .output()
        .unwrap();
    let told = lines(&output.stderr);
    let (last, rows) = told.split_last().unwrap();
    let expected = "matinee: stopped: the database or the object store fails row after row; \
                    the same command goes on from there";
    assert_eq!((output.status.code(), last.as_str()), (Some(1), expected), "{told:?}");
    assert!((8..ROWS).contains(&rows.len()) && rows[0].contains("the object store failed"), "{rows:?}");
    assert_eq!(shop.published(&list)["published"], ROWS);
    assert_eq!(shop.counts(), [ROWS as i64, ROWS as i64, 0, ROWS as i64]);
}
