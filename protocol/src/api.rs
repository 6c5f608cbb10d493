//! JSON bodies of the HTTP interface that the server writes and the native peer reads (PROTOCOL §5).

use serde::{Deserialize, Serialize};

use crate::id::{
    AccountId, CollectionId, EntitlementId, LeaseId, PlanId, PurchaseId, ReleaseId, SwarmId, Thumbprint,
    TitleId, ViewId,
};
use crate::license::License;
use crate::token::Role;

/// An amount in minor units of a currency (ISO 4217).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Money {
    /// Minor units, cents for USD.
    pub minor: i64,
    /// Three-letter code.
    pub currency: String,
}

/// Problem details (RFC 9457) with a stable code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// URI of the kind; `about:blank` where there is no more to say.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Short summary.
    #[serde(default)]
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What to do.
    #[serde(default)]
    pub detail: String,
    /// Stable code for programs.
    pub code: String,
    /// The id of the request, as the server's log has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// An ICE server for `RTCConfiguration`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IceServer {
    /// `stun:` and `turn:` URLs.
    pub urls: Vec<String>,
    /// For TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// For TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// How the release may travel to this member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Delivery {
    /// Whether peers may be used at all.
    pub peers: bool,
    /// Whether connections must go through a relay, which hides addresses.
    pub relay_only: bool,
    /// Upload cap.
    pub upload_bytes_per_s_max: Option<u64>,
}

/// Body of `POST /v1/views`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OpenViewRequest {
    /// What to use.
    pub entitlement: EntitlementId,
    /// What to play; needed where the entitlement is to a collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<TitleId>,
    /// The device's X25519 public key, base64url.
    pub agreement_key: String,
}

/// A view or a carry that was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Opening {
    /// The view, or the opaque id of a carry.
    pub view: ViewId,
    /// The release.
    pub release: ReleaseId,
    /// Its swarm.
    pub swarm: SwarmId,
    /// The role in it.
    pub role: Role,
    /// The first view token.
    pub view_token: String,
    /// When that token ends.
    pub expires_at_ms: u64,
    /// The first license; none for a carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<License>,
    /// `iss` of every token of this server.
    pub issuer: String,
    /// How the release may travel.
    pub delivery: Delivery,
    /// STUN and TURN servers.
    pub ice_servers: Vec<IceServer>,
    /// The breaks of an ad-supported view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaks: Option<BreakStates>,
}

/// The breaks of an ad-supported view, and which of them were shown in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BreakStates {
    /// Which of the breaks that a seek skips must be shown: `last` or `all`.
    pub skipped: String,
    /// What to show in them; a plain card if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_url: Option<String>,
    /// The breaks; a break's number is its place here.
    pub list: Vec<BreakState>,
}

/// A break of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BreakState {
    /// Where in the title.
    pub at_ms: u64,
    /// How long it takes to be shown.
    pub duration_ms: u64,
    /// Whether the keys behind it wait for it.
    pub must_show: bool,
    /// Whether it was shown in this view.
    pub shown: bool,
}

/// Body of `POST /v1/views/{view}/licenses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LicenseRequest {
    /// The file.
    pub file: u32,
    /// The epoch needed now; those after it come along.
    pub epoch: u32,
}

/// Answer of `POST /v1/views/{view}/licenses`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LicenseAnswer {
    /// The license.
    pub license: License,
    /// The breaks of an ad-supported view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaks: Option<BreakStates>,
}

/// Body of `POST /v1/entitlements/{entitlement}/leases`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// What to play; needed where the entitlement is to a collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<TitleId>,
    /// The device's X25519 public key, base64url.
    pub agreement_key: String,
}

/// Body of `POST /v1/leases/{lease}/renewals`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LeaseRenewalRequest {
    /// The device's X25519 public key, base64url.
    pub agreement_key: String,
}

/// A lease: every key of a release for a time, on one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseSummary {
    /// Its id.
    pub id: LeaseId,
    /// What it is on.
    pub entitlement: EntitlementId,
    /// What it plays.
    pub title: TitleId,
    /// Which release of it.
    pub release: ReleaseId,
    /// The device that holds it.
    pub device: Thumbprint,
    /// `active`, `expired` or `returned`.
    pub state: String,
    /// When it was taken.
    pub issued_at_ms: u64,
    /// When it ends.
    pub expires_at_ms: u64,
}

/// Answer to a lease that was taken or renewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaseAnswer {
    /// The lease.
    pub lease: LeaseSummary,
    /// Every key of the release, sealed to the device; its `issued_at_ms` is the server's time.
    pub license: License,
}

/// Answer of `POST /v1/views/{view}/renewals`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Renewal {
    /// The next view token.
    pub view_token: String,
    /// When it ends.
    pub expires_at_ms: u64,
}

/// A file of a release as shops list it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FileSummary {
    /// File name.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Bytes of plaintext.
    pub size_bytes: u64,
    /// Playing time, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

