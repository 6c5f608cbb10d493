//! A receipt on its way through a real mail server.

use matinee_tests::deployment::Deployment;
use matinee_tests::film;
use matinee_tests::process::Running;
use matinee_tests::python;
use tokio::process::Command;

#[tokio::test]
async fn a_purchase_is_mailed_to_its_buyer() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let environment = vec![
        ("MATINEE_OUTBOX__SMTP_URL".to_owned(), format!("smtp://{address}")),
        ("MATINEE_OUTBOX__MAIL_FROM".to_owned(), "Cinema <films@cinema.example>".to_owned()),
    ];
    let deployment = Deployment::start_with(None, environment).await;
    let published = deployment.publish("Kaffee am Fluß", &[&film::exact(1_000)], 3).await;
    let viewer = deployment.viewer("ana@example.com").await;
    viewer.buy(&published).await;
    // The mail server comes up late: what could not be sent is sent again.
    let mut command = Command::new(python::program("python"));
    command.args(["-u", "-m", "aiosmtpd", "-n", "-l", &address.to_string()]);
    command.args(["-c", "aiosmtpd.handlers.Debugging", "stdout"]);
    let mut mail = Running::start(command);
    let mut said = Vec::new();
    mail.wait_line("the end of the message", |line| {
        said.push(line.to_owned());
        line.contains("END MESSAGE").then_some(())
    })
    .await;
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
