//! Royalties, in process: which rules hold, and what is final.

use matinee_protocol::id::TitleId;
use matinee_server::royalty::span::{FINAL_AFTER_MS, Span};
use matinee_server::store::account::Role;
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::terms::buy;

async fn put_rules(bench: &Bench, operator: &str, title: TitleId, body: Value) -> crate::bench::Answer {
    let call = bench.call("PUT", format!("/v1/titles/{title}/royalty-rules"));
    call.json(&body).bearer(operator).send().await
}

fn rules(share_basis_points: u32, minimum_minor: i64) -> Value {
    json!([{ "holder": "Studio", "share_basis_points": share_basis_points, "minimum_minor": minimum_minor }])
}

async fn statement(bench: &Bench, operator: &str, month: &str) -> Value {
    bench.get(format!("/v1/royalties/{month}")).bearer(operator).send().await.expect(200).json()
}

/// Plays, revenue and what is earned of each title of a month that earns something or was played.
async fn lines(bench: &Bench, operator: &str, month: &str) -> Vec<(TitleId, u64, i64, i64)> {
    let told = statement(bench, operator, month).await;
    let line = |line: &Value| {
        let number = |name: &str| line[name].as_i64().unwrap();
        let title = line["title"].as_str().unwrap().parse().unwrap();
        (title, line["plays"].as_u64().unwrap(), number("revenue_minor"), number("amount_minor"))
    };
    told["statement"]["lines"].as_array().unwrap().iter().map(line).collect()
}

pub async fn rules_hold_from_a_month_on(bench: &Bench) {
    let operator = bench.login("op@example.org", &[Role::Operator]).await;
    let path = format!("/v1/titles/{}/royalty-rules", bench.title);
    let shown = async |query: &str| {
        bench.get(format!("{path}{query}")).bearer(&operator).send().await.expect(200).json()
    };
    let expected = |from: Value, rules: Value| json!({ "title": bench.title, "currency": "USD", "from": from, "rules": rules });
    assert_eq!(shown("").await, expected(Value::Null, json!([])));
    let ana = bench.viewer("ana@example.org").await;
    buy(bench, &ana, json!({ "plan": bench.plan })).await.expect(201);
    let set = put_rules(bench, &operator, bench.title, json!({ "rules": rules(5_000, 0) })).await;
    assert_eq!(set.expect(200).json(), expected(json!("2026-11"), rules(5_000, 0)));
    let later = json!({ "rules": rules(1_000, 0), "from": "2027-01" });
    put_rules(bench, &operator, bench.title, later).await.expect(200);
    assert_eq!(shown("").await, expected(json!("2026-11"), rules(5_000, 0)));
    assert_eq!(shown("?month=2026-10").await, expected(Value::Null, json!([])));
    assert_eq!(shown("?month=2027-02").await, expected(json!("2027-01"), rules(1_000, 0)));
    assert_eq!(lines(bench, &operator, "2026-11").await, [(bench.title, 0, 50, 25)]);

    // The month is over, and may still be set right; a day later its statement stays as it is.
    let november = Span::month("2026-11").unwrap();
    bench.clock.advance_ms(november.until_ms - bench.clock_ms());
    assert_eq!(statement(bench, &operator, "2026-11").await["final"], false);
    let right = json!({ "rules": rules(6_000, 0), "from": "2026-11" });
    put_rules(bench, &operator, bench.title, right).await.expect(200);
    bench.clock.advance_ms(FINAL_AFTER_MS - 1);
    assert_eq!(statement(bench, &operator, "2026-11").await["final"], false);
    bench.clock.advance_ms(1);
    let last = statement(bench, &operator, "2026-11").await;
    assert_eq!((&last["final"], &last["statement"]["lines"][0]["amount_minor"]), (&json!(true), &json!(30)));
    let late = json!({ "rules": rules(7_000, 0), "from": "2026-11" });
    let refused = put_rules(bench, &operator, bench.title, late).await.expect(422);
    assert_eq!(refused.code(), "royalty_month_final");
    // No rules from now on are rules too.
    put_rules(bench, &operator, bench.title, json!({ "rules": [] })).await.expect(200);
    assert_eq!(shown("").await, expected(json!("2026-12"), json!([])));
    assert_eq!(statement(bench, &operator, "2026-11").await, last);
    for (method, body) in [("PUT", json!({ "rules": [], "from": "2026-13" })), ("GET", json!({}))] {
        let wrong = bench.call(method, format!("{path}?month=x")).json(&body).bearer(&operator);
        assert_eq!(wrong.send().await.expect(400).code(), "month_invalid", "{method}");
    }
    let nothing = bench.get("/v1/titles/0190d9e4-0000-7000-8000-000000000000/royalty-rules");
    nothing.bearer(&operator).send().await.expect(404);
}
