//! Peers and the origin making up for each other.

use matinee_engine::OriginPolicy;
use matinee_protocol::id::ChunkAddress;

use crate::lab::{Lab, Spec};
use crate::{MB, SEEDS, film, policy, seeder, with};

#[test]
fn seeder_dies_mid_chunk() {
    for seed in SEEDS {
        let mut lab = film(seed, 80);
        let seeder = lab.add(Spec { up_bytes_per_s: 2 * MB, ..seeder() });
        let viewer = lab.add(Spec::default());
        lab.connect_all();
        lab.play(viewer, 500_000, 40);
        lab.after(4_030, move |lab| lab.kill(seeder));
        lab.run_until(60_000, "the film was played", |lab| lab.nodes[viewer].player.as_ref().unwrap().done);
        let stats = lab.nodes[viewer].stats();
        assert_eq!(lab.nodes[viewer].player.as_ref().unwrap().stalls, 0, "{}", lab.report());
        assert!(stats.peer_bytes > 2 * MB && stats.origin_bytes > 2 * MB, "{}", lab.report());
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
        lab.run_until(60_000, "the film was played", |lab| lab.nodes[viewer].player.as_ref().unwrap().done);
        assert_eq!(lab.nodes[viewer].player.as_ref().unwrap().stalls, 0, "{}", lab.report());
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
        assert!((4..=10).contains(&stats.origin_corrupt_chunks), "{}", lab.report());
        lab.run_until(20_000, "complete", |lab| lab.is_whole(viewer));
    }
}

#[test]
fn origin_down_with_peers_up() {
    for seed in SEEDS {
        let mut lab = film(seed, 80);
        lab.origin.up = false;
        let first = lab.add(Spec { up_bytes_per_s: MB, ..seeder() });
        lab.add(Spec { up_bytes_per_s: MB, ..seeder() });
        let viewer = lab.add(Spec::default());
        lab.connect_all();
        lab.run_for(1_000);
        lab.play(viewer, 500_000, 40);
        lab.run_until(60_000, "the film was played", |lab| lab.nodes[viewer].player.as_ref().unwrap().done);
        assert_eq!(lab.nodes[viewer].player.as_ref().unwrap().stalls, 0, "{}", lab.report());
        assert!(lab.nodes[first].stats().uploaded_bytes > 5 * MB, "both seeders serve: {}", lab.report());
    }
}

#[test]
fn slow_peers_are_helped_out_near_the_playhead() {
    for seed in SEEDS {
        let mut lab = film(seed, 80);
        (0..4).for_each(|_| {
            lab.add(Spec { up_bytes_per_s: 60_000, ..seeder() });
        });
        let viewer = lab.add(Spec::default());
        lab.connect_to_all(viewer);
        lab.play(viewer, 700_000, 40);
        lab.run_until(60_000, "the film was played", |lab| lab.nodes[viewer].player.as_ref().unwrap().done);
        let stats = lab.nodes[viewer].stats();
        assert_eq!(lab.nodes[viewer].player.as_ref().unwrap().stalls, 0, "{}", lab.report());
        assert!(stats.origin_bytes > lab.release.bytes() / 2, "{}", lab.report());
        assert!(stats.peer_bytes > MB, "slow peers still help: {}", lab.report());
    }
}

#[test]
fn alone_the_origin_is_used_at_once() {
    let mut lab = film(9, 40);
    let viewer = lab.add(Spec::default());
    lab.play(viewer, 500_000, 40);
    lab.run_until(500, "first chunk", |lab| {
        lab.nodes[viewer].player.as_ref().unwrap().first_chunk_ms.is_some()
    });
    lab.run_until(30_000, "the film was played", |lab| lab.nodes[viewer].player.as_ref().unwrap().done);
    let node = &lab.nodes[viewer];
    assert_eq!(node.player.as_ref().unwrap().stalls, 0, "{}", lab.report());
    assert_eq!(lab.origin.served_bytes, lab.release.bytes());
    assert!(node.origin_requests <= 10, "runs are coalesced: {}", node.origin_requests);
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
    lab.run_until(20_000, "both complete", |lab| lab.is_whole(never) && lab.is_whole(only));
    assert_eq!((lab.nodes[never].origin_requests, lab.nodes[never].page_requests), (0, 0));
    assert_eq!(lab.nodes[only].stats().peer_bytes, 0);
    assert!(lab.nodes[only].ready.is_empty());
}

