//! Every way to lie: never stored, dropped, remembered, and not noticed by the viewer.

use matinee_engine::{Config, Fault};
use matinee_protocol::frame::Reason;

use crate::lab::{EVERY_LIE, Lie, Spec};
use crate::{MB, SEEDS, film, seeder, with};

/// One liar, an honest but slower seeder, and the origin: the film plays as if the liar were not there.
fn plays_in_spite_of(lie: Lie, seed: u64) {
    let mut lab = film(seed, 200);
    let honest = lab.add(Spec { up_bytes_per_s: MB, ..seeder() });
    let upload_bytes_per_s_max = (lie == Lie::TooSlow).then_some(3_000);
    let config = Config { upload_bytes_per_s_max, ..Config::default() };
    let liar = lab.add(Spec { lie: Some(lie), up_bytes_per_s: 20 * MB, ..with(config) });
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
    lab.run_until(250_000, "the film was played", |lab| lab.nodes[viewer].player.as_ref().unwrap().done);
    let node = &lab.nodes[viewer];
    let player = node.player.as_ref().unwrap();
    assert_eq!(player.stalls, 0, "{lie:?} made playback wait (seed {seed})\n{}", lab.report());
    assert!(player.first_chunk_ms.unwrap() < 1_500, "{lie:?} delayed the first frame: {player:?}");
    assert!(lab.is_whole(viewer), "{}", lab.report());
    let (liar_id, liar_device) = (lab.nodes[liar].id, lab.nodes[liar].thumbprint());
    let expected = match lie {
        Lie::WrongBytes | Lie::OldRelease | Lie::WrongPage => Fault::BadData,
        Lie::OtherChunks | Lie::TooMuch | Lie::BeyondTheEnd | Lie::Unasked | Lie::Garbage => Fault::Protocol,
        Lie::TooSlow | Lie::Nothing => Fault::TooSlow,
        Lie::EmptyPromises => Fault::EmptyPromises,
        Lie::ReplayedHello => Fault::NotAuthorized,
    };
    assert_eq!(node.reported, vec![(liar_id, expected)], "{lie:?}\n{}", lab.report());
    if lie == Lie::ReplayedHello {
        assert!(node.remembered.is_empty(), "the robbed device is not to blame");
        assert!(!node.ready.contains(&liar_id));
    } else {
        assert_eq!(node.remembered.get(&liar_device), Some(&expected));
        assert_eq!(node.remembered.len(), 1);
    }
    let reason = node.closed.iter().find(|(peer, _)| *peer == liar_id).map(|(_, reason)| *reason);
    assert_eq!(reason == Some(Reason::BadData), expected == Fault::BadData, "{lie:?} {reason:?}");
    // It comes back and is refused.
    let closed = node.closed.len();
    lab.connect(viewer, liar);
    lab.run_for(3_000);
    assert_eq!(lab.nodes[viewer].closed.len(), closed + 1, "{lie:?} was let in again");
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
