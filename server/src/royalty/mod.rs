//! Royalties of a month, as pure code: what was sold and used goes in, who earns what comes out. No SQL, no HTTP, no
//! clock; the same month gives the same statement, to the cent.
//!
//! *Invariant:* what the rights holders earn and what stays with the house is exactly what the month earned.

pub mod apportion;
pub mod span;
pub mod spread;
pub mod usage;

use std::collections::BTreeMap;

use apportion::apportion;
use matinee_protocol::id::TitleId;
use serde::Serialize;

/// The whole, in basis points.
pub const WHOLE_BASIS_POINTS: u32 = 10_000;

/// What a rights holder earns of a title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The rights holder.
    pub holder: String,
    /// The share of the title's revenue, in basis points.
    pub share_basis_points: u32,
    /// The least for each play, in minor units.
    pub minimum_minor: i64,
}

/// A title in a month.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TitleMonth {
    /// What it sold on its own, without tax, less refunds; below zero where more went back than came.
    pub sales_minor: i64,
    /// Times that it was played.
    pub plays: u64,
    /// Who earns what of it.
    pub rules: Vec<Rule>,
}

/// The revenue of a plan over several titles, to be shared among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pool {
    /// The plan.
    pub plan: String,
    /// What it earned in the month, without tax, less refunds.
    pub revenue_minor: i64,
    /// In which proportion, by title: the epochs that were used under it, or the same for each title of a bundle.
    pub weights: BTreeMap<TitleId, u64>,
}

/// A month of one currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Month {
    /// The currency of every amount.
    pub currency: String,
    /// Titles that were sold or played.
    pub titles: BTreeMap<TitleId, TitleMonth>,
    /// Plans over several titles.
    pub pools: Vec<Pool>,
}

/// What one rights holder earns of one title.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The title.
    pub title: TitleId,
    /// The rights holder.
    pub holder: String,
    /// Times that the title was played.
    pub plays: u64,
    /// The title's revenue: its own sales and its part of every pool.
    pub revenue_minor: i64,
    /// The share of it, in basis points.
    pub share_basis_points: u32,
    /// What the share comes to.
    pub share_minor: i64,
    /// What the minimum for each play adds to that.
    pub minimum_minor: i64,
    /// Both together.
    pub amount_minor: i64,
}

/// A month's statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// The currency of every amount.
    pub currency: String,
    /// What was earned, without tax.
    pub revenue_minor: i64,
    /// What stays with the house: shares that nobody has, less the minimums; below zero where those are more.
    pub house_minor: i64,
    /// Who earns what, by title and rights holder.
    pub lines: Vec<Line>,
}

/// Computes a month's statement.
pub fn statement(month: &Month) -> Statement {
    let mut revenue: BTreeMap<TitleId, i64> =
        month.titles.iter().map(|(title, of)| (*title, of.sales_minor)).collect();
    let mut unused_minor = 0;
    for pool in &month.pools {
        let used: Vec<_> = pool.weights.iter().filter(|(_, weight)| **weight > 0).collect();
        let weights: Vec<u64> = used.iter().map(|(_, weight)| **weight).collect();
        if weights.is_empty() {
            // Paid for, and nothing played: nobody has earned it.
            unused_minor += pool.revenue_minor;
            continue;
        }
        for ((title, _), part) in used.iter().zip(apportion(pool.revenue_minor, &weights)) {
            *revenue.entry(**title).or_default() += part;
        }
    }
    let revenue_minor = revenue.values().sum::<i64>() + unused_minor;
    let mut lines = Vec::new();
    for (title, revenue_minor) in revenue {
        if let Some(of) = month.titles.get(&title) {
            lines.extend(lines_of(title, revenue_minor, of));
        }
    }
    let earned: i64 = lines.iter().map(|line| line.amount_minor).sum();
    Statement { currency: month.currency.clone(), revenue_minor, house_minor: revenue_minor - earned, lines }
}

fn lines_of(title: TitleId, revenue_minor: i64, of: &TitleMonth) -> Vec<Line> {
    let mut rules: Vec<_> = of.rules.iter().collect();
    rules.sort_by(|one, two| one.holder.cmp(&two.holder));
    let shares: u64 = rules.iter().map(|rule| u64::from(rule.share_basis_points)).sum();
    let mut weights: Vec<u64> = rules.iter().map(|rule| u64::from(rule.share_basis_points)).collect();
    // The house has the share that nobody has. It comes last, so that a cent that could be anybody's is a holder's.
    weights.push(u64::from(WHOLE_BASIS_POINTS).saturating_sub(shares));
    let parts = apportion(revenue_minor, &weights);
    let line = |(rule, share_minor): (&Rule, i64)| {
        let plays = i64::try_from(of.plays).unwrap_or(i64::MAX);
        let least_minor = rule.minimum_minor.saturating_mul(plays);
        let minimum_minor = if of.plays > 0 { (least_minor - share_minor).max(0) } else { 0 };
        Line {
            title,
            holder: rule.holder.clone(),
            plays: of.plays,
            revenue_minor,
            share_basis_points: rule.share_basis_points,
            share_minor,
            minimum_minor,
            amount_minor: share_minor + minimum_minor,
        }
    };
    rules.into_iter().zip(parts).map(line).collect()
}

#[cfg(test)]
mod tests;
