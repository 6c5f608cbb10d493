//! Every route with the authority it needs, on one screen.

use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodFilter, on};
use axum::{Extension, Router, middleware};

use crate::api;
use crate::app::App;
use crate::storefront;

pub mod document;
pub mod layer;
mod page;

use document::Endpoint;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// Anyone.
    None,
    /// A signed-in account.
    Session,
    /// A signed-in account with a device's proof.
    SessionAndProof,
    /// A signed-in publisher.
    Publisher,
    /// A signed-in publisher or operator.
    Seller,
    /// A signed-in operator.
    Operator,
    /// A signed-in integrator or operator.
    Integrator,
    /// An API key with the scope the route asks for, or a signed-in integrator or operator.
    ApiKey,
    /// A view token of role viewer and its proof.
    View,
    /// A view token of either role and its proof.
    Swarm,
    /// A WebSocket that asks for a view token and a proof in its first message.
    Signaling,
}

impl Authority {
    /// In words, for the interface's document.
    pub fn text(self) -> &'static str {
        match self {
            Self::None => "for anyone",
            Self::Session => "for a signed-in account",
            Self::SessionAndProof => "for a signed-in account with a device's proof",
            Self::Publisher => "for a signed-in publisher",
            Self::Seller => "for a signed-in publisher or operator",
            Self::Operator => "for a signed-in operator",
            Self::Integrator => "for a signed-in integrator",
            Self::ApiKey => "for an API key with the scope of the route, or a signed-in integrator",
            Self::View => "for a view token of role viewer with its proof",
            Self::Swarm => "for a view token of either role with its proof",
            Self::Signaling => "asks for a view token and its proof in the first message",
        }
    }
}

/// A route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// Who may call it.
    pub authority: Authority,
}

macro_rules! routes {
    ($($method:ident $path:literal $authority:ident $handler:ident;)*) => {
        /// Every route there is.
        pub const ROUTES: &[Route] = &[
            $(Route { method: stringify!($method), path: $path, authority: Authority::$authority },)*
        ];

        /// Every route with what its endpoint tells of itself.
        pub fn endpoints() -> Vec<Endpoint> {
            ROUTES.iter().copied().zip([$(api::$handler::doc()),*]).map(|(route, doc)| Endpoint { route, doc }).collect()
        }

        fn routed() -> Router<App> {
            Router::new()$(.route($path, on(MethodFilter::$method, api::$handler::handle)))*
        }
    };
}

