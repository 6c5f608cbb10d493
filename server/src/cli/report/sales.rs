//! `matinee report sales`.

use crate::cli::publish::terms;
use crate::cli::{Error, now_ms, open_store, print};
use crate::config::Config;
use crate::store::sales::{self, Sold};

/// What was sold and watched.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// How far back to look, for example 30d; everything if not given.
    #[arg(long, value_name = "TIME", value_parser = terms::time_ms)]
    within: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, config: &Config) -> Result<(), Error> {
    let store = open_store(config).await?;
    let back_ms = args.within.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
    let since_ms = back_ms.map_or(i64::MIN, |ms| now_ms().saturating_sub(ms));
    let sold = sales::by_title(&mut store.read().await?, since_ms).await?;
    store.close().await;
    let head = format!("{:>12} {:>10} {:>10} {:>10}  title", "gross", "purchases", "renewals", "views");
    let lines: Vec<String> = std::iter::once(head).chain(sold.iter().map(line)).collect();
    print(args.json, &sold, &lines.join("\n"))
}

fn line(sold: &Sold) -> String {
    let gross = sold.currency.as_ref().map_or(String::new(), |code| amount(sold.gross_minor, code));
    let Sold { purchases, renewals, views, name, .. } = sold;
    format!("{gross:>12} {purchases:>10} {renewals:>10} {views:>10}  {name}")
}

/// An amount as people read it.
fn amount(minor: i64, code: &str) -> String {
    let digits =
        iso_currency::Currency::from_code(code).and_then(|currency| currency.exponent()).unwrap_or(2);
    let unit = 10_i64.pow(u32::from(digits));
    match digits {
        0 => format!("{minor} {code}"),
        _ => format!("{}.{:0width$} {code}", minor / unit, minor % unit, width = usize::from(digits)),
    }
}

#[cfg(test)]
mod tests {
    use super::amount;

    #[test]
    fn amounts() {
        assert_eq!([amount(5, "USD"), amount(1234, "EUR")], ["0.05 USD", "12.34 EUR"]);
        assert_eq!([amount(1234, "JPY"), amount(1234, "KWD")], ["1234 JPY", "1.234 KWD"]);
    }
}