#[test]
fn without_a_playhead_the_origin_waits_for_peers_to_fail() {
    let mut lab = film(11, 60);
    let seeder = lab.add(Spec { up_bytes_per_s: MB, ..seeder() });
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
fn the_first_megabyte_comes_in_one_run() {
    let mut lab = film(19, 100);
    lab.add(seeder());
    let viewer = lab.add(Spec::default());
    lab.connect_all();
    // A slow film: by deadlines alone the second chunk would be asked for seconds later.
    lab.play(viewer, 60_000, 30);
    lab.run_for(320);
    let node = &lab.nodes[viewer];
    assert_eq!(node.origin_requests, 1);
    assert_eq!(node.store.len(), 4, "{}", lab.report());
    lab.run_for(20_000);
    assert_eq!(lab.origin.served_bytes, 4 * 262_160, "the rest is the peers': {}", lab.report());
}

#[test]
fn reading_ahead_does_not_drive_everything_to_the_origin() {
    for seed in SEEDS {
        let mut lab = film(seed, 200);
        lab.add(Spec { up_bytes_per_s: 2 * MB, ..seeder() });
        let viewer = lab.add(Spec::default());
        lab.connect_all();
        lab.run_for(1_000);
        lab.play(viewer, 400_000, 60);
        lab.nodes[viewer].player.as_mut().unwrap().greedy = true;
        lab.run_until(60_000, "the film was read", |lab| lab.nodes[viewer].player.as_ref().unwrap().done);
        let stats = lab.nodes[viewer].stats();
        assert!(stats.offload() > 0.95, "{}", lab.report());
        assert!(lab.elapsed_ms() < 33_000, "the seeder's uplink is used: {}", lab.report());
    }
}

/// What nobody could be asked for is asked for as soon as somebody has it, not at the next look a second later.
#[test]
fn a_late_seeder_is_asked_at_once() {
    for seed in SEEDS {
        let mut lab = film(seed, 20);
        let bystander = lab.add(with(policy(OriginPolicy::Never)));
        let seeder = lab.add(seeder());
        let getter = lab.add(with(policy(OriginPolicy::Never)));
        lab.want_everything(getter);
        lab.connect(bystander, getter);
        lab.run_for(550);
        lab.connect(seeder, getter);
        let ready = |lab: &Lab| lab.nodes[getter].ready.contains(&lab.nodes[seeder].id);
        lab.run_until(1_000, "the seeder is ready", ready);
        // Inventory, page and a chunk of 52 ms at 5 MB/s, each with 20 ms and some of latency.
        lab.run_until(300, "the first chunk", |lab| !lab.nodes[getter].store.is_empty());
        lab.run_until(10_000, "complete", |lab| lab.is_whole(getter));
    }
}

/// An origin that failed often is left alone for long; a peer that comes meanwhile is not.
#[test]
fn a_failing_origin_does_not_keep_pages_from_peers() {
    let mut lab = film(25, 20);
    lab.origin.up = false;
    let seeder = lab.add(seeder());
    let getter = lab.add(Spec::default());
    lab.want_everything(getter);
    lab.run_for(40_000);
    let asked = lab.nodes[getter].page_requests;
    assert!((4..=10).contains(&asked), "{asked} times in 40 s");
    lab.connect(seeder, getter);
    lab.run_until(700, "the first chunk", |lab| !lab.nodes[getter].store.is_empty());
    assert_eq!(lab.nodes[getter].page_requests, asked, "the origin is not asked early");
}
