//! Swarms in virtual time. Every scenario prints its seed; the laboratory checks its invariants at every step.

mod lab;

use std::rc::Rc;

use lab::{EVERY_LIE, Lab, Lie, Release, Spec};
use matinee_engine::{Config, Fault, Input, OriginPolicy, Want};
use matinee_protocol::frame::Reason;
use matinee_protocol::id::ChunkAddress;

const SEEDS: [u64; 3] = [1, 20_061, 0xfeed_beef];
const MB: u64 = 1_000_000;

fn film(seed: u64, chunks: u32) -> Lab {
    Lab::new(seed, Rc::new(Release::film(seed, chunks)))
}

fn seeder() -> Spec {
    Spec {
        seeder: true,
        ..Spec::default()
    }
}

fn with(config: Config) -> Spec {
    Spec {
        config,
        ..Spec::default()
    }
}

fn policy(origin: OriginPolicy) -> Config {
    Config {
        origin,
        ..Config::default()
    }
}

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
        lab.run_until(30_000, "both complete", |lab| {
            viewers.iter().all(|viewer| lab.is_whole(*viewer))
        });
        for viewer in viewers {
            let node = &lab.nodes[viewer];
            assert!(
                node.store
                    .iter()
                    .all(|(at, bytes)| lab.release.plays(at.chunk.get(), bytes))
            );
            assert_eq!(node.stats().peer_bytes, lab.release.bytes());
            assert_eq!(node.stats().wasted_bytes, 0, "{}", lab.report());
        }
        assert_eq!(
            lab.origin.served_bytes, 0,
            "peers were there, the origin was not needed"
        );
        let given = lab.nodes[seeder].stats().uploaded_bytes;
        assert!(
            given < 2 * lab.release.bytes() * 9 / 10,
            "the viewers traded with each other: {}",
            lab.report()
        );
    }
}

/// One liar, an honest but slower seeder, and the origin: the film plays as if the liar were not there.
fn plays_in_spite_of(lie: Lie, seed: u64) {
    let mut lab = film(seed, 200);
    let honest = lab.add(Spec {
        up_bytes_per_s: MB,
        ..seeder()
    });
    let upload_bytes_per_s_max = (lie == Lie::TooSlow).then_some(3_000);
    let config = Config {
        upload_bytes_per_s_max,
        ..Config::default()
    };
    let liar = lab.add(Spec {
        lie: Some(lie),
        up_bytes_per_s: 20 * MB,
        ..with(config)
    });
    let viewer = lab.add(Spec::default());
    // The wrong page can only be asked for if nobody else is asked first.
    if lie != Lie::WrongPage {
        lab.connect(viewer, honest);
    }
    // Someone to overhear.
    let other = lab.add(Spec::default());
    lab.connect(other, honest);
    lab.run_for(1_000);
    lab.connect(viewer, liar);
    lab.run_for(1_000);
    if lie == Lie::WrongPage {
        lab.connect(viewer, honest);
    }
    lab.play(viewer, 400_000, 60);
    lab.run_until(250_000, "the film was played", |lab| {
        lab.nodes[viewer].player.as_ref().unwrap().done
    });
    let node = &lab.nodes[viewer];
    let player = node.player.as_ref().unwrap();
    assert_eq!(
        player.stalls,
        0,
        "{lie:?} made playback wait (seed {seed})\n{}",
        lab.report()
    );
    assert!(
        player.first_chunk_ms.unwrap() < 1_500,
        "{lie:?} delayed the first frame: {player:?}"
    );
    assert!(lab.is_whole(viewer), "{}", lab.report());
    let (liar_id, liar_device) = (lab.nodes[liar].id, lab.nodes[liar].thumbprint());
    let expected = match lie {
        Lie::WrongBytes | Lie::OldRelease | Lie::WrongPage => Fault::BadData,
        Lie::OtherChunks | Lie::TooMuch | Lie::BeyondTheEnd | Lie::Unasked | Lie::Garbage => Fault::Protocol,
        Lie::TooSlow | Lie::Nothing => Fault::TooSlow,
        Lie::EmptyPromises => Fault::EmptyPromises,
        Lie::ReplayedHello => Fault::NotAuthorized,
    };
    assert_eq!(
        node.reported,
        vec![(liar_id, expected)],
        "{lie:?}\n{}",
        lab.report()
    );
    if lie == Lie::ReplayedHello {
        assert!(node.remembered.is_empty(), "the robbed device is not to blame");
        assert!(!node.ready.contains(&liar_id));
    } else {
        assert_eq!(node.remembered.get(&liar_device), Some(&expected));
        assert_eq!(node.remembered.len(), 1);
    }
    let reason = node
        .closed
        .iter()
        .find(|(peer, _)| *peer == liar_id)
        .map(|(_, reason)| *reason);
    assert_eq!(
        reason == Some(Reason::BadData),
        expected == Fault::BadData,
        "{lie:?} {reason:?}"
    );
    // It comes back and is refused.
    let closed = node.closed.len();
    lab.connect(viewer, liar);
    lab.run_for(3_000);
    assert_eq!(
        lab.nodes[viewer].closed.len(),
        closed + 1,
        "{lie:?} was let in again"
    );
}

