//! Many devices at once.

use matinee_engine::{Config, Input, OriginPolicy};

use crate::lab::Spec;
use crate::{MB, SEEDS, film, policy, seeder, with};

#[test]
fn two_viewers_and_a_seeder_complete() {
    for seed in SEEDS {
        let mut lab = film(seed, 40);
        let seeder = lab.add(seeder());
        let viewers = [lab.add(Spec::default()), lab.add(Spec::default())];
        lab.connect_all();
        viewers.iter().for_each(|viewer| {
            lab.input(*viewer, Input::PeersExpected { count: 2 });
            lab.want_everything(*viewer);
        });
        lab.run_until(30_000, "both complete", |lab| viewers.iter().all(|viewer| lab.is_whole(*viewer)));
        for viewer in viewers {
            let node = &lab.nodes[viewer];
            assert!(node.store.iter().all(|(at, bytes)| lab.release.plays(at.chunk.get(), bytes)));
            assert_eq!(node.stats().peer_bytes, lab.release.bytes());
            assert_eq!(node.stats().wasted_bytes, 0, "{}", lab.report());
        }
        assert_eq!(lab.origin.served_bytes, 0, "peers were there, the origin was not needed");
        let given = lab.nodes[seeder].stats().uploaded_bytes;
        assert!(
            given < 2 * lab.release.bytes() * 9 / 10,
            "the viewers traded with each other: {}",
            lab.report()
        );
    }
}

/// Twenty viewers, one after the other or all at once, no seeder at all: the origin gives little more than one copy.
fn crowd(seed: u64, apart_ms: u64) -> f64 {
    let mut lab = film(seed, 160);
    let viewers: Vec<usize> =
        (0..20).map(|_| lab.add(Spec { up_bytes_per_s: 2 * MB, ..Spec::default() })).collect();
    for (turn, viewer) in viewers.iter().copied().enumerate() {
        lab.after(turn as u64 * apart_ms, move |lab| {
            lab.input(viewer, Input::PeersExpected { count: turn as u32 });
            (0..turn).for_each(|earlier| lab.connect(viewer, earlier));
            lab.play(viewer, 500_000, 60);
        });
    }
    lab.run_until(300_000, "everyone saw the film", |lab| {
        lab.nodes.iter().all(|node| node.player.as_ref().is_some_and(|player| player.done))
    });
    for viewer in viewers {
        let player = lab.nodes[viewer].player.as_ref().unwrap();
        assert_eq!(player.stalls, 0, "viewer {viewer}, seed {seed}\n{}", lab.report());
        assert!(player.first_chunk_ms.unwrap() < 1_500, "{player:?}");
    }
    let copies = lab.origin.served_bytes as f64 / lab.release.bytes() as f64;
    println!(
        "{apart_ms} ms apart, seed {seed}: the origin gave {copies:.2} copies to 20 viewers\n{}",
        lab.report()
    );
    copies
}

#[test]
fn twenty_viewers_take_about_one_copy() {
    for seed in SEEDS {
        assert!(crowd(seed, 3_000) < 2.0);
        assert!(crowd(seed, 0) < 4.6);
    }
}

#[test]
fn everyone_gets_a_turn_at_a_busy_seeder() {
    let mut lab = film(14, 120);
    lab.add(Spec {
        up_bytes_per_s: 3 * MB,
        config: Config { upload_slots: 2, ..Config::default() },
        ..seeder()
    });
    // These do not know each other, so all they get comes from the seeder.
    let getters: Vec<usize> = (0..8).map(|_| lab.add(with(policy(OriginPolicy::Never)))).collect();
    getters.iter().for_each(|getter| {
        lab.connect(0, *getter);
        lab.want_everything(*getter);
    });
    lab.run_for(40_000);
    let had: Vec<u64> = getters.iter().map(|getter| lab.nodes[*getter].stats().peer_bytes).collect();
    let (least, most) = (had.iter().min().unwrap(), had.iter().max().unwrap());
    assert!(*least * 2 > *most && *least > 5 * MB, "{had:?}\n{}", lab.report());
    assert!(had.iter().sum::<u64>() > 90 * MB, "the uplink is used: {had:?}");
    assert!(
        getters.iter().all(|getter| lab.nodes[*getter].reported.is_empty()),
        "a busy seeder is no bad one"
    );
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let history = |seed| {
        let mut lab = film(seed, 40);
        lab.add(seeder());
        (0..4).for_each(|_| {
            let viewer = lab.add(Spec::default());
            lab.play(viewer, 500_000, 30);
        });
        lab.connect_all();
        lab.run_for(20_000);
        lab.trace
    };
    assert_eq!(history(5), history(5));
    assert_ne!(history(5), history(6));
}

#[test]
fn connections_come_and_go() {
    for seed in SEEDS {
        let mut lab = film(seed, 100);
        lab.add(Spec { up_bytes_per_s: 2 * MB, ..seeder() });
        let viewers: Vec<usize> = (0..6).map(|_| lab.add(Spec::default())).collect();
        lab.connect_all();
        viewers.iter().for_each(|viewer| lab.play(*viewer, 500_000, 40));
        for round in 0..12u64 {
            lab.after(2_000 * round + 3_000, move |lab| {
                let one = (round % 7) as usize;
                let other = ((round * 3 + 1) % 7) as usize;
                if one != other {
                    lab.cut(one, other);
                    lab.connect(one, other);
                }
            });
        }
        lab.run_until(100_000, "everyone saw the film", |lab| {
            viewers.iter().all(|viewer| lab.nodes[*viewer].player.as_ref().unwrap().done)
        });
        for viewer in &viewers {
            assert_eq!(lab.nodes[*viewer].player.as_ref().unwrap().stalls, 0, "{}", lab.report());
            assert!(lab.nodes[*viewer].remembered.is_empty(), "no honest peer is refused: {}", lab.report());
        }
    }
}