/// The current release of a title.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReleaseSummary {
    /// Its id.
    pub id: ReleaseId,
    /// Whether it is sealed.
    pub sealed: bool,
    /// Its files, by position.
    pub files: Vec<FileSummary>,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlanSummary {
    /// Its id.
    pub id: PlanId,
    /// `rental`, `purchase`, `subscription`, `quota`, `free` or `ad_supported`.
    pub kind: String,
    /// Its name, where the title's does not say enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The price, each period where there are periods.
    pub price: Money,
    /// The titles that it is for; several are a bundle, none is a collection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub titles: Vec<TitleId>,
    /// The collection that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<CollectionId>,
    /// The highest tier of the collection's titles that it opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<u32>,
    /// Rental: time after the purchase within which play must start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_within_ms: Option<u64>,
    /// Rental: time after the first start within which play may go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub play_within_ms: Option<u64>,
    /// Rental: views; none means as many as fit the window.
    pub views: Option<u32>,
    /// Subscription and quota: `month` or `year`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<String>,
    /// Subscription and quota: how long it is free at first, once an account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_ms: Option<u64>,
    /// Quota: titles a period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_titles: Option<u32>,
    /// Whether guests may have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub guests: bool,
    /// Devices that may play at once, where it is not the server's own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent_views: Option<u32>,
    /// How long a device may hold every key, offline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline_ms: Option<u64>,
    /// Ad-supported: how many breaks it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaks: Option<u32>,
    /// In which countries it lets a title play, within those of the title; none is everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub countries: Option<CountryRule>,
}

/// In which countries something may be played.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CountryRule {
    /// `only` these, or everywhere `except` in these.
    pub rule: String,
    /// ISO 3166-1 alpha-2, for example DE.
    pub countries: Vec<String>,
    /// Where the country is not known: `allow` or `deny`; the operator's choice if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// A title as shops list it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TitleSummary {
    /// Its id.
    pub id: TitleId,
    /// Its name.
    pub name: String,
    /// The publisher's name.
    pub publisher: String,
    /// What can be bought.
    pub plans: Vec<PlanSummary>,
    /// What would play.
    pub release: Option<ReleaseSummary>,
    /// From when it may be played; none is from ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_from_ms: Option<u64>,
    /// Until when it may be played; none is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_until_ms: Option<u64>,
    /// How much of it is free, from its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_ms: Option<u64>,
    /// In which countries it may be played; none is everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub countries: Option<CountryRule>,
    /// Whether it is for the members of a group only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
    /// The collections that hold it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collections: Vec<CollectionSummary>,
}

/// A collection as shops name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CollectionSummary {
    /// Its id.
    pub id: CollectionId,
    /// Its name.
    pub name: String,
    /// The publisher's name.
    pub publisher: String,
}

/// A purchase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PurchaseSummary {
    /// Its id.
    pub id: PurchaseId,
    /// What was bought.
    pub plan: PlanId,
    /// What was paid.
    pub amount: Money,
    /// When.
    pub created_at_ms: u64,
}

/// An entitlement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EntitlementSummary {
    /// Its id.
    pub id: EntitlementId,
    /// As its plan's; `preview` for the free beginning of a title.
    pub kind: String,
    /// The title that it is to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<TitleId>,
    /// The collection that it is to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<CollectionId>,
    /// The highest tier of the collection's titles that it opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<u32>,
    /// `ready`, `active`, `expired`, `cancelled`, `revoked` or `returned`.
    pub status: String,
    /// Views left; none means no limit.
    pub views_left: Option<u32>,
    /// Until when play may start.
    pub start_before_ms: u64,
    /// Until when it may go on, once it has started.
    pub play_until_ms: Option<u64>,
    /// Until when it is paid, if by the period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_until_ms: Option<u64>,
    /// Whether the next period will be charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews: Option<bool>,
    /// Titles left in this period, if they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub titles_left: Option<u32>,
}

/// Answer of `POST /v1/purchases`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PurchaseAnswer {
    /// The purchase.
    pub purchase: PurchaseSummary,
    /// What it gave.
    pub entitlement: EntitlementSummary,
    /// Everything that it gave, where that is more: a bundle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entitlements: Vec<EntitlementSummary>,
}

/// The signed-in account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccountSummary {
    /// Its id.
    pub id: AccountId,
    /// Sign-in name.
    pub email: String,
    /// Whether whoever has the account has shown that the letters to this address are theirs.
    #[serde(default)]
    pub email_verified: bool,
    /// Whether a password opens it.
    #[serde(default)]
    pub has_password: bool,
    /// Name shown.
    pub name: String,
    /// `viewer`, `publisher`, `carrier`, `operator`.
    pub roles: Vec<String>,
    /// What is left in the wallet.
    pub wallet: Money,
}
