//! Tax that was charged and given back, out of the tax lines.

use super::royalty::Span;
use super::{Error, Tx};

/// The tax of a country at a rate, within a span.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, sqlx::FromRow)]
pub struct Taxed {
    /// Whose tax it is (ISO 3166-1 alpha-2).
    pub country: String,
    /// The rate, in basis points of the net price.
    pub rate_basis_points: i64,
    /// What was charged without it, in minor units.
    pub net_minor: i64,
    /// The tax that was charged.
    pub tax_minor: i64,
    /// What was given back without it, whenever that was charged.
    pub refunded_net_minor: i64,
    /// The tax that was given back.
    pub refunded_tax_minor: i64,
    /// The tax that is left, which is owed; below zero where more was given back than charged.
    pub owed_minor: i64,
    /// ISO 4217.
    pub currency: String,
}

/// The tax of a span by country, rate and currency. What is given back counts when it is, at the rate of its purchase.
pub async fn by_country(tx: &mut Tx, span: Span) -> Result<Vec<Taxed>, Error> {
    Ok(on!(tx, |db| {
        sqlx::query_as(
            "select country, rate_basis_points, cast(sum(net) as bigint) as net_minor, \
             cast(sum(tax) as bigint) as tax_minor, cast(sum(net_back) as bigint) as refunded_net_minor, \
             cast(sum(tax_back) as bigint) as refunded_tax_minor, cast(sum(tax - tax_back) as bigint) as owed_minor, \
             currency from (select x.country, x.rate_basis_points, x.currency, x.net_minor as net, x.tax_minor as tax, \
             0 as net_back, 0 as tax_back from purchases p join tax_lines x on x.purchase_id = p.id \
             where p.created_at_ms >= $1 and p.created_at_ms < $2 \
             union all select x.country, x.rate_basis_points, x.currency, 0, 0, \
             case when e.account like 'tax/%' then 0 else -e.amount_minor end, \
             case when e.account like 'tax/%' then -e.amount_minor else 0 end \
             from journals j join ledger_entries e on e.journal_id = j.id join tax_lines x on x.purchase_id = j.reference \
             where j.kind = 'refund' and j.at_ms >= $1 and j.at_ms < $2 and e.amount_minor < 0) moved \
             group by country, rate_basis_points, currency order by country, rate_basis_points, currency",
        )
        .bind(span.from_ms)
        .bind(span.until_ms)
        .fetch_all(db)
        .await
    })?)
}