#[test]
fn no_liar_reaches_playback() {
    for lie in EVERY_LIE {
        println!("{lie:?}");
        plays_in_spite_of(lie, 4);
    }
}

#[test]
fn no_liar_reaches_playback_whatever_the_seed() {
    for seed in SEEDS {
        for lie in [Lie::WrongBytes, Lie::TooSlow, Lie::Nothing, Lie::OtherChunks] {
            plays_in_spite_of(lie, seed);
        }
    }
}

#[test]
fn seeder_dies_mid_chunk() {
    for seed in SEEDS {
        let mut lab = film(seed, 80);
        let seeder = lab.add(Spec {
            up_bytes_per_s: 2 * MB,
            ..seeder()
        });
        let viewer = lab.add(Spec::default());
        lab.connect_all();
        lab.play(viewer, 500_000, 40);
        lab.after(4_030, move |lab| lab.kill(seeder));
        lab.run_until(60_000, "the film was played", |lab| {
            lab.nodes[viewer].player.as_ref().unwrap().done
        });
        let stats = lab.nodes[viewer].stats();
        assert_eq!(
            lab.nodes[viewer].player.as_ref().unwrap().stalls,
            0,
            "{}",
            lab.report()
        );
        assert!(
            stats.peer_bytes > 2 * MB && stats.origin_bytes > 2 * MB,
            "{}",
            lab.report()
        );
    }
}

#[test]
fn corrupt_origin_is_never_stored() {
    for seed in SEEDS {
        // With a seeder: the peers give what the origin corrupts.
        let mut lab = film(seed, 60);
        lab.origin.corrupt = (0..60).map(|chunk| ChunkAddress::new(0, chunk)).collect();
        lab.add(seeder());
        let viewer = lab.add(Spec::default());
        lab.connect_all();
        lab.play(viewer, 500_000, 40);
        lab.run_until(60_000, "the film was played", |lab| {
            lab.nodes[viewer].player.as_ref().unwrap().done
        });
        assert_eq!(
            lab.nodes[viewer].player.as_ref().unwrap().stalls,
            0,
            "{}",
            lab.report()
        );
        assert!(lab.nodes[viewer].stats().origin_corrupt_chunks > 0);
        assert_eq!(lab.nodes[viewer].stats().origin_bytes, 0);

        // Alone: it waits, asks again with growing pauses, and goes on once the origin is mended.
        let mut lab = film(seed, 20);
        lab.origin.corrupt = [ChunkAddress::new(0, 3), ChunkAddress::new(0, 11)].into();
        let viewer = lab.add(Spec::default());
        lab.want_everything(viewer);
        lab.after(12_000, |lab| lab.origin.corrupt.clear());
        lab.run_for(11_900);
        let stats = lab.nodes[viewer].stats();
        assert_eq!(stats.chunks_held, 18, "{}", lab.report());
        assert!(
            (4..=10).contains(&stats.origin_corrupt_chunks),
            "{}",
            lab.report()
        );
        lab.run_until(20_000, "complete", |lab| lab.is_whole(viewer));
    }
}

