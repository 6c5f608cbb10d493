//! Viewers with a login, fifty cents and a device each, put into the store before the clock starts: passwords are slow to
//! hash on purpose, and making a device's keys is the device's work.

use matinee_protocol::api::Money;
use matinee_protocol::device::SigningKey;
use matinee_protocol::id::{AccountId, PaymentId};
use matinee_protocol::license::AgreementSecret;
use matinee_server::store::account::{self, Account, Role};
use matinee_server::store::payment::{self, Payment};
use matinee_server::store::{Store, session};
use matinee_tests::deployment::PRICE_MINOR;
use matinee_tests::viewer::now_s;

use crate::progress;

/// Accounts in one transaction: a long one costs SQLite more for each statement that came before.
const BATCH: usize = 50;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A viewer's device; its login is its number's.
pub(crate) struct Viewer {
    pub(crate) login: String,
    pub(crate) signing: SigningKey,
    pub(crate) agreement: [u8; 32],
}

/// The seed that a device's keys come from: its number, so that a run can be repeated.
fn seed(number: usize, of: u8) -> [u8; 32] {
    let mut seed = [of; 32];
    seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
    seed
}

/// The agreement key of a viewer's device.
pub(crate) fn agreement(number: usize) -> AgreementSecret {
    AgreementSecret::from_bytes(seed(number, 2))
}

/// Makes every viewer's device.
pub(crate) fn devices(count: usize) -> Vec<Viewer> {
    let bar = progress::bar("device keys", count);
    let viewer = |number| {
        bar.inc(1);
        Viewer {
            login: login(number),
            signing: SigningKey::from_seed(&seed(number, 1)),
            agreement: agreement(number).public(),
        }
    };
    let made = (0..count).map(viewer).collect();
    bar.finish_and_clear();
    made
}

pub(crate) fn login(number: usize) -> String {
    format!("login-of-viewer-{number:08}")
}

/// An id whose time is `now_ms`, as the server makes them.
pub(crate) fn id(now_ms: i64) -> [u8; 16] {
    matinee_server::random::id(now_ms)
}

/// Opens every account, signs it in and puts the price of one rental into its wallet. Gives their ids.
pub(crate) async fn open_accounts(store: &Store, count: usize, now_ms: i64) -> Vec<AccountId> {
    let logins_until_ms = i64::try_from(now_s()).expect("now") * 1000 + DAY_MS;
    let mut opened = Vec::with_capacity(count);
    let bar = progress::bar("accounts with a login and a wallet", count);
    for first in (0..count).step_by(BATCH) {
        let mut tx = store.write().await.expect("the store is there");
        for number in first..count.min(first + BATCH) {
            let account = Account {
                id: AccountId::from_bytes(id(now_ms)),
                email: format!("viewer{number}@example.com"),
                name: format!("Viewer {number}"),
                roles: vec![Role::Viewer],
                created_at_ms: now_ms,
            };
            // No password has this hash: they sign in by the logins below.
            assert!(account::insert(&mut tx, &account, "!").await.expect("an account is opened"), "once");
            let hash = session::hash(&login(number));
            session::insert(&mut tx, &hash, account.id, now_ms, logins_until_ms)
                .await
                .expect("a login is kept");
            let amount = Money { minor: PRICE_MINOR, currency: "USD".to_owned() };
            let payment =
                Payment::new(PaymentId::from_bytes(id(now_ms)), account.id, "simulated", amount, now_ms);
            payment::insert(&mut tx, &payment).await.expect("a payment begins");
            let reference = payment.id.to_string();
            let credited = payment::succeed(&mut tx, &payment, &reference, &reference, now_ms).await;
            assert!(credited.expect("money is credited"), "once");
            opened.push(account.id);
            bar.inc(1);
        }
        tx.commit().await.expect("the store commits");
    }
    bar.finish_and_clear();
    opened
}
