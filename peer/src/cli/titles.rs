//! `matinee-peer titles`

use clap::Args;
use matinee_protocol::api::{Money, PlanSummary, TitleSummary};
use serde_json::json;

use super::context::Context;
use super::failure::Failure;
use super::figures::bytes;
use super::output::{Output, one_line};

/// List what the server sells.
#[derive(Debug, Args)]
pub(super) struct Titles {}

impl Titles {
    pub(super) async fn run(self, context: &Context, output: &Output) -> Result<(), Failure> {
        let titles = context.api()?.titles().await?;
        for title in &titles {
            output.event("title", json!({"title": title}), &line(title));
        }
        if titles.is_empty() {
            output.event("titles", json!({"count": 0}), "The server has no titles yet.");
        }
        Ok(())
    }
}

fn line(title: &TitleSummary) -> String {
    let plans: Vec<String> = title.plans.iter().map(plan).collect();
    let size = title.release.as_ref().map(|release| release.files.iter().map(|file| file.size_bytes).sum());
    let size = size.map_or("not published".to_owned(), bytes);
    let (name, publisher) = (one_line(&title.name), one_line(&title.publisher));
    let plans = if plans.is_empty() { "not for sale".to_owned() } else { plans.join("; ") };
    format!("{}  {name} by {publisher}  {size}  {plans}", title.id)
}

/// A plan for people.
pub(super) fn plan(plan: &PlanSummary) -> String {
    format!("{} {}", one_line(&plan.kind), money(&plan.price))
}

/// An amount for people, in the currency's usual two places; the server's own pages know the exceptions.
pub(super) fn money(money: &Money) -> String {
    let sign = if money.minor < 0 { "-" } else { "" };
    let minor = money.minor.unsigned_abs();
    let currency = one_line(&money.currency);
    match currency.as_str() {
        "JPY" | "KRW" | "VND" | "CLP" | "ISK" | "XAF" | "XOF" | "PYG" => format!("{sign}{minor} {currency}"),
        "BHD" | "KWD" | "OMR" | "JOD" | "TND" => {
            format!("{sign}{}.{:03} {currency}", minor / 1000, minor % 1000)
        }
        _ => format!("{sign}{}.{:02} {currency}", minor / 100, minor % 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_their_currency_is_written() {
        let text = |minor, currency: &str| money(&Money { minor, currency: currency.to_owned() });
        assert_eq!(text(50, "USD"), "0.50 USD");
        assert_eq!(text(-1205, "EUR"), "-12.05 EUR");
        assert_eq!(text(300, "JPY"), "300 JPY");
        assert_eq!(text(1005, "KWD"), "1.005 KWD");
    }
}
