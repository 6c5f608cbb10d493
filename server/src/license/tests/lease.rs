//! Leases at their edges, and against a model that keeps nothing but what happened.

use matinee_protocol::id::LeaseId;
use proptest::prelude::*;

use super::*;
use crate::license::lease::{Lease, Leased, Others, may_renew, may_take};

const OFFLINE_MS: i64 = 100;

fn leasing(entitlement: Entitlement) -> Entitlement {
    Entitlement { offline_ms: Some(OFFLINE_MS as u64), ..entitlement }
}

fn taken(entitlement: &Entitlement, at_ms: i64, expires_at_ms: i64) -> Lease {
    Lease {
        id: LeaseId::from_bytes([7; 16]),
        entitlement_id: entitlement.id,
        account_id: entitlement.account_id,
        title_id: TITLE,
        release_id: ReleaseId::from_bytes([3; 16]),
        view_id: ViewId::from_bytes([8; 16]),
        device: Thumbprint::from_bytes([4; 32]),
        returned: false,
        issued_at_ms: at_ms,
        expires_at_ms,
    }
}

#[test]
fn every_case_of_taking_a_lease() {
    let open = Title::open(TITLE);
    let rights = Rights { available_until_ms: Some(BOUGHT_MS + 30), ..Rights::default() };
    let closing = Title { rights, ..open.clone() };
    let own = leasing(granted(Scope::Title(TITLE)));
    let none = Others::default();
    for (row, (entitlement, title, others, expected)) in [
        (granted(Scope::Title(TITLE)), &open, none, Err(Refusal::OfflineNotAllowed)),
        (own.clone(), &open, none, Ok(OFFLINE_MS)),
        (own.clone(), &closing, none, Ok(30)),
        // It begins the rental, and does not outlive it.
        (leasing(Entitlement { play_within_ms: Some(40), ..rental(Some(1)) }), &open, none, Ok(40)),
        (leasing(rental(Some(0))), &open, none, Err(Refusal::NoViewsLeft)),
        (Entitlement { valid_until_ms: Some(BOUGHT_MS + 60), ..own.clone() }, &open, none, Ok(60)),
        (Entitlement { status: Status::Revoked, ..own.clone() }, &open, none, Err(Refusal::Revoked)),
        (own.clone(), &open, Others { of_entitlement: 1, of_account: 2 }, Ok(OFFLINE_MS)),
        (own.clone(), &open, Others { of_entitlement: 2, of_account: 2 }, Err(Refusal::TooManyLeases)),
        (own.clone(), &open, Others { of_entitlement: 0, of_account: 3 }, Err(Refusal::TooManyLeases)),
    ]
    .into_iter()
    .enumerate()
    {
        let policy = Policy {
            leases_per_entitlement_max: Some(2),
            leases_per_account_max: Some(3),
            concurrent_views_max: Some(1),
            ..Policy::default()
        };
        // Another device plays: a lease waits for nobody's turn.
        let devices = Devices { registered: true, others: 1, others_playing: 1 };
        let facts = Facts { policy, devices, ..facts(&entitlement, title, BOUGHT_MS) };
        let answer = may_take(&facts, others).map(|leased| leased.expires_at_ms - BOUGHT_MS);
        assert_eq!(answer, expected, "row {row}");
    }
}

#[test]
fn every_case_of_renewing_a_lease() {
    let open = Title::open(TITLE);
    let own = leasing(granted(Scope::Title(TITLE)));
    let now = BOUGHT_MS;
    let lease = taken(&own, now, now + OFFLINE_MS);
    let returned = Lease { returned: true, ..lease.clone() };
    let used = leasing(started(Some(0), now + 150));
    for (row, (entitlement, lease, at_ms, expected)) in [
        (&own, &lease, 99, Ok(199)),
        (&own, &lease, 100, Err(Refusal::LeaseOver)),
        (&own, &returned, 0, Err(Refusal::LeaseOver)),
        // Its view was counted when it was taken, and its rental's window ends it.
        (&used, &lease, 0, Ok(100)),
        (&used, &lease, 99, Ok(150)),
        (&Entitlement { status: Status::Revoked, ..own.clone() }, &lease, 1, Err(Refusal::Revoked)),
        (&Entitlement { valid_until_ms: Some(now + 50), ..own.clone() }, &lease, 50, Err(Refusal::Lapsed)),
        (&granted(Scope::Title(TITLE)), &lease, 1, Err(Refusal::OfflineNotAllowed)),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = may_renew(&facts(entitlement, &open, now + at_ms), lease).map(|until_ms| until_ms - now);
        assert_eq!(answer, expected, "row {row}");
    }
    // A quota's next period counts its title again, if it has one left.
    for (used, counted, expected) in
        [(0, false, Ok(199)), (1, true, Ok(199)), (1, false, Err(Refusal::QuotaUsedUp))]
    {
        let quota = Entitlement { quota: Some(Quota { titles: 1, used }), ..own.clone() };
        let title = Title { counted, ..open.clone() };
        let answer = may_renew(&facts(&quota, &title, now + 99), &lease).map(|until_ms| until_ms - now);
        assert_eq!(answer, expected, "{used} {counted}");
    }
    let states = [lease.state(now + 99), lease.state(now + 100), returned.state(now)];
    assert_eq!(states, ["active", "expired", "returned"]);
}