#[test]
fn origin_down_with_peers_up() {
    for seed in SEEDS {
        let mut lab = film(seed, 80);
        lab.origin.up = false;
        let first = lab.add(Spec {
            up_bytes_per_s: MB,
            ..seeder()
        });
        lab.add(Spec {
            up_bytes_per_s: MB,
            ..seeder()
        });
        let viewer = lab.add(Spec::default());
        lab.connect_all();
        lab.run_for(1_000);
        lab.play(viewer, 500_000, 40);
        lab.run_until(60_000, "the film was played", |lab| {
            lab.nodes[viewer].player.as_ref().unwrap().done
        });
        assert_eq!(
            lab.nodes[viewer].player.as_ref().unwrap().stalls,
            0,
            "{}",
            lab.report()
        );
        assert!(
            lab.nodes[first].stats().uploaded_bytes > 5 * MB,
            "both seeders serve: {}",
            lab.report()
        );
    }
}

#[test]
fn slow_peers_are_helped_out_near_the_playhead() {
    for seed in SEEDS {
        let mut lab = film(seed, 80);
        (0..4).for_each(|_| {
            lab.add(Spec {
                up_bytes_per_s: 60_000,
                ..seeder()
            });
        });
        let viewer = lab.add(Spec::default());
        lab.connect_to_all(viewer);
        lab.play(viewer, 700_000, 40);
        lab.run_until(60_000, "the film was played", |lab| {
            lab.nodes[viewer].player.as_ref().unwrap().done
        });
        let stats = lab.nodes[viewer].stats();
        assert_eq!(
            lab.nodes[viewer].player.as_ref().unwrap().stalls,
            0,
            "{}",
            lab.report()
        );
        assert!(stats.origin_bytes > lab.release.bytes() / 2, "{}", lab.report());
        assert!(stats.peer_bytes > MB, "slow peers still help: {}", lab.report());
    }
}

