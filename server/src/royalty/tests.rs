use proptest::prelude::*;

use super::*;

fn title(name: u8) -> TitleId {
    TitleId::from_bytes([name; 16])
}

fn rule(holder: &str, share_basis_points: u32, minimum_minor: i64) -> Rule {
    Rule { holder: holder.to_owned(), share_basis_points, minimum_minor }
}

#[test]
fn shares_pools_and_minimums() {
    let film = TitleMonth {
        sales_minor: 1_000,
        plays: 30,
        rules: vec![rule("studio", 5_000, 0), rule("composer", 333, 0), rule("director", 1_000, 10)],
    };
    let short = TitleMonth { sales_minor: 0, plays: 2, rules: vec![rule("studio", 7_000, 0)] };
    let unruled = TitleMonth { sales_minor: 77, plays: 1, rules: Vec::new() };
    let month = Month {
        currency: "USD".to_owned(),
        titles: BTreeMap::from([(title(1), film), (title(2), short), (title(3), unruled)]),
        pools: vec![
            Pool {
                plan: "all you can see".to_owned(),
                revenue_minor: 795,
                weights: BTreeMap::from([(title(1), 200), (title(2), 100)]),
            },
            Pool { plan: "nobody looked".to_owned(), revenue_minor: 300, weights: BTreeMap::new() },
        ],
    };
    let seen = statement(&month);
    let line =
        |name, holder: &str, plays, revenue_minor, share_basis_points, share_minor, minimum_minor| Line {
            title: title(name),
            holder: holder.to_owned(),
            plays,
            revenue_minor,
            share_basis_points,
            share_minor,
            minimum_minor,
            amount_minor: share_minor + minimum_minor,
        };
    assert_eq!(
        seen.lines,
        [
            // 1,000 sold and 530 of the pool.
            line(1, "composer", 30, 1_530, 333, 51, 0),
            line(1, "director", 30, 1_530, 1_000, 153, 147),
            line(1, "studio", 30, 1_530, 5_000, 765, 0),
            line(2, "studio", 2, 265, 7_000, 186, 0),
        ]
    );
    assert_eq!(seen.revenue_minor, 1_000 + 77 + 795 + 300);
    assert_eq!(seen.house_minor, 2_172 - 51 - 300 - 765 - 186);
}

fn any_month() -> impl Strategy<Value = Month> {
    let rules = proptest::collection::vec((0..=3_000_u32, 0..=50_i64), 0..4);
    let titles = proptest::collection::btree_map(0..8_u8, (-5_000..=100_000_i64, 0..=500_u64, rules), 0..8);
    let pools = proptest::collection::vec(
        (-1_000..=1_000_000_i64, proptest::collection::btree_map(0..8_u8, 0..=10_000_u64, 0..8)),
        0..4,
    );
    (titles, pools).prop_map(|(titles, pools)| Month {
        currency: "USD".to_owned(),
        titles: titles
            .into_iter()
            .map(|(name, (sales_minor, plays, rules))| {
                let rules = rules.into_iter().enumerate();
                let rules =
                    rules.map(|(at, (share, least))| rule(&format!("holder {at}"), share, least)).collect();
                (title(name), TitleMonth { sales_minor, plays, rules })
            })
            .collect(),
        pools: pools
            .into_iter()
            .map(|(revenue_minor, weights)| Pool {
                plan: "plan".to_owned(),
                revenue_minor,
                weights: weights.into_iter().map(|(name, weight)| (title(name), weight)).collect(),
            })
            .collect(),
    })
}

proptest! {
    #[test]
    fn the_parts_are_the_whole(month in any_month()) {
        let seen = statement(&month);
        let came: i64 = month.titles.values().map(|title| title.sales_minor).sum::<i64>()
            + month.pools.iter().map(|pool| pool.revenue_minor).sum::<i64>();
        prop_assert_eq!(seen.revenue_minor, came);
        let earned: i64 = seen.lines.iter().map(|line| line.amount_minor).sum();
        prop_assert_eq!(earned + seen.house_minor, came);
        for line in &seen.lines {
            prop_assert_eq!(line.amount_minor, line.share_minor + line.minimum_minor);
            let rule = month.titles[&line.title].rules.iter().find(|rule| rule.holder == line.holder).unwrap();
            if line.plays > 0 {
                prop_assert!(line.amount_minor >= rule.minimum_minor * line.plays as i64);
            }
            // Within one minor unit of the exact share.
            let off = i128::from(line.share_minor) * 10_000
                - i128::from(line.revenue_minor) * i128::from(rule.share_basis_points);
            prop_assert!(off.abs() < 10_000);
        }
        prop_assert_eq!(statement(&month), seen, "reproducible");
    }
}
