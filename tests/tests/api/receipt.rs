//! A receipt on its way through a real mail server.

use matinee_tests::deployment::Deployment;
use matinee_tests::film;
use matinee_tests::mail::MailServer;

#[tokio::test]
async fn a_purchase_is_mailed_to_its_buyer() {
    let mut mail = MailServer::reserved();
    let deployment = Deployment::start_with(None, mail.environment()).await;
    let published = deployment.publish("Kaffee am Fluß", &[&film::exact(1_000)], 3).await;
    let viewer = deployment.viewer("ana@example.com").await;
    viewer.buy(&published).await;
    // The mail server comes up late: what could not be sent is sent again.
    mail.start();
    let said = mail.next().await;
    for line in [
        "From: Cinema <films@cinema.example>",
        "To: ana@example.com",
        "Subject: Your receipt: Kaffee am =?utf-8?b?Rmx1w58=?=",
        "Paid: 0.50 USD",
    ] {
        assert!(said.iter().any(|one| one == line), "{line} is not in {said:#?}");
    }
    deployment.check_ledger().await;
}
