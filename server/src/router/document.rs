//! Puts the OpenAPI 3.1 document together: the route table, what each endpoint tells of itself, and what every endpoint
//! of its kind has in common.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::ToSchema as _;

use super::{Authority, Route};
use crate::api::doc::{Answer, Doc};
use crate::api::idempotent::KEY_CHARS_MAX;
use crate::api::openapi::Document;

/// A route with what its endpoint tells of itself.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The route.
    pub route: Route,
    /// The rest.
    pub doc: Doc,
}

impl Endpoint {
    /// Every status and code that it refuses with.
    pub fn problems(&self) -> Vec<(u16, &'static str)> {
        let mut all = self.doc.problems.clone();
        all.extend([(429, "too_fast"), (500, "internal"), (503, "store_unavailable")]);
        let session = [(401, "session_required"), (403, "origin_mismatch")];
        let proof = [(401, "proof_required"), (401, "proof_invalid"), (401, "proof_replayed")];
        let token = [
            (401, "view_token_required"),
            (401, "view_token_invalid"),
            (401, "view_token_expired"),
            (401, "proof_key_mismatch"),
        ];
        match self.route.authority {
            Authority::None | Authority::Signaling => {}
            Authority::Session => all.extend(session),
            Authority::SessionAndProof => {
                all.extend(session);
                all.extend(proof);
            }
            Authority::ApiKey => {
                all.extend(session);
                all.extend([(403, "role_required"), (403, "scope_required")]);
            }
            Authority::Publisher | Authority::Seller | Authority::Operator | Authority::Integrator => {
                all.extend(session);
                all.push((403, "role_required"));
            }
            Authority::View => {
                all.extend(proof);
                all.extend(token);
                all.push((403, "viewer_required"));
            }
            Authority::Swarm => {
                all.extend(proof);
                all.extend(token);
            }
        }
        let proven =
            matches!(self.route.authority, Authority::SessionAndProof | Authority::View | Authority::Swarm);
        if self.doc.body.is_some() || proven {
            all.extend([(400, "malformed_request"), (413, "body_too_large")]);
        }
        if self.route.path.contains('{') {
            all.push((404, "not_found"));
        }
        if self.doc.once {
            all.extend([
                (400, "idempotency_key_missing"),
                (400, "idempotency_key_invalid"),
                (409, "idempotency_key_in_flight"),
                (422, "idempotency_key_reused"),
            ]);
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Statuses of requests that went well.
    pub fn answers(&self) -> Vec<u16> {
        let mut all: Vec<u16> = self.doc.answers.iter().map(|answer| answer.status).collect();
        if self.may_be_unchanged() {
            all.push(304);
        }
        all
    }

    /// Whether `If-None-Match` may answer 304.
    fn may_be_unchanged(&self) -> bool {
        self.route.method == "GET" && self.doc.answers.iter().any(|answer| answer.status == 200)
    }

    /// The name of the operation: method and path in words.
    fn id(&self) -> String {
        let words = self.route.path.split(['/', '{', '}', '-', '.']).filter(|word| !word.is_empty());
        let words: Vec<_> = words.filter(|word| *word != "v1").collect();
        format!("{}_{}", self.route.method.to_lowercase(), words.join("_"))
    }
}

/// The document, as JSON and as a page.
pub fn document(endpoints: &[Endpoint], public_url: &str) -> Document {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut schemas = BTreeMap::new();
    let mut problem_parts = Vec::new();
    matinee_protocol::api::Problem::schemas(&mut problem_parts);
    schemas.insert(
        "Problem".to_owned(),
        json!(<matinee_protocol::api::Problem as utoipa::PartialSchema>::schema()),
    );
    for (name, schema) in problem_parts {
        schemas.insert(name, json!(schema));
    }
    for endpoint in endpoints {
        schemas.extend(endpoint.doc.schemas.clone());
        let method = endpoint.route.method.to_lowercase();
        paths.entry(endpoint.route.path).or_default().insert(method, operation(endpoint));
    }
    let whole = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Matinee",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Accounts, purchases, views and licenses. Errors are problem JSON (RFC 9457) with a stable \
                            `code`; times are Unix milliseconds; money is in minor units.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": public_url }],
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": security_schemes() },
    });
    Document::new(&whole, super::page::html(endpoints))
}

