//! Rows that tests stand on.

use matinee_protocol::api::Money;
use matinee_protocol::id::{
    AccountId, EntitlementId, FileIndex, PaymentId, PlanId, PurchaseId, ReleaseId, Thumbprint, TitleId,
    ViewId,
};
use matinee_server::license::plan::{Scope, Terms};
use matinee_server::random;
use matinee_server::store::account::{self, Account, Role};
use matinee_server::store::entitlement::Entitlement;
use matinee_server::store::payment::{self, Payment};
use matinee_server::store::plan::{self, Plan};
use matinee_server::store::purchase::{self, Conditions, Sale, Settled};
use matinee_server::store::release::{self, File};
use matinee_server::store::sealed::Sealed;
use matinee_server::store::view::NewView;
use matinee_server::store::{Tx, title};

/// The present of every test.
pub const NOW_MS: i64 = 1_795_000_000_000;
/// A day.
pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub fn dollars(minor: i64) -> Money {
    Money { minor, currency: "USD".to_owned() }
}

pub fn fresh() -> [u8; 16] {
    random::id(NOW_MS)
}

pub fn device() -> Thumbprint {
    Thumbprint::from_bytes(random::bytes())
}

pub fn sealed() -> Sealed {
    Sealed { key_id: "vault-a".to_owned(), bytes: random::bytes::<72>().to_vec() }
}

/// An account that is not there yet.
pub fn account_row(email: &str) -> Account {
    Account {
        id: AccountId::from_bytes(fresh()),
        email: email.to_owned(),
        name: "Somebody".to_owned(),
        roles: vec![Role::Viewer],
        created_at_ms: NOW_MS,
    }
}

/// An account of these roles.
pub async fn account(tx: &mut Tx, email: &str, roles: &[Role]) -> AccountId {
    let id = AccountId::from_bytes(fresh());
    let account = Account {
        id,
        email: email.to_owned(),
        name: "Somebody".to_owned(),
        roles: roles.to_vec(),
        created_at_ms: NOW_MS,
    };
    assert!(account::insert(tx, &account, "hash").await.unwrap());
    id
}

/// A title with a plan of so many views at 50 cents: 30 days to start, 2 days to play.
pub async fn plan(tx: &mut Tx, publisher: AccountId, views: Option<u32>) -> Plan {
    let title_id = TitleId::from_bytes(fresh());
    title::insert(tx, title_id, publisher, "Big Buck Bunny", NOW_MS).await.unwrap();
    let terms =
        Terms::Rental { start_within_ms: 30 * DAY_MS as u64, play_within_ms: 2 * DAY_MS as u64, views };
    let plan = Plan::of_title(PlanId::from_bytes(fresh()), title_id, dollars(50), terms, NOW_MS);
    plan::insert(tx, &plan).await.unwrap();
    plan
}

pub fn files() -> Vec<File> {
    let file = |index: u32, name: &str, size_bytes: u64, duration_ms: Option<u64>| File {
        file: FileIndex(index),
        name: name.to_owned(),
        media_type: "video/mp4".to_owned(),
        size_bytes,
        duration_ms,
        epoch_chunks: 64,
        uploaded_bytes: 0,
    };
    vec![file(0, "bbb.mp4", 40 * 1024 * 1024, Some(596_000)), file(1, "empty.txt", 0, None)]
}

/// A published release of a title.
pub async fn release(tx: &mut Tx, title: TitleId) -> ReleaseId {
    let id = ReleaseId::from_bytes(fresh());
    let whole: Vec<File> =
        files().into_iter().map(|file| File { uploaded_bytes: file.size_bytes, ..file }).collect();
    release::insert(tx, id, title, Some(&sealed()), &whole, NOW_MS).await.unwrap();
    assert!(release::publish(tx, id, "a.b.c", NOW_MS + 1).await.unwrap());
    id
}

/// A payment of which its provider was not asked yet.
pub fn payment(account: AccountId, minor: i64) -> Payment {
    let id = PaymentId::from_bytes(fresh());
    let check_at_ms = Some(NOW_MS + 1000);
    Payment { check_at_ms, ..Payment::new(id, account, "simulated", dollars(minor), NOW_MS) }
}

/// Puts money into a wallet.
pub async fn top_up(tx: &mut Tx, account: AccountId, minor: i64) {
    let payment = payment(account, minor);
    payment::insert(tx, &payment).await.unwrap();
    let reference = payment.id.to_string();
    assert!(payment::succeed(tx, &payment, &reference, &reference, NOW_MS).await.unwrap());
}

/// Buys a plan, if the wallet holds enough.
pub async fn buy(tx: &mut Tx, account: AccountId, plan: &Plan) -> Option<Entitlement> {
    let sale = draft(account, plan, Conditions::default());
    let settled = purchase::settle(tx, plan, &sale).await.unwrap();
    (settled == Settled::Yes).then(|| sale.entitlement().clone())
}

/// What buying a plan would be.
pub fn draft(account: AccountId, plan: &Plan, conditions: Conditions) -> Sale {
    let purchase = PurchaseId::from_bytes(fresh());
    let id = || EntitlementId::from_bytes(fresh());
    purchase::draft(account, plan, purchase, id, conditions, NOW_MS).unwrap()
}

/// The one title that a plan is for.
pub fn title_of(plan: &Plan) -> TitleId {
    plan.scope().and_then(Scope::title).unwrap()
}

pub fn new_view(entitlement: &Entitlement, release: ReleaseId, device: Thumbprint) -> NewView {
    NewView {
        id: ViewId::from_bytes(fresh()),
        entitlement_id: entitlement.id,
        account_id: entitlement.account_id,
        title_id: entitlement.scope.title().unwrap(),
        release_id: release,
        device,
        agreement_key: [7; 32],
    }
}

/// A viewer who has bought a rental of so many views of a published release.
pub async fn rented(tx: &mut Tx, views: Option<u32>) -> (Entitlement, ReleaseId) {
    let publisher = account(tx, "studio@example.org", &[Role::Publisher]).await;
    let viewer = account(tx, "viewer@example.org", &[Role::Viewer]).await;
    let plan = plan(tx, publisher, views).await;
    let release = release(tx, title_of(&plan)).await;
    top_up(tx, viewer, 50).await;
    (buy(tx, viewer, &plan).await.expect("the wallet holds 50 cents"), release)
}
