//! `matinee royalty`.

use matinee_protocol::api::Money;
use matinee_protocol::id::TitleId;
use serde_json::json;

use super::publish::terms;
use super::{Error, note, now_ms, open_store, print};
use crate::api::royalty_rules;
use crate::config::Config;
use crate::royalty::span::Span;
use crate::royalty::{Rule, WHOLE_BASIS_POINTS};
use crate::store::{royalty_rule, title};

/// Royalties.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Says who earns what of a title; those not named any more earn nothing.
    Set {
        /// The title.
        #[arg(long)]
        title: TitleId,
        /// A rights holder with a share in basis points and, after a comma, the least for a play: `Studio=5000,0.10USD`.
        #[arg(long = "holder", value_name = "RULE", value_parser = rule)]
        holders: Vec<(Rule, Option<String>)>,
        /// The first month that they count for, in UTC, for example 2026-10; this one if not given.
        #[arg(long, value_name = "MONTH", value_parser = Span::month)]
        from: Option<Span>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows who earns what of a title.
    Show {
        /// The title.
        title: TitleId,
        /// In which month, in UTC, for example 2026-10; this one if not given.
        #[arg(long, value_name = "MONTH", value_parser = Span::month)]
        month: Option<Span>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// A rule, and the currency of its minimum if it has one.
fn rule(text: &str) -> Result<(Rule, Option<String>), String> {
    let wrong = || "write a name and basis points, for example Studio=5000 or Studio=5000,0.10USD".to_owned();
    let (holder, terms_of) = text.rsplit_once('=').ok_or_else(wrong)?;
    let (share, least) = match terms_of.split_once(',') {
        Some((share, least)) => (share, Some(terms::money(least)?)),
        None => (terms_of, None),
    };
    let share_basis_points: u32 = share.trim().parse().map_err(|_| wrong())?;
    if share_basis_points > WHOLE_BASIS_POINTS {
        return Err(format!("the whole is {WHOLE_BASIS_POINTS} basis points"));
    }
    let minimum_minor = least.as_ref().map_or(0, |least| least.minor);
    let rule = Rule { holder: holder.trim().to_owned(), share_basis_points, minimum_minor };
    Ok((rule, least.map(|least| least.currency)))
}

pub(super) async fn run(command: Command, config: &Config) -> Result<(), Error> {
    match command {
        Command::Set { title, holders, from, json } => set(config, title, holders, from, json).await,
        Command::Show { title, month, json } => show(config, title, month, json).await,
    }
}

async fn set(
    config: &Config,
    title: TitleId,
    holders: Vec<(Rule, Option<String>)>,
    from: Option<Span>,
    json: bool,
) -> Result<(), Error> {
    let currency = &config.payment.currency;
    if holders.iter().any(|(_, of)| of.as_ref().is_some_and(|of| of != currency)) {
        return Error::refused(format!("minimums are in {currency}"));
    }
    let rules: Vec<Rule> = holders.into_iter().map(|(rule, _)| rule).collect();
    royalty_rules::check(&rules).or_else(Error::refused)?;
    let now_ms = now_ms();
    let from = royalty_rules::open_month(from, now_ms).or_else(Error::refused)?;
    let store = open_store(config).await?;
    let mut tx = store.write().await?;
    if title::by_id(&mut tx, title).await?.is_none() {
        return Error::refused(format!("there is no title {title}"));
    }
    royalty_rule::set(&mut tx, title, from.from_ms, currency, &rules).await?;
    note(&mut tx, "royalty.set", &title, royalty_rules::told(&rules, from), now_ms).await?;
    tx.commit().await?;
    store.close().await;
    let shares: u32 = rules.iter().map(|rule| rule.share_basis_points).sum();
    let data = json!({
        "title": title, "holders": rules.len(), "share_basis_points": shares, "from": from.name(),
    });
    print(json, &data, &format!("{} rights holders of {title} have {shares} basis points", rules.len()))
}

async fn show(config: &Config, title: TitleId, month: Option<Span>, json: bool) -> Result<(), Error> {
    let currency = &config.payment.currency;
    let store = open_store(config).await?;
    let mut tx = store.read().await?;
    if title::by_id(&mut tx, title).await?.is_none() {
        return Error::refused(format!("there is no title {title}"));
    }
    let at_ms = month.map_or_else(now_ms, |month| month.from_ms);
    let held = royalty_rule::of_title(&mut tx, title, currency, at_ms).await?;
    drop(tx);
    store.close().await;
    let line = |rule: &Rule| {
        let least = Money { minor: rule.minimum_minor, currency: currency.clone() };
        let least =
            if least.minor > 0 { format!(",{}{currency}", terms::shown(&least)) } else { String::new() };
        format!("{}={}{least}", rule.holder, rule.share_basis_points)
    };
    let lines: Vec<_> = held.rules.iter().map(line).collect();
    let text =
        if lines.is_empty() { "nobody: all of it stays with the house".to_owned() } else { lines.join("\n") };
    print(json, &royalty_rules::shown(title, currency, &held), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let seen = rule("A = B & Sons=5000,0.10USD").unwrap();
        assert_eq!(
            (seen.0.holder.as_str(), seen.0.share_basis_points, seen.0.minimum_minor),
            ("A = B & Sons", 5000, 10)
        );
        assert_eq!(seen.1.as_deref(), Some("USD"));
        assert_eq!(rule("Studio=1").unwrap().1, None);
        for wrong in ["Studio", "Studio=", "Studio=1.5", "Studio=10001", "Studio=-1", "Studio=1,x"] {
            assert!(rule(wrong).is_err(), "{wrong}");
        }
    }
}