routes! {
    GET    "/healthz"                                           None            health;
    GET    "/v1/jwks"                                           None            jwks;
    GET    "/v1/openapi.json"                                   None            openapi;
    GET    "/v1/reference"                                      None            reference;

    POST   "/v1/accounts"                                       None            account_create;
    POST   "/v1/sessions"                                       None            session_create;
    GET    "/v1/sessions"                                       Session         session_list;
    DELETE "/v1/sessions"                                       Session         session_end_all;
    DELETE "/v1/sessions/current"                               Session         session_end;
    DELETE "/v1/sessions/{session}"                             Session         session_end_one;
    POST   "/v1/embed-sessions"                                 None            embed_session;
    GET    "/v1/sign-in"                                        None            sign_in_ways;
    POST   "/v1/passkey-challenges"                             None            passkey_challenge;
    POST   "/v1/passkey-sessions"                               None            passkey_session;
    POST   "/v1/passkey-challenges/account"                     None            passkey_sign_up;
    POST   "/v1/passkey-accounts"                               None            passkey_account;
    POST   "/v1/passkey-challenges/registration"                Session         passkey_begin;
    GET    "/v1/passkeys"                                       Session         passkey_list;
    POST   "/v1/passkeys"                                       Session         passkey_add;
    PUT    "/v1/passkeys/{passkey}"                             Session         passkey_rename;
    DELETE "/v1/passkeys/{passkey}"                             Session         passkey_remove;
    POST   "/v1/sign-in-links"                                  None            sign_in_link_create;
    POST   "/v1/sign-in-link-sessions"                          None            sign_in_link_use;
    GET    "/v1/oidc/{provider}/start"                          None            oidc_start;
    GET    "/v1/oidc/{provider}/callback"                       None            oidc_callback;
    POST   "/v1/oidc/{provider}/links"                          Session         oidc_link;
    GET    "/v1/identities"                                     Session         identity_list;
    DELETE "/v1/identities/{identity}"                          Session         identity_remove;
    GET    "/v1/account"                                        Session         account_show;
    PUT    "/v1/account/password"                               Session         account_password;
    GET    "/v1/account/export"                                 Session         account_export;
    POST   "/v1/account/closure"                                Session         account_close;
    POST   "/v1/wallet/top-ups"                                 Session         top_up_create;
    POST   "/v1/checkouts"                                      Session         checkout_create;
    GET    "/v1/payments"                                       Session         payment_list;
    GET    "/v1/payments/{payment}"                             Session         payment_show;
    GET    "/v1/refunds"                                        Session         refund_list;
    GET    "/v1/wallet/entries"                                 Session         wallet_entries;
    GET    "/v1/purchases"                                      Session         purchase_list;
    GET    "/v1/purchases/{purchase}"                           Session         purchase_show;

    GET    "/v1/titles"                                         None            title_list;
    GET    "/v1/titles/{title}"                                 None            title_show;
    GET    "/v1/titles/{title}/entitlements"                    Session         title_entitlements;
    GET    "/v1/plans/{plan}/quote"                             Session         plan_quote;
    GET    "/v1/collections"                                    None            collection_list;
    GET    "/v1/search"                                         None            search;
    GET    "/v1/tracks"                                         None            track_list;
    GET    "/v1/tracks/{track}"                                 None            track_show;
    GET    "/v1/tracks/{track}/related"                         None            track_related;
    GET    "/v1/artists"                                        None            artist_list;
    GET    "/v1/artists/{artist}"                               None            artist_show;
    GET    "/v1/artists/{artist}/tracks"                        None            artist_tracks;
    GET    "/v1/albums/{album}"                                 None            album_show;
    GET    "/v1/genres"                                         None            genre_list;
    GET    "/v1/genres/{genre}/tracks"                          None            genre_tracks;
    POST   "/v1/titles/{title}/previews"                        Session         preview_create;
    GET    "/v1/collections/{collection}"                       None            collection_show;
    POST   "/v1/guests"                                         None            guest_create;
    POST   "/v1/purchases"                                      Session         purchase_create;
    POST   "/v1/gift-codes/redemptions"                         Session         gift_redeem;
    GET    "/v1/entitlements"                                   Session         entitlement_list;
    GET    "/v1/entitlements/{entitlement}/status"              Session         entitlement_status;
    PUT    "/v1/entitlements/{entitlement}/renewal"             Session         entitlement_renewal;
    POST   "/v1/entitlements/{entitlement}/return"              Session         entitlement_return;

    POST   "/v1/entitlements/{entitlement}/leases"              SessionAndProof lease_take;
    GET    "/v1/leases"                                         Session         lease_list;
    POST   "/v1/leases/{lease}/renewals"                        SessionAndProof lease_renew;
    DELETE "/v1/leases/{lease}"                                 SessionAndProof lease_return;

    GET    "/v1/devices"                                        Session         device_list;
    PUT    "/v1/devices/{device}"                               Session         device_rename;
    DELETE "/v1/devices/{device}"                               Session         device_remove;

    POST   "/v1/views"                                          SessionAndProof view_open;
    POST   "/v1/views/{view}/licenses"                          View            license_issue;
    POST   "/v1/views/{view}/renewals"                          View            view_renew;
    POST   "/v1/views/{view}/breaks"                            View            break_start;
    POST   "/v1/views/{view}/breaks/{break}/completion"         View            break_complete;
    DELETE "/v1/views/{view}"                                   View            view_end;

    POST   "/v1/releases/{release}/carries"                     SessionAndProof carry_open;
    GET    "/v1/releases/{release}/manifest"                    Swarm           manifest;
    GET    "/v1/releases/{release}/files/{file}/pages/{page}"   Swarm           page;
    GET    "/v1/releases/{release}/files/{file}/ciphertext"     Swarm           ciphertext;
    GET    "/v1/signaling"                                      Signaling       signaling;
    POST   "/v1/receipts"                                       Swarm           receipts;

    POST   "/v1/titles"                                         Publisher       title_create;
    POST   "/v1/titles/{title}/plans"                           Publisher       plan_create;
    DELETE "/v1/plans/{plan}"                                   Seller          plan_end;
    GET    "/v1/titles/{title}/rights"                          Publisher       rights_show;
    PUT    "/v1/titles/{title}/rights"                          Publisher       rights_set;
    POST   "/v1/collections"                                    Publisher       collection_create;
    POST   "/v1/collections/{collection}/plans"                 Publisher       collection_plan_create;
    PUT    "/v1/collections/{collection}/titles/{title}"        Publisher       collection_title_put;
    DELETE "/v1/collections/{collection}/titles/{title}"        Publisher       collection_title_remove;
    GET    "/v1/groups"                                         Publisher       group_list;
    POST   "/v1/groups"                                         Publisher       group_create;
    GET    "/v1/groups/{group}/members"                         Publisher       group_members;
    POST   "/v1/groups/{group}/members"                         Publisher       group_member_add;
    DELETE "/v1/groups/{group}/members/{account}"               Publisher       group_member_remove;
    POST   "/v1/titles/{title}/releases"                        Publisher       release_create;
    HEAD   "/v1/releases/{release}/files/{file}/upload"         Publisher       upload_offset;
    PATCH  "/v1/releases/{release}/files/{file}/upload"         Publisher       upload_append;
    POST   "/v1/releases/{release}/publication"                 Publisher       release_publish;
    DELETE "/v1/releases/{release}"                             Publisher       release_delete;

    GET    "/v1/api-keys"                                       Integrator      api_key_list;
    POST   "/v1/api-keys"                                       Integrator      api_key_create;
    DELETE "/v1/api-keys/{key}"                                 Integrator      api_key_revoke;
    GET    "/v1/webhooks"                                       Integrator      webhook_list;
    POST   "/v1/webhooks"                                       Integrator      webhook_create;
    DELETE "/v1/webhooks/{webhook}"                             Integrator      webhook_remove;
    GET    "/v1/webhooks/{webhook}/deliveries"                  Integrator      webhook_deliveries;
    GET    "/v1/viewers"                                        ApiKey          viewer_list;
    POST   "/v1/viewers"                                        ApiKey          viewer_create;
    GET    "/v1/viewers/{account}"                              ApiKey          viewer_show;
    DELETE "/v1/viewers/{account}"                              ApiKey          viewer_close;
    POST   "/v1/viewers/{account}/entitlements"                 ApiKey          viewer_grant;
    DELETE "/v1/viewers/{account}/entitlements/{entitlement}"   ApiKey          viewer_take_back;
    POST   "/v1/viewers/{account}/embed-tokens"                 ApiKey          embed_create;

    GET    "/v1/audit"                                          Operator        audit_list;
    POST   "/v1/entitlements/{entitlement}/revocation"          Operator        entitlement_revoke;
    POST   "/v1/coupons"                                        Operator        coupon_create;
    DELETE "/v1/coupons/{code}"                                 Operator        coupon_end;
    POST   "/v1/plans/{plan}/gift-codes"                        Operator        gift_codes_create;
    POST   "/v1/purchases/{purchase}/refund"                    Operator        purchase_refund;
    GET    "/v1/ledger/entries"                                 Operator        ledger_entries;
    GET    "/v1/titles/{title}/royalty-rules"                   Operator        royalty_rules_show;
    PUT    "/v1/titles/{title}/royalty-rules"                   Operator        royalty_rules;
    GET    "/v1/royalties/{month}"                              Operator        royalty_statement;
    GET    "/v1/taxes/{month}"                                  Operator        tax_month;
    POST   "/v1/webhooks/stripe"                                None            webhook_stripe;
    GET    "/v1/ledger/balance"                                 Operator        ledger_balance;
}

/// Whether a request is for a route that a view token opens. HEAD is answered as GET is.
fn is_by_view(method: &str, path: &str) -> bool {
    let fits = |route: &Route| route.method == method || (method, route.method) == ("HEAD", "GET");
    let mut routes = ROUTES.iter().filter(|route| route.path == path && fits(route));
    routes.any(|route| matches!(route.authority, Authority::View | Authority::Swarm))
}

/// The whole server.
pub fn router(app: App) -> Router {
    let document = document::document(&endpoints(), &app.public_url);
    let routed = routed()
        .route("/v1", axum::routing::any(layer::unknown_endpoint))
        .route("/v1/{*rest}", axum::routing::any(layer::unknown_endpoint))
        .fallback(storefront::handle)
        .method_not_allowed_fallback(layer::wrong_method)
        // Bodies are bounded where they are read, each with its own limit.
        .layer(DefaultBodyLimit::disable())
        .layer(Extension(document))
        .layer(middleware::from_fn(layer::tagged))
        .layer(middleware::from_fn_with_state(app.clone(), layer::limited))
        .with_state(app);
    layer::around(routed)
}