/// Twenty viewers, one after the other or all at once, no seeder at all: the origin gives little more than one copy.
fn crowd(seed: u64, apart_ms: u64) -> f64 {
    let mut lab = film(seed, 160);
    let viewers: Vec<usize> = (0..20)
        .map(|_| {
            lab.add(Spec {
                up_bytes_per_s: 2 * MB,
                ..Spec::default()
            })
        })
        .collect();
    for (turn, viewer) in viewers.iter().copied().enumerate() {
        lab.after(turn as u64 * apart_ms, move |lab| {
            lab.input(viewer, Input::PeersExpected { count: turn as u32 });
            (0..turn).for_each(|earlier| lab.connect(viewer, earlier));
            lab.play(viewer, 500_000, 60);
        });
    }
    lab.run_until(300_000, "everyone saw the film", |lab| {
        lab.nodes
            .iter()
            .all(|node| node.player.as_ref().is_some_and(|player| player.done))
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
        assert!(crowd(seed, 0) < 5.5);
    }
}

#[test]
fn alone_the_origin_is_used_at_once() {
    let mut lab = film(9, 40);
    let viewer = lab.add(Spec::default());
    lab.play(viewer, 500_000, 40);
    lab.run_until(500, "first chunk", |lab| {
        lab.nodes[viewer]
            .player
            .as_ref()
            .unwrap()
            .first_chunk_ms
            .is_some()
    });
    lab.run_until(30_000, "the film was played", |lab| {
        lab.nodes[viewer].player.as_ref().unwrap().done
    });
    let node = &lab.nodes[viewer];
    assert_eq!(node.player.as_ref().unwrap().stalls, 0, "{}", lab.report());
    assert_eq!(lab.origin.served_bytes, lab.release.bytes());
    assert!(
        node.origin_requests <= 10,
        "runs are coalesced: {}",
        node.origin_requests
    );
}

#[test]
fn policies_hold() {
    let mut lab = film(10, 30);
    lab.add(seeder());
    let never = lab.add(with(policy(OriginPolicy::Never)));
    let only = lab.add(with(policy(OriginPolicy::Only)));
    lab.connect_all();
    lab.want_everything(never);
    lab.want_everything(only);
    lab.run_until(20_000, "both complete", |lab| {
        lab.is_whole(never) && lab.is_whole(only)
    });
    assert_eq!(
        (lab.nodes[never].origin_requests, lab.nodes[never].page_requests),
        (0, 0)
    );
    assert_eq!(lab.nodes[only].stats().peer_bytes, 0);
    assert!(lab.nodes[only].ready.is_empty());
}

#[test]
fn without_a_playhead_the_origin_waits_for_peers_to_fail() {
    let mut lab = film(11, 60);
    let seeder = lab.add(Spec {
        up_bytes_per_s: MB,
        ..seeder()
    });
    let getter = lab.add(Spec::default());
    lab.connect_all();
    lab.want_everything(getter);
    lab.run_for(6_000);
    assert_eq!(lab.origin.served_bytes, 0, "{}", lab.report());
    lab.kill(seeder);
    lab.run_until(20_000, "complete", |lab| lab.is_whole(getter));
    assert!(lab.nodes[getter].stats().origin_bytes > 0);
}

#[test]
fn members_leave_when_their_token_ends_and_stay_when_it_is_renewed() {
    let mut lab = film(12, 4);
    lab.token_ms = 60_000;
    let (one, other) = (lab.add(seeder()), lab.add(Spec::default()));
    lab.connect_all();
    lab.run_for(80_000);
    assert_eq!(lab.nodes[one].stats().peers.len(), 1);
    lab.run_for(15_000);
    assert_eq!(
        lab.nodes[one].stats().peers.len(),
        0,
        "30 s after the end of the token"
    );
    assert_eq!(lab.nodes[one].closed[0].1, Reason::NotAuthorized);

    lab.connect_all();
    lab.run_for(50_000);
    lab.renew(one, other);
    lab.renew(other, one);
    lab.run_for(50_000);
    assert_eq!(lab.nodes[one].stats().peers.len(), 1, "{}", lab.report());
    assert_eq!(lab.nodes[other].stats().peers.len(), 1);
}

#[test]
fn uploads_keep_under_the_cap() {
    let mut lab = film(13, 60);
    let capped = Config {
        upload_bytes_per_s_max: Some(500_000),
        ..Config::default()
    };
    let seeder = lab.add(Spec {
        seeder: true,
        ..with(capped)
    });
    let getter = lab.add(with(policy(OriginPolicy::Never)));
    lab.connect_all();
    lab.want_everything(getter);
    lab.run_for(10_000);
    let given = lab.nodes[seeder].stats().uploaded_bytes;
    assert!((3_500_000..5_300_000).contains(&given), "{given}");
}

#[test]
fn everyone_gets_a_turn_at_a_busy_seeder() {
    let mut lab = film(14, 120);
    lab.add(Spec {
        up_bytes_per_s: 3 * MB,
        config: Config {
            upload_slots: 2,
            ..Config::default()
        },
        ..seeder()
    });
    // These do not know each other, so all they get comes from the seeder.
    let getters: Vec<usize> = (0..8)
        .map(|_| lab.add(with(policy(OriginPolicy::Never))))
        .collect();
    getters.iter().for_each(|getter| {
        lab.connect(0, *getter);
        lab.want_everything(*getter);
    });
    lab.run_for(40_000);
    let had: Vec<u64> = getters
        .iter()
        .map(|getter| lab.nodes[*getter].stats().peer_bytes)
        .collect();
    let (least, most) = (had.iter().min().unwrap(), had.iter().max().unwrap());
    assert!(*least * 2 > *most && *least > 5 * MB, "{had:?}\n{}", lab.report());
    assert!(had.iter().sum::<u64>() > 90 * MB, "the uplink is used: {had:?}");
    assert!(
        getters
            .iter()
            .all(|getter| lab.nodes[*getter].reported.is_empty()),
        "a busy seeder is no bad one"
    );
}

#[test]
fn receipts_add_up_to_what_was_given() {
    let mut lab = film(15, 80);
    let seeder = lab.add(Spec {
        up_bytes_per_s: 10 * MB,
        ..seeder()
    });
    let getter = lab.add(Spec::default());
    lab.connect_all();
    lab.want_everything(getter);
    lab.run_until(20_000, "8 MiB receipt", |lab| {
        !lab.nodes[seeder].receipts.is_empty()
    });
    lab.run_until(20_000, "complete", |lab| lab.is_whole(getter));
    lab.input(getter, Input::Leave);
    lab.run_for(1_000);
    let receipt = &lab.nodes[seeder].receipts[&lab.nodes[getter].thumbprint()];
    assert_eq!(receipt.total_bytes, lab.release.bytes());
    assert_eq!(
        lab.nodes[getter].closed,
        vec![(lab.nodes[seeder].id, Reason::Leaving)]
    );
    assert!(
        lab.nodes[getter].swarm.next_wakeup_ms().is_none(),
        "nothing goes on after leaving"
    );
    assert_eq!(lab.nodes[seeder].stats().peers.len(), 0);
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
fn a_seek_calls_off_what_is_no_longer_needed() {
    let mut lab = film(16, 400);
    lab.add(Spec {
        up_bytes_per_s: MB,
        ..seeder()
    });
    let viewer = lab.add(Spec::default());
    lab.connect_all();
    lab.play(viewer, 300_000, 40);
    lab.run_for(5_000);
    lab.nodes[viewer].player.as_mut().unwrap().next = 300;
    lab.run_for(2_000);
    let node = &lab.nodes[viewer];
    assert!(node.swarm.holds(ChunkAddress::new(0, 301)), "{}", lab.report());
    let between = node
        .store
        .keys()
        .filter(|at| (80..299).contains(&at.chunk.get()))
        .count();
    assert_eq!(between, 0, "what lies between is not fetched");
    let player = node.player.as_ref().unwrap();
    assert!(
        player.stalled_us < 800_000,
        "a seek lands within the second: {player:?}"
    );
    lab.run_until(120_000, "the end was played", |lab| {
        lab.nodes[viewer].player.as_ref().unwrap().done
    });
}

#[test]
fn connections_come_and_go() {
    for seed in SEEDS {
        let mut lab = film(seed, 100);
        lab.add(Spec {
            up_bytes_per_s: 2 * MB,
            ..seeder()
        });
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
            viewers
                .iter()
                .all(|viewer| lab.nodes[*viewer].player.as_ref().unwrap().done)
        });
        for viewer in &viewers {
            assert_eq!(
                lab.nodes[*viewer].player.as_ref().unwrap().stalls,
                0,
                "{}",
                lab.report()
            );
            assert!(
                lab.nodes[*viewer].remembered.is_empty(),
                "no honest peer is refused: {}",
                lab.report()
            );
        }
    }
}

