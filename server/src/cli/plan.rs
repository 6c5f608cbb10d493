//! `matinee plan`.

use matinee_protocol::api::{Money, PlanSummary};
use matinee_protocol::id::{CollectionId, PlanId, TitleId};
use serde_json::json;

use super::publish::terms;
use super::{Error, every, note, now_ms, open_store, print};
use crate::api::countries::CountriesBody;
use crate::api::plan_terms::{BreakBody, PlanBody};
use crate::config::Config;
use crate::license::plan::Scope;
use crate::random;
use crate::store::{collection, plan, title};

/// Plans.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Puts a title, a bundle of titles or a collection up for sale.
    Add(Box<Add>),
    /// Lists plans, newest first.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Takes a plan off sale; what was bought by it stays, and renews.
    End(End),
}

#[derive(Debug, clap::Args)]
pub(super) struct End {
    /// Which.
    plan: PlanId,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["title", "collection"])))]
#[command(group(clap::ArgGroup::new("kind").required(true).args(["rental", "purchase", "subscription", "quota", "free", "ad_supported"])))]
pub(super) struct Add {
    /// The title; given several times, a bundle.
    #[arg(long)]
    title: Vec<TitleId>,
    /// The collection.
    #[arg(long)]
    collection: Option<CollectionId>,
    /// The highest tier of the collection's titles that it opens.
    #[arg(long, requires = "collection")]
    tier: Option<u32>,
    /// A rental at this price, for example 0.50USD.
    #[arg(long, value_name = "PRICE", value_parser = terms::money)]
    rental: Option<Money>,
    /// To own for ever, at this price.
    #[arg(long, value_name = "PRICE", value_parser = terms::money)]
    purchase: Option<Money>,
    /// A subscription at this price a period.
    #[arg(long, value_name = "PRICE", value_parser = terms::money)]
    subscription: Option<Money>,
    /// So many titles of the collection a period, at this price a period.
    #[arg(long, value_name = "PRICE", value_parser = terms::money, requires_all = ["collection", "titles"])]
    quota: Option<Money>,
    /// For nothing.
    #[arg(long)]
    free: bool,
    /// For nothing, with breaks.
    #[arg(long, requires = "break_at")]
    ad_supported: bool,
    /// Ad-supported: a break, as where it is and how long it takes, for example 10m+30s, or 10m+30s,optional if it need not be
    /// shown; given several times, in order.
    #[arg(long = "break", id = "break_at", value_name = "AT+TIME", value_parser = break_at, requires = "ad_supported")]
    breaks: Vec<BreakBody>,
    /// Ad-supported: a seek over several breaks shows all of them, not the last alone.
    #[arg(long, requires = "ad_supported")]
    all_skipped_breaks: bool,
    /// Free and ad-supported: for guests too, who have no account.
    #[arg(long)]
    guests: bool,
    /// Rental: views; as many as fit the window if not given.
    #[arg(long, requires = "rental")]
    views: Option<u32>,
    /// Rental: how long after the purchase it can be started; 30d if not given.
    #[arg(long, value_name = "TIME", value_parser = terms::time_ms, requires = "rental")]
    start_within: Option<u64>,
    /// Rental: how long it plays once it was started; 48h if not given.
    #[arg(long, value_name = "TIME", value_parser = terms::time_ms, requires = "rental")]
    play_within: Option<u64>,
    /// Subscription and quota: `month` or `year`.
    #[arg(long, default_value = "month")]
    period: String,
    /// Subscription and quota: how long it is free at first, once an account.
    #[arg(long, value_name = "TIME", value_parser = terms::time_ms)]
    trial: Option<u64>,
    /// Subscription and quota: how long it outlives an unpaid period; 3d if not given.
    #[arg(long, value_name = "TIME", value_parser = terms::time_ms)]
    grace: Option<u64>,
    /// Quota: titles a period.
    #[arg(long, requires = "quota")]
    titles: Option<u32>,
    /// How long a device may hold every key, for playing offline; not at all if not given.
    #[arg(long, value_name = "TIME", value_parser = terms::time_ms)]
    offline: Option<u64>,
    /// It plays in this country only, for example DE; given several times, in these.
    #[arg(long, value_name = "COUNTRY", conflicts_with = "except_country")]
    country: Vec<String>,
    /// It plays everywhere but in this country; given several times, in these.
    #[arg(long, value_name = "COUNTRY")]
    except_country: Vec<String>,
    /// Where the country is not known: `allow` or `deny`; as the configuration says if not given.
    #[arg(long, value_name = "WHAT")]
    unknown_country: Option<String>,
    /// Devices that may play at once, where it is not the server's own limit.
    #[arg(long)]
    concurrent_views: Option<u32>,
    /// What it is called, where the title's name does not say enough.
    #[arg(long)]
    name: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const START_WITHIN_MS: u64 = 30 * 24 * 60 * 60 * 1000;
const PLAY_WITHIN_MS: u64 = 48 * 60 * 60 * 1000;

/// What a break ends with that need not be shown.
const OPTIONAL: &str = ",optional";

impl Add {
    /// The same request as over HTTP: one place checks both.
    fn body(&self) -> PlanBody {
        let kinds = [
            ("rental", &self.rental),
            ("purchase", &self.purchase),
            ("subscription", &self.subscription),
            ("quota", &self.quota),
        ];
        let chosen = kinds.into_iter().find(|(_, price)| price.is_some());
        let for_nothing = if self.ad_supported { "ad_supported" } else { "free" };
        let (kind, price) = chosen.map_or((for_nothing, None), |(kind, price)| (kind, price.clone()));
        let rental = self.rental.is_some();
        let renews = self.subscription.is_some() || self.quota.is_some();
        PlanBody {
            kind: kind.to_owned(),
            name: self.name.clone(),
            price,
            start_within_ms: rental.then(|| self.start_within.unwrap_or(START_WITHIN_MS)),
            play_within_ms: rental.then(|| self.play_within.unwrap_or(PLAY_WITHIN_MS)),
            views: self.views,
            period: renews.then(|| self.period.clone()),
            grace_ms: self.grace,
            trial_ms: self.trial,
            quota_titles: self.titles,
            breaks: self.ad_supported.then(|| self.breaks.clone()),
            breaks_skipped: self.all_skipped_breaks.then(|| "all".to_owned()),
            guests: (self.free || self.ad_supported || self.guests).then_some(self.guests),
            concurrent_views: self.concurrent_views,
            offline_ms: self.offline,
            countries: self.countries(),
            ..PlanBody::default()
        }
    }
}

/// A break: where, how long, and whether it must be shown.
fn break_at(text: &str) -> Result<BreakBody, String> {
    let (at, duration) = text.split_once('+').ok_or("a break is where and how long, such as 10m+30s")?;
    let at_ms = if at == "0" { 0 } else { terms::time_ms(at)? };
    let (duration, must_show) = match duration.strip_suffix(OPTIONAL) {
        Some(duration) => (duration, Some(false)),
        None => (duration, None),
    };
    let duration_ms = terms::time_ms(duration)?;
    Ok(BreakBody { at_ms, duration_ms, must_show })
}

impl Add {
    fn countries(&self) -> Option<CountriesBody> {
        let (rule, countries) = match (self.country.as_slice(), self.except_country.as_slice()) {
            ([], []) => return None,
            ([], except) => ("except", except),
            (only, _) => ("only", only),
        };
        let unknown = self.unknown_country.clone();
        Some(CountriesBody { rule: rule.to_owned(), countries: countries.to_vec(), unknown })
    }
}

pub(super) async fn run(command: Command, config: &Config) -> Result<(), Error> {
    match command {
        Command::Add(args) => add(&args, config).await,
        Command::End(args) => end(&args, config).await,
        Command::List { json } => list(config, json).await,
    }
}

async fn end(args: &End, config: &Config) -> Result<(), Error> {
    let now_ms = now_ms();
    let store = open_store(config).await?;
    let mut tx = store.write().await?;
    if plan::by_id(&mut tx, args.plan).await?.is_none() {
        return Error::refused(format!("there is no plan {}", args.plan));
    }
    if plan::end(&mut tx, args.plan, now_ms).await? {
        note(&mut tx, "plan.end", &args.plan, json!({}), now_ms).await?;
    }
    tx.commit().await?;
    store.close().await;
    print(args.json, &json!({ "plan": args.plan }), &format!("{} is no longer sold", args.plan))
}

async fn add(args: &Add, config: &Config) -> Result<(), Error> {
    let now_ms = now_ms();
    let over =
        args.collection.map(|collection| Scope::Collection { collection, tier: args.tier.unwrap_or(1) });
    let scopes = args.title.iter().copied().map(Scope::Title).chain(over).collect();
    let id = PlanId::from_bytes(random::id(now_ms));
    let added = args.body().plan(id, scopes, &config.payment.currency, now_ms);
    let added = added.or_else(|problem| Error::refused(problem.detail.into_owned()))?;
    let store = open_store(config).await?;
    let mut tx = store.write().await?;
    for title in &args.title {
        if title::by_id(&mut tx, *title).await?.is_none() {
            return Error::refused(format!("there is no title {title}"));
        }
    }
    if let Some(collection) = args.collection
        && collection::by_id(&mut tx, collection).await?.is_none()
    {
        return Error::refused(format!("there is no collection {collection}"));
    }
    plan::insert(&mut tx, &added).await?;
    let detail = json!({ "plan": added.summary() });
    note(&mut tx, "plan.create", &added.id, detail, now_ms).await?;
    tx.commit().await?;
    store.close().await;
    print(args.json, &json!({ "plan": added.id }), &format!("added {}", added.id))
}

async fn list(config: &Config, json: bool) -> Result<(), Error> {
    let store = open_store(config).await?;
    let mut tx = store.read().await?;
    let plans = every(async |asked| plan::listed(&mut tx, asked).await).await?;
    drop(tx);
    store.close().await;
    let plans: Vec<_> = plans.iter().map(plan::Plan::summary).collect();
    let line = |one: &PlanSummary| {
        let titles = one.titles.iter().map(|title| format!("title {title}"));
        let over = one.collection.iter().map(|collection| format!("collection {collection}"));
        let what: Vec<_> = titles.chain(over).collect();
        let price = format!("{} {}", terms::shown(&one.price), one.price.currency);
        format!(
            "{}  {}  {price}  {}  {}",
            one.id,
            one.kind,
            what.join(", "),
            one.name.as_deref().unwrap_or_default()
        )
    };
    let lines: Vec<_> = plans.iter().map(|one| line(one).trim_end().to_owned()).collect();
    print(json, &plans, &lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_are_read() {
        let read = |text: &str| break_at(text).map(|one| (one.at_ms, one.duration_ms, one.must_show));
        assert_eq!(read("0+15s"), Ok((0, 15_000, None)));
        assert_eq!(read("10m+30s,optional"), Ok((600_000, 30_000, Some(false))));
        for wrong in ["10m", "10m+", "10m+30s,", "10m+30s,always", "+30s"] {
            assert!(break_at(wrong).is_err(), "{wrong}");
        }
    }
}
