//! `matinee coupon` and `matinee gift`.

use matinee_protocol::api::Money;
use matinee_protocol::id::PlanId;
use serde_json::json;

use super::publish::terms;
use super::{Error, every, note, now_ms, open_store, print};
use crate::api::coupon_create;
use crate::api::gift_codes_create::{GIFT_CODES_MAX, code};
use crate::config::Config;
use crate::store::coupon::{self, Coupon, Discount, canonical};
use crate::store::plan;

/// Makes a coupon, which lowers the price of a purchase, or ends one.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(group(clap::ArgGroup::new("off").required(true).args(["percent_off", "amount_off", "end"])))]
pub(super) struct Args {
    #[command(subcommand)]
    other: Option<Other>,
    /// What is typed in.
    #[arg(required = true)]
    code: Option<String>,
    /// So much of a hundred.
    #[arg(long)]
    percent_off: Option<u32>,
    /// An amount, for example 1.00USD.
    #[arg(long, value_name = "AMOUNT", value_parser = terms::money)]
    amount_off: Option<Money>,
    /// It can be used no longer.
    #[arg(long, conflicts_with_all = ["plan", "uses", "lasts"])]
    end: bool,
    /// The one plan that it is for; every plan if not given.
    #[arg(long)]
    plan: Option<PlanId>,
    /// How often it may be used, by one account each; no limit if not given.
    #[arg(long)]
    uses: Option<u32>,
    /// How long from now it can be used; no limit if not given.
    #[arg(long, value_name = "TIME", value_parser = terms::time_ms)]
    lasts: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Other {
    /// Lists coupons, newest first.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Makes codes that give a plan to whoever redeems them. They are told this once.
#[derive(Debug, clap::Args)]
pub(super) struct GiftArgs {
    /// The plan.
    #[arg(long)]
    plan: PlanId,
    /// How many.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(GIFT_CODES_MAX)))]
    count: u32,
    /// How long from now they can be redeemed; no limit if not given.
    #[arg(long, value_name = "TIME", value_parser = terms::time_ms)]
    lasts: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn ends_ms(now_ms: i64, lasts: Option<u64>) -> Option<i64> {
    lasts.map(|lasts| now_ms.saturating_add(i64::try_from(lasts).unwrap_or(i64::MAX)))
}

pub(super) async fn run(args: Args, config: &Config) -> Result<(), Error> {
    if let Some(Other::List { json }) = args.other {
        return list(config, json).await;
    }
    if args.end {
        return end(&args, config).await;
    }
    let now_ms = now_ms();
    let discount = match (args.percent_off, args.amount_off) {
        (Some(percent), _) => Discount::Percent(percent),
        (None, Some(amount)) => Discount::Amount(amount),
        (None, None) => return Error::refused("say what it takes off"),
    };
    let made = Coupon {
        code: canonical(args.code.as_deref().unwrap_or_default()),
        plan_id: args.plan,
        discount,
        uses: 0,
        uses_max: args.uses,
        expires_at_ms: ends_ms(now_ms, args.lasts),
        created_at_ms: now_ms,
    };
    coupon_create::check(&made, &config.payment.currency)
        .or_else(|problem| Error::refused(problem.detail.into_owned()))?;
    let store = open_store(config).await?;
    let mut tx = store.write().await?;
    if let Some(plan) = made.plan_id
        && plan::by_id(&mut tx, plan).await?.is_none()
    {
        return Error::refused(format!("there is no plan {plan}"));
    }
    if !coupon::insert(&mut tx, &made).await? {
        return Error::refused(format!("there is a coupon {} already", made.code));
    }
    let detail = json!({ "plan": made.plan_id, "uses_max": made.uses_max });
    note(&mut tx, "coupon.create", &made.code, detail, now_ms).await?;
    tx.commit().await?;
    store.close().await;
    print(args.json, &json!({ "coupon": made.code }), &format!("added {}", made.code))
}

async fn list(config: &Config, json: bool) -> Result<(), Error> {
    let store = open_store(config).await?;
    let mut tx = store.read().await?;
    let coupons = every(async |asked| coupon::listed(&mut tx, asked).await).await?;
    drop(tx);
    store.close().await;
    let line = |one: &Coupon| {
        let off = match &one.discount {
            Discount::Percent(percent) => format!("{percent} %"),
            Discount::Amount(amount) => format!("{} {}", terms::shown(amount), amount.currency),
        };
        let uses = one.uses_max.map_or_else(|| one.uses.to_string(), |max| format!("{} of {max}", one.uses));
        let plan = one.plan_id.map_or_else(String::new, |plan| format!("  plan {plan}"));
        format!("{}  {off} off  {uses} uses{plan}", one.code)
    };
    let data = |one: &Coupon| {
        let (percent, amount) = match &one.discount {
            Discount::Percent(percent) => (Some(percent), None),
            Discount::Amount(amount) => (None, Some(amount)),
        };
        json!({
            "code": one.code, "plan": one.plan_id, "percent_off": percent, "amount_off": amount, "uses": one.uses,
            "uses_max": one.uses_max, "expires_at_ms": one.expires_at_ms, "created_at_ms": one.created_at_ms,
        })
    };
    let data: Vec<_> = coupons.iter().map(data).collect();
    print(json, &data, &coupons.iter().map(line).collect::<Vec<_>>().join("\n"))
}

async fn end(args: &Args, config: &Config) -> Result<(), Error> {
    let (code, now_ms) = (canonical(args.code.as_deref().unwrap_or_default()), now_ms());
    let store = open_store(config).await?;
    let mut tx = store.write().await?;
    if !coupon::end(&mut tx, &code, now_ms).await? {
        return Error::refused(format!("there is no coupon {code}"));
    }
    note(&mut tx, "coupon.end", &code, json!({}), now_ms).await?;
    tx.commit().await?;
    store.close().await;
    print(args.json, &json!({ "coupon": code }), &format!("ended {code}"))
}

pub(super) async fn gift(args: GiftArgs, config: &Config) -> Result<(), Error> {
    let now_ms = now_ms();
    let store = open_store(config).await?;
    let mut tx = store.write().await?;
    if plan::by_id(&mut tx, args.plan).await?.is_none() {
        return Error::refused(format!("there is no plan {}", args.plan));
    }
    let codes: Vec<String> = (0..args.count).map(|_| code()).collect();
    for code in &codes {
        coupon::insert_gift(&mut tx, code, args.plan, ends_ms(now_ms, args.lasts), now_ms).await?;
    }
    note(&mut tx, "gift_codes.create", &args.plan, json!({ "count": args.count }), now_ms).await?;
    tx.commit().await?;
    store.close().await;
    print(args.json, &json!({ "plan": args.plan, "codes": codes }), &codes.join("\n"))
}
