//! `matinee royalty`.

use matinee_protocol::id::TitleId;
use serde_json::json;

use super::publish::terms;
use super::{Error, note, now_ms, open_store, print};
use crate::api::royalty_rules;
use crate::config::Config;
use crate::royalty::{Rule, WHOLE_BASIS_POINTS};
use crate::store::{royalty, title};

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
    let Command::Set { title, holders, json } = command;
    let currency = &config.payment.currency;
    if holders.iter().any(|(_, of)| of.as_ref().is_some_and(|of| of != currency)) {
        return Error::refused(format!("minimums are in {currency}"));
    }
    let rules: Vec<Rule> = holders.into_iter().map(|(rule, _)| rule).collect();
    royalty_rules::check(&rules).or_else(Error::refused)?;
    let store = open_store(config).await?;
    let mut tx = store.write().await?;
    if title::by_id(&mut tx, title).await?.is_none() {
        return Error::refused(format!("there is no title {title}"));
    }
    royalty::set_rules(&mut tx, title, currency, &rules).await?;
    let shares: u32 = rules.iter().map(|rule| rule.share_basis_points).sum();
    let detail = json!({ "holders": rules.len(), "share_basis_points": shares });
    note(&mut tx, "royalty.set", &title, detail, now_ms()).await?;
    tx.commit().await?;
    store.close().await;
    let data = json!({ "title": title, "holders": rules.len(), "share_basis_points": shares });
    print(json, &data, &format!("{} rights holders of {title} have {shares} basis points", rules.len()))
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