#[derive(Debug, Clone)]
enum Act {
    Wait(i64),
    Take(u8, bool),
    Renew(usize),
    Return(usize),
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..60_i64).prop_map(Act::Wait),
        6 => (0..3_u8, any::<bool>()).prop_map(|(entitlement, here)| Act::Take(entitlement, here)),
        3 => (0..8_usize).prop_map(Act::Renew),
        2 => (0..8_usize).prop_map(Act::Return),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// The model keeps who took, renewed and gave back what and when, and counts by reading it all again.
    #[test]
    fn leases_agree_with_the_model(acts in proptest::collection::vec(acts(), 1..40), per in 1..3_u32, all in 1..5_u32) {
        let policy =
            Policy { leases_per_entitlement_max: Some(per), leases_per_account_max: Some(all), ..Policy::default() };
        let entitlements: Vec<Entitlement> = (0..3_u8)
            .map(|n| Entitlement {
                id: EntitlementId::from_bytes([n; 16]),
                ..leasing(granted(Scope::Title(TITLE)))
            })
            .collect();
        let (open, elsewhere) = (Title::open(TITLE), Title::open(TitleId::from_bytes([9; 16])));
        // What happened: which entitlement, until when it was last renewed, whether it was given back.
        let mut history: Vec<(u8, Lease)> = Vec::new();
        let mut now_ms = BOUGHT_MS;
        for act in acts {
            if let Act::Wait(ms) = act {
                now_ms += ms;
                continue;
            }
            let out = |of: Option<u8>, history: &[(u8, Lease)]| {
                let held = history.iter().filter(|(on, lease)| {
                    of.is_none_or(|of| of == *on) && !lease.returned && now_ms < lease.expires_at_ms
                });
                held.count() as u32
            };
            match act {
                Act::Wait(_) => {}
                Act::Take(on, here) => {
                    let entitlement = &entitlements[usize::from(on)];
                    let title = if here { &open } else { &elsewhere };
                    let others = Others { of_entitlement: out(Some(on), &history), of_account: out(None, &history) };
                    let facts = Facts { policy, ..facts(entitlement, title, now_ms) };
                    let expected = if !here {
                        Err(Refusal::NotCovered)
                    } else if out(Some(on), &history) >= per || out(None, &history) >= all {
                        Err(Refusal::TooManyLeases)
                    } else {
                        Ok(now_ms + OFFLINE_MS)
                    };
                    let answer = may_take(&facts, others).map(|Leased { expires_at_ms, .. }| expires_at_ms);
                    prop_assert_eq!(answer, expected);
                    if let Ok(expires_at_ms) = answer {
                        history.push((on, taken(entitlement, now_ms, expires_at_ms)));
                    }
                }
                Act::Renew(which) => {
                    let Some((on, lease)) = history.get_mut(which) else { continue };
                    let facts = Facts { policy, ..facts(&entitlements[usize::from(*on)], &open, now_ms) };
                    let stands = !lease.returned && now_ms < lease.expires_at_ms;
                    let expected = if stands { Ok(now_ms + OFFLINE_MS) } else { Err(Refusal::LeaseOver) };
                    let answer = may_renew(&facts, lease);
                    prop_assert_eq!(answer, expected);
                    lease.expires_at_ms = answer.unwrap_or(lease.expires_at_ms);
                }
                Act::Return(which) => {
                    let Some((_, lease)) = history.get_mut(which) else { continue };
                    lease.returned = true;
                }
            }
            prop_assert!(out(None, &history) <= all);
        }
    }
}