#[test]
fn several_files_and_wishes() {
    let sizes = [3_000_000, 0, 500, 2_000_000, 262_144];
    let mut lab = Lab::new(17, Rc::new(Release::new(17, &sizes)));
    lab.add(seeder());
    let getter = lab.add(Spec::default());
    lab.connect_all();
    let want = Want::Only(vec![
        (3.into(), 2.into(), 4),
        (0.into(), 1.into(), 2),
        (9.into(), 0.into(), 5),
    ]);
    lab.input(getter, Input::Want { want });
    lab.run_for(5_000);
    let held: Vec<(u32, u32)> = lab.nodes[getter]
        .store
        .keys()
        .map(|at| (at.file.get(), at.chunk.get()))
        .collect();
    assert_eq!(held, vec![(0, 1), (0, 2), (3, 2), (3, 3), (3, 4), (3, 5)]);
    lab.want_everything(getter);
    lab.run_until(10_000, "complete", |lab| lab.is_whole(getter));
    assert_eq!(lab.nodes[getter].stats().chunks_missing, 0);
}

#[test]
fn a_lost_chunk_is_fetched_again() {
    let mut lab = film(18, 20);
    lab.add(seeder());
    let getter = lab.add(Spec::default());
    lab.connect_all();
    lab.want_everything(getter);
    lab.run_until(10_000, "complete", |lab| lab.is_whole(getter));
    let at = ChunkAddress::new(0, 7);
    lab.nodes[getter].store.remove(&at);
    lab.input(getter, Input::Lost { at });
    assert!(!lab.nodes[getter].swarm.holds(at));
    lab.run_until(5_000, "fetched again", |lab| lab.is_whole(getter));
}
