//! From what a person types to a title, an entitlement, an opening.

use matinee_protocol::api::{EntitlementSummary, LeaseAnswer, Opening, TitleSummary};
use matinee_protocol::id::TitleId;

use super::failure::Failure;
use super::output::one_line;
use crate::net::api::Api;

/// The title with this id, this name, or this part of a name, if that is one title only.
pub(super) async fn title(api: &Api, named: &str) -> Result<TitleSummary, Failure> {
    if let Ok(id) = named.parse::<TitleId>() {
        return Ok(api.title(id).await?);
    }
    let wanted = named.to_lowercase();
    let titles = api.titles().await?;
    let exact: Vec<&TitleSummary> =
        titles.iter().filter(|title| title.name.to_lowercase() == wanted).collect();
    let found = if exact.is_empty() {
        titles.iter().filter(|title| title.name.to_lowercase().contains(&wanted)).collect()
    } else {
        exact
    };
    match found.as_slice() {
        [title] => Ok((*title).clone()),
        [] => Err(Failure::other(
            "title_not_found",
            &format!("no title is called {named:?}; see matinee-peer titles"),
        )),
        several => {
            let names: Vec<String> = several
                .iter()
                .take(5)
                .map(|title| format!("{} ({})", one_line(&title.name), title.id))
                .collect();
            let detail = format!("{named:?} is the name of several titles: {}; use the id", names.join(", "));
            Err(Failure::other("title_ambiguous", &detail))
        }
    }
}

/// Opens a view of a title on the best entitlement, or goes on with the one that is open.
pub(super) async fn open_view(api: &Api, title: &TitleSummary) -> Result<Opening, Failure> {
    let mut refused = None;
    for entitlement in usable(api, title).await? {
        match api.open_view(entitlement.id, title.id).await {
            Ok(opening) => return Ok(opening),
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.map_or_else(|| missing(title), Into::into))
}

/// Takes a lease of a title on the best entitlement that leases, or renews the one that is out.
pub(super) async fn lease(api: &Api, title: &TitleSummary) -> Result<LeaseAnswer, Failure> {
    let mut refused = None;
    for entitlement in usable(api, title).await? {
        match api.take_lease(entitlement.id, title.id).await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.map_or_else(|| missing(title), Into::into))
}

fn missing(title: &TitleSummary) -> Failure {
    let name = one_line(&title.name);
    let detail = format!("this account may not play {name}; run matinee-peer buy {}", title.id);
    Failure::not_entitled("entitlement_missing", &detail)
}

/// The entitlements that a title may be played on, the best in front.
async fn usable(api: &Api, title: &TitleSummary) -> Result<Vec<EntitlementSummary>, Failure> {
    let mut usable: Vec<EntitlementSummary> = api.entitlements().await?;
    usable.retain(|entitlement| {
        // Whether a collection has the title is the server's to say.
        let to_it = entitlement.title.is_none_or(|covered| covered == title.id);
        to_it && matches!(entitlement.status.as_str(), "ready" | "active")
    });
    // One that was started goes first: going on with it costs nothing. A preview, which does not last, goes last.
    usable.sort_by_key(|entitlement| {
        (entitlement.kind == "preview", entitlement.title.is_none(), entitlement.status != "active")
    });
    Ok(usable)
}
