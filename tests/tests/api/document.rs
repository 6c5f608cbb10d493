//! The interface against its own document: requests that the document allows, and requests that it does not, are answered
//! as it says.

use std::time::Duration;

use matinee_tests::deployment::Deployment;
use matinee_tests::film;
use matinee_tests::process::run;
use matinee_tests::python;
use matinee_tests::viewer::Viewer;
use tokio::process::Command;

/// Requests made up for each operation: some as the document has them, some as it does not.
const EXAMPLES: &str = "6";

#[tokio::test]
async fn schemathesis_finds_no_failure_and_nothing_that_is_not_documented() {
    // The limits are tried elsewhere; here they would only hide what is behind them.
    let environment = [
        ("MATINEE_SERVER__REQUESTS_PER_MINUTE_MAX", "0"),
        ("MATINEE_ACCOUNT__SIGN_IN_ATTEMPTS_PER_MINUTE_MAX", "1000000"),
        ("MATINEE_ACCOUNT__GUESTS_PER_HOUR_MAX", "1000000"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let deployment = Deployment::start_with(None, environment).await;
    deployment.publish("One", &[&film::exact(1_000)], 3).await;
    deployment.add_account("all@example.com", "operator").await;
    let mut roles = deployment.command(&["account", "roles", "all@example.com"]);
    for role in ["operator", "publisher", "carrier", "integrator"] {
        roles.args(["--role", role]);
    }
    matinee_tests::process::run_ok(roles, "").await;
    let account = Viewer::sign_in(&deployment.url(), "all@example.com").await;
    account.top_up(100_000).await;

    let mut command = Command::new(python::program("schemathesis"));
    command.arg("run").arg(format!("{}/v1/openapi.json", deployment.url()));
    command.args(["--header", &format!("Authorization: Bearer {}", account.session)]);
    command.args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"]);
    command.args(["--checks", "response_schema_conformance,response_headers_conformance"]);
    command.args(["--phases", "fuzzing", "--max-examples", EXAMPLES, "--no-shrink", "--continue-on-failure"]);
    command.args(["--request-timeout", "20", "--seed", "1", "--workers", "2"]);
    // Signing out, and closing the account, would end what the rest is asked with; an upload is no JSON.
    command.args(["--exclude-path-regex", "^/v1/(sessions|account/closure)|/upload$"]);
    command.args(["--no-color", "--suppress-health-check", "all", "--generation-database", "none"]);
    command.current_dir(deployment.folder());
    let ended = tokio::time::timeout(Duration::from_secs(150), run(command, "")).await.unwrap();
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    let tested =
        ended.stdout.lines().find_map(|line| line.trim().strip_prefix("Tested: ")?.parse::<usize>().ok());
    assert!(tested.is_some_and(|tested| tested > 50), "{tested:?} operations: {}", ended.stdout);
}
