//! What two or three devices do to the letter: receipts, tokens, caps, wishes.

use std::rc::Rc;

use matinee_engine::{Config, Input, OriginPolicy, Want};
use matinee_protocol::frame::Reason;
use matinee_protocol::id::ChunkAddress;

use crate::lab::{Lab, Release, Spec};
use crate::{MB, film, policy, seeder, with};

#[test]
fn members_leave_when_their_token_ends_and_stay_when_it_is_renewed() {
    let mut lab = film(12, 4);
    lab.token_ms = 60_000;
    let (one, other) = (lab.add(seeder()), lab.add(Spec::default()));
    lab.connect_all();
    lab.run_for(80_000);
    assert_eq!(lab.nodes[one].stats().peers.len(), 1);
    lab.run_for(15_000);
    assert_eq!(lab.nodes[one].stats().peers.len(), 0, "30 s after the end of the token");
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
    let capped = Config { upload_bytes_per_s_max: Some(500_000), ..Config::default() };
    let seeder = lab.add(Spec { seeder: true, ..with(capped) });
    let getter = lab.add(with(policy(OriginPolicy::Never)));
    lab.connect_all();
    lab.want_everything(getter);
    lab.run_for(10_000);
    let given = lab.nodes[seeder].stats().uploaded_bytes;
    assert!((3_500_000..5_300_000).contains(&given), "{given}");
}

#[test]
fn receipts_add_up_to_what_was_given() {
    let mut lab = film(15, 80);
    let seeder = lab.add(Spec { up_bytes_per_s: 10 * MB, ..seeder() });
    let getter = lab.add(Spec::default());
    lab.connect_all();
    lab.want_everything(getter);
    lab.run_until(20_000, "8 MiB receipt", |lab| !lab.nodes[seeder].receipts.is_empty());
    lab.run_until(20_000, "complete", |lab| lab.is_whole(getter));
    lab.input(getter, Input::Leave);
    lab.run_for(1_000);
    let receipt = &lab.nodes[seeder].receipts[&lab.nodes[getter].thumbprint()];
    assert_eq!(receipt.total_bytes, lab.release.bytes());
    assert_eq!(lab.nodes[getter].closed, vec![(lab.nodes[seeder].id, Reason::Leaving)]);
    assert!(lab.nodes[getter].swarm.next_wakeup_ms().is_none(), "nothing goes on after leaving");
    assert_eq!(lab.nodes[seeder].stats().peers.len(), 0);
}

#[test]
fn a_seek_calls_off_what_is_no_longer_needed() {
    let mut lab = film(16, 400);
    lab.add(Spec { up_bytes_per_s: MB, ..seeder() });
    let viewer = lab.add(Spec::default());
    lab.connect_all();
    lab.play(viewer, 300_000, 40);
    lab.run_for(5_000);
    lab.nodes[viewer].player.as_mut().unwrap().next = 300;
    lab.run_for(2_000);
    let node = &lab.nodes[viewer];
    assert!(node.swarm.holds(ChunkAddress::new(0, 301)), "{}", lab.report());
    let between = node.store.keys().filter(|at| (80..299).contains(&at.chunk.get())).count();
    assert_eq!(between, 0, "what lies between is not fetched");
    let player = node.player.as_ref().unwrap();
    assert!(player.stalled_us < 800_000, "a seek lands within the second: {player:?}");
    lab.run_until(120_000, "the end was played", |lab| lab.nodes[viewer].player.as_ref().unwrap().done);
}

#[test]
fn what_was_called_off_and_is_wanted_again_comes_from_the_same_peer() {
    let mut lab = film(19, 4);
    lab.add(Spec { up_bytes_per_s: MB / 4, ..seeder() });
    let getter = lab.add(with(policy(OriginPolicy::Never)));
    lab.connect_all();
    lab.want_everything(getter);
    lab.run_until(5_000, "a request", |lab| lab.nodes[getter].stats().chunks_in_flight > 1);
    lab.run_for(300);
    lab.input(getter, Input::Want { want: Want::Only(Vec::new()) });
    assert_eq!(lab.nodes[getter].stats().chunks_in_flight, 0);
    lab.want_everything(getter);
    lab.run_until(60_000, "complete", |lab| lab.is_whole(getter));
}

#[test]
fn several_files_and_wishes() {
    let sizes = [3_000_000, 0, 500, 2_000_000, 262_144];
    let mut lab = Lab::new(17, Rc::new(Release::new(17, &sizes)));
    lab.add(seeder());
    let getter = lab.add(Spec::default());
    lab.connect_all();
    let want = Want::Only(vec![(3.into(), 2.into(), 4), (0.into(), 1.into(), 2), (9.into(), 0.into(), 5)]);
    lab.input(getter, Input::Want { want });
    lab.run_for(5_000);
    let held: Vec<(u32, u32)> =
        lab.nodes[getter].store.keys().map(|at| (at.file.get(), at.chunk.get())).collect();
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