fn security_schemes() -> Value {
    json!({
        "cookie": { "type": "apiKey", "in": "cookie", "name": crate::api::authority::COOKIE },
        "session": { "type": "http", "scheme": "bearer", "description": "the token of a login session" },
        "api_key": { "type": "http", "scheme": "bearer", "description": "an API key" },
        "view": {
            "type": "apiKey", "in": "header", "name": "Authorization",
            "description": "`DPoP <view token>`, with a proof in the DPoP header",
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let mut parameters = path_parameters(endpoint.route.path);
    for query in &endpoint.doc.query {
        parameters.push(parameter(query.name, "query", query.required, query.text, &query.schema));
    }
    for header in &endpoint.doc.headers {
        parameters.push(parameter(header.name, "header", header.required, header.text, &header.schema));
    }
    if endpoint.doc.once {
        let schema =
            json!({ "type": "string", "minLength": 1, "maxLength": KEY_CHARS_MAX, "pattern": "^[!-~]+$" });
        let text = "the same key again gets the first answer again, for a day";
        parameters.push(parameter("Idempotency-Key", "header", true, text, &schema));
    }
    if proven(endpoint.route.authority) {
        let text = "proof of possession of the device key (RFC 9449)";
        parameters.push(parameter("DPoP", "header", true, text, &json!({ "type": "string" })));
    }
    let mut out = Map::new();
    out.insert("operationId".to_owned(), json!(endpoint.id()));
    out.insert("summary".to_owned(), json!(endpoint.doc.summary));
    out.insert("tags".to_owned(), json!([tag(endpoint.route.path)]));
    out.insert("security".to_owned(), security(endpoint.route.authority));
    out.insert("x-authority".to_owned(), json!(endpoint.route.authority.text()));
    if !parameters.is_empty() {
        out.insert("parameters".to_owned(), json!(parameters));
    }
    if let Some(body) = &endpoint.doc.body {
        let content = json!({ body.media_type: { "schema": body.schema } });
        out.insert(
            "requestBody".to_owned(),
            json!({ "required": !endpoint.doc.body_optional, "content": content }),
        );
    }
    out.insert("responses".to_owned(), responses(endpoint));
    Value::Object(out)
}

fn proven(authority: Authority) -> bool {
    matches!(authority, Authority::SessionAndProof | Authority::View | Authority::Swarm)
}

fn security(authority: Authority) -> Value {
    match authority {
        Authority::None | Authority::Signaling => json!([]),
        Authority::View | Authority::Swarm => json!([{ "view": [] }]),
        Authority::ApiKey => json!([{ "api_key": [] }, { "session": [] }, { "cookie": [] }]),
        _ => json!([{ "session": [] }, { "cookie": [] }]),
    }
}

/// The first word of a path that is no parameter.
pub(super) fn tag(path: &str) -> &str {
    path.trim_start_matches("/v1").split('/').find(|part| !part.is_empty()).unwrap_or("server")
}

fn parameter(name: &str, place: &str, required: bool, text: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": place, "required": required, "description": text, "schema": schema })
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names =
        path.split('/').filter_map(|part| part.strip_prefix('{').and_then(|part| part.strip_suffix('}')));
    names
        .map(|name| {
            let schema = match name {
                "file" | "page" => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
                _ => json!({ "type": "string" }),
            };
            parameter(name, "path", true, "what is named", &schema)
        })
        .collect()
}

fn responses(endpoint: &Endpoint) -> Value {
    let mut out = Map::new();
    for answer in &endpoint.doc.answers {
        out.insert(answer.status.to_string(), answered(answer));
    }
    if endpoint.may_be_unchanged() {
        out.entry("304")
            .or_insert_with(|| json!({ "description": "unchanged since the ETag of If-None-Match" }));
    }
    let mut codes: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for (status, code) in endpoint.problems() {
        codes.entry(status).or_default().push(code);
    }
    for (status, codes) in codes {
        let mut problem = json!({
            "description": format!("`{}`", codes.join("`, `")),
            "x-codes": codes,
        });
        // What HEAD asks for is answered without a body.
        if endpoint.route.method != "HEAD" {
            problem["content"] = json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
        }
        out.insert(status.to_string(), problem);
    }
    Value::Object(out)
}

fn answered(answer: &Answer) -> Value {
    let description = axum::http::StatusCode::from_u16(answer.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("answered");
    match &answer.content {
        Some(content) => {
            json!({ "description": description, "content": { content.media_type: { "schema": content.schema } } })
        }
        None => json!({ "description": description }),
    }
}
