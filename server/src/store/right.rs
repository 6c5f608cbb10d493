//! What the rules ask about a title, for one account: when, where and for whom it may be played.

use matinee_protocol::id::{AccountId, EntitlementId, GroupId, ReleaseId, TitleId};

use super::{Error, Tx, country, signed, unsigned};
use crate::license::decide::Refusal;
use crate::license::place::Countries;
use crate::license::title::{self, Audience, Title};

#[derive(sqlx::FromRow)]
struct Row {
    available_from_ms: Option<i64>,
    available_until_ms: Option<i64>,
    preview_ms: Option<i64>,
    #[sqlx(flatten)]
    countries: country::Columns,
    private: bool,
    member: bool,
    tier: Option<i64>,
    counted: bool,
    newest: Option<String>,
}

/// A title as the rules see it, for an account and, where given, one of its entitlements: whether its collection holds
/// the title, and whether the title was counted in the current period of its quota. None if there is no such title.
pub async fn title(
    tx: &mut Tx,
    title: TitleId,
    account: AccountId,
    entitlement: Option<EntitlementId>,
) -> Result<Option<Title>, Error> {
    Ok(title_and_newest(tx, title, account, entitlement).await?.map(|(title, _)| title))
}

/// The same with the newest published release of it.
pub async fn title_and_newest(
    tx: &mut Tx,
    title: TitleId,
    account: AccountId,
    entitlement: Option<EntitlementId>,
) -> Result<Option<(Title, Option<ReleaseId>)>, Error> {
    let row: Option<Row> = on!(tx, |db| {
        sqlx::query_as(
        "select t.available_from_ms, t.available_until_ms, t.preview_ms, t.country_rule, t.countries, t.unknown_country_allowed, \
         t.group_id is not null as private, \
         exists (select 1 from viewer_group_members m where m.group_id = t.group_id and m.account_id = $2) as member, \
         c.tier, q.entitlement_id is not null as counted, \
         (select r.id from releases r where r.title_id = t.id and r.state = 'published' \
         order by r.published_at_ms desc, r.id desc limit 1) as newest from titles t \
         left join entitlements e on e.id = $3 \
         left join collection_titles c on c.collection_id = e.collection_id and c.title_id = t.id \
         left join quota_uses q on q.entitlement_id = e.id and q.period_index = e.period_index and q.title_id = t.id \
         where t.id = $1"
    )
    .bind(title.to_string())
    .bind(account.to_string())
    .bind(entitlement.map(|entitlement| entitlement.to_string()))
    .fetch_optional(db)
    .await
    })?;
    let Some(row) = row else { return Ok(None) };
    let newest = row.newest.as_deref().map(super::id).transpose()?;
    let title = Title {
        id: title,
        rights: title::Rights {
            available_from_ms: row.available_from_ms,
            available_until_ms: row.available_until_ms,
            countries: row.countries.rule()?,
            audience: audience(row.private, row.member),
        },
        preview_ms: row.preview_ms.map(unsigned),
        tier: row.tier.map(super::index).transpose()?,
        counted: row.counted,
    };
    Ok(Some((title, newest)))
}

/// For whom a title is, as an account sees it.
pub(super) fn audience(private: bool, member: bool) -> Audience {
    match (private, member) {
        (false, _) => Audience::Everyone,
        (true, true) => Audience::Member,
        (true, false) => Audience::Outsider,
    }
}

/// Why an account may not buy these titles now, if so.
pub async fn refused(
    tx: &mut Tx,
    titles: &[TitleId],
    account: AccountId,
    now_ms: i64,
) -> Result<Option<Refusal>, Error> {
    for wanted in titles {
        let found = title(tx, *wanted, account, None).await?;
        if let Some(refusal) = found.and_then(|found| found.rights.allow_buying(now_ms).err()) {
            return Ok(Some(refusal));
        }
    }
    Ok(None)
}

/// The rights of a title, as its publisher sets them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    /// From when it may be played; none is from ever.
    pub available_from_ms: Option<i64>,
    /// Until when; none is for ever.
    pub available_until_ms: Option<i64>,
    /// The group that it is for; none is everybody.
    pub group: Option<GroupId>,
    /// How much of it is free, from its beginning.
    pub preview_ms: Option<u64>,
    /// In which countries.
    pub countries: Countries,
    /// What is shown in the breaks of ad-supported views; none is a plain card.
    pub ad_clip_url: Option<String>,
}

#[derive(sqlx::FromRow)]
struct SetRow {
    available_from_ms: Option<i64>,
    available_until_ms: Option<i64>,
    group_id: Option<String>,
    preview_ms: Option<i64>,
    #[sqlx(flatten)]
    countries: country::Columns,
    ad_clip_url: Option<String>,
}

/// The rights of a title, as its publisher set them.
pub async fn of_title(tx: &mut Tx, title: TitleId) -> Result<Option<Rights>, Error> {
    let row: Option<SetRow> = on!(tx, |db| sqlx::query_as(
        "select available_from_ms, available_until_ms, group_id, preview_ms, country_rule, countries, \
         unknown_country_allowed, ad_clip_url from titles where id = $1"
    )
    .bind(title.to_string())
    .fetch_optional(db)
    .await)?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Rights {
        available_from_ms: row.available_from_ms,
        available_until_ms: row.available_until_ms,
        group: row.group_id.as_deref().map(super::id).transpose()?,
        preview_ms: row.preview_ms.map(unsigned),
        countries: row.countries.rule()?,
        ad_clip_url: row.ad_clip_url,
    }))
}

/// Sets the rights of a title. False if there is no such title.
pub async fn set(tx: &mut Tx, title: TitleId, rights: &Rights) -> Result<bool, Error> {
    let countries = country::Columns::from(&rights.countries);
    let changed = on!(tx, |db| {
        sqlx::query(
        "update titles set available_from_ms = $1, available_until_ms = $2, group_id = $3, preview_ms = $4, \
         country_rule = $5, countries = $6, unknown_country_allowed = $7, ad_clip_url = $9 where id = $8"
    )
    .bind(rights.available_from_ms)
    .bind(rights.available_until_ms)
    .bind(rights.group.map(|group| group.to_string()))
    .bind(rights.preview_ms.map(signed))
    .bind(countries.country_rule.as_deref())
    .bind(countries.countries.as_deref())
    .bind(countries.unknown_country_allowed)
    .bind(title.to_string())
    .bind(rights.ad_clip_url.as_deref())
    .execute(db)
    .await?
    .rows_affected()
    });
    Ok(changed == 1)
}

/// How much of a title is free, from its beginning.
pub async fn preview_ms(tx: &mut Tx, title: TitleId) -> Result<Option<u64>, Error> {
    let row: Option<(Option<i64>,)> =
        on!(tx, |db| sqlx::query_as("select preview_ms from titles where id = $1")
            .bind(title.to_string())
            .fetch_optional(db)
            .await)?;
    Ok(row.and_then(|(preview,)| preview).map(unsigned))
}

/// What is shown in the breaks of a title's ad-supported views.
pub async fn ad_clip_url(tx: &mut Tx, title: TitleId) -> Result<Option<String>, Error> {
    let row: Option<(Option<String>,)> =
        on!(tx, |db| sqlx::query_as("select ad_clip_url from titles where id = $1")
            .bind(title.to_string())
            .fetch_optional(db)
            .await)?;
    Ok(row.and_then(|(url,)| url))
}
