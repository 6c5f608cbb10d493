//! A house with a supplier's folder of files and lists, over either database, and what came of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Output};
use std::sync::Arc;
use std::time::Duration;

use matinee_protocol::id::{FileIndex, ReleaseId, TitleId};
use matinee_server::store::page::Asked;
use matinee_server::store::{Store, audit, copy, plan, release, title};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::House;
use crate::postgres::Cluster;

/// How long a program under test may take to come to a point.
const WAIT_MS_MAX: u64 = 120_000;
/// How often it is looked at.
const LOOK_MS: u64 = 5;

/// A house over one of the databases, with a folder for a supplier's files.
pub struct Shop {
    pub house: House,
    pub address: String,
    runtime: Runtime,
    _cluster: Option<Arc<Cluster>>,
}

impl Shop {
    pub fn sqlite() -> Self {
        let house = House::new();
        let address = format!("sqlite:{}", house.data().join("matinee.db").display());
        Self { house, address, runtime: Runtime::new().unwrap(), _cluster: None }
    }

    pub fn postgres() -> Self {
        let (house, runtime, cluster) = (House::new(), Runtime::new().unwrap(), Cluster::shared());
        let address = runtime.block_on(cluster.database());
        Self { house, address, runtime, _cluster: Some(cluster) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.house.0.path().join("in").join(name)
    }

    /// Puts a file into the supplier's folder.
    pub fn put(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// What publishes a list.
    pub fn words<'a>(&'a self, list: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let words = ["publish", "--list", list, "--publisher", "Label", "--store", &self.address];
        [&words[..], more].concat()
    }

    pub fn publish(&self, list: &str, more: &[&str]) -> Output {
        self.house.run(&self.words(list, more), "")
    }

    /// Publishes what must come through, and gives what was told.
    pub fn published(&self, list: &str) -> Value {
        self.house.json(&self.words(list, &["--json"]))
    }

    pub fn run(&self, words: &[&str]) -> Value {
        self.house.json(&[words, &["--store", &self.address, "--json"]].concat())
    }

    pub fn store<T>(&self, work: impl AsyncFnOnce(&Store) -> T) -> T {
        self.runtime.block_on(async {
            let store = Store::open(&self.address).await.unwrap();
            store.migrate().await.unwrap();
            let done = work(&store).await;
            store.close().await;
            done
        })
    }

    /// How many rows some tables have: titles, releases, plans, what is known by a reference.
    pub fn counts(&self) -> [i64; 4] {
        self.store(async |store| {
            let mut tx = store.read().await.unwrap();
            let mut counts = BTreeMap::new();
            for table in copy::tables().await.unwrap() {
                counts.insert(table.name().to_owned(), copy::count(&mut tx, &table).await.unwrap());
            }
            ["titles", "releases", "plans", "supplied_titles"].map(|name| counts[name])
        })
    }

    /// The titles by name, each with its published release and the prices of its plans.
    pub fn titles(&self) -> BTreeMap<String, (TitleId, Option<release::Release>, Vec<i64>)> {
        self.store(async |store| {
            let mut tx = store.read().await.unwrap();
            let mut titles = BTreeMap::new();
            for found in title::listed(&mut tx, None, &Asked::first(1000)).await.unwrap().rows {
                let published = release::latest_published(&mut tx, found.id).await.unwrap();
                let plans = plan::by_title(&mut tx, found.id).await.unwrap();
                let prices = plans.iter().map(|plan| plan.price.minor).collect();
                let before = titles.insert(found.name.clone(), (found.id, published, prices));
                assert!(before.is_none(), "{} is there twice", found.name);
            }
            titles
        })
    }

    /// Which acts the trail has, and how often.
    pub fn acts(&self) -> BTreeMap<String, usize> {
        self.store(async |store| {
            let mut tx = store.read().await.unwrap();
            let mut acts = BTreeMap::new();
            for act in audit::listed(&mut tx, None, &Asked::first(1000)).await.unwrap().rows {
                *acts.entry(act.action).or_default() += 1;
            }
            acts
        })
    }

    /// Releases of which the origin has anything.
    pub fn in_origin(&self) -> usize {
        std::fs::read_dir(self.house.data().join("objects")).map_or(0, Iterator::count)
    }

    pub fn start(&self, list: &str) -> Child {
        self.house.command(&self.words(list, &[])).spawn().unwrap()
    }
}

/// Looks until something holds or the program has ended; whether it holds.
pub fn wait_for(child: &mut Child, mut holds: impl FnMut() -> bool) -> bool {
    for _ in 0..WAIT_MS_MAX / LOOK_MS {
        if holds() {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(LOOK_MS));
    }
    panic!("it takes too long");
}

pub fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

/// So many rows, fewer than a hundred, of files that differ.
pub fn many(shop: &Shop, rows: usize) -> String {
    let mut list = "id,title,file,rental\n".to_owned();
    for at in 0..rows {
        shop.put(&format!("{at}.bin"), &vec![at as u8; 70_000 + at]);
        list += &format!("t{at},Title {at},{at}.bin,0.{:02}USD\n", at + 1);
    }
    shop.put("many.csv", list.as_bytes())
}

/// The one release that there is, and how much of its file has arrived.
pub fn arrived(shop: &Shop) -> Option<(ReleaseId, u64)> {
    let objects = std::fs::read_dir(shop.house.data().join("objects")).ok()?;
    let names: Vec<_> = objects.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let [name] = &names[..] else { return None };
    let release: ReleaseId = name.parse().unwrap();
    let file = shop.store(async |store| {
        release::file(&mut store.read().await.unwrap(), release, FileIndex(0)).await.unwrap()
    });
    Some((release, file?.uploaded_bytes))
}
