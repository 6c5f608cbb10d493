//! What an endpoint takes and answers, told beside its handler; the router puts them together as the OpenAPI document.
//!
//! Every route names its handler's `doc()`, so that a route without one does not compile. Schemas come from the types
//! that are read and written.

use std::collections::BTreeMap;

use matinee_protocol::api::AccountSummary;
use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

/// JSON, the media type of nearly everything.
const JSON: &str = "application/json";

/// What the rules of licensing refuse with.
const RULES: &[&str] = &[
    "entitlement_revoked",
    "entitlement_cancelled",
    "entitlement_returned",
    "subscription_lapsed",
    "start_window_over",
    "play_window_over",
    "no_views_left",
    "title_not_covered",
    "tier_too_low",
    "group_required",
    "not_available_yet",
    "no_longer_available",
    "country_not_allowed",
    "country_unknown",
    "quota_used_up",
    "too_many_devices",
    "too_many_views",
    "view_ended",
    "view_expired",
    "view_stopped",
    "preview_over",
    "break_not_shown",
    "break_not_started",
    "break_not_over",
    "offline_not_allowed",
    "too_many_leases",
    "lease_over",
];

/// One endpoint.
#[derive(Debug, Clone, Default)]
pub struct Doc {
    pub(crate) summary: &'static str,
    pub(crate) body: Option<Content>,
    pub(crate) body_optional: bool,
    pub(crate) query: Vec<Parameter>,
    pub(crate) headers: Vec<Parameter>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) problems: Vec<(u16, &'static str)>,
    pub(crate) once: bool,
    pub(crate) schemas: BTreeMap<String, Value>,
}

/// A body: its media type and its schema.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) media_type: &'static str,
    pub(crate) schema: Value,
}

/// A parameter of the query or a header.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    pub(crate) schema: Value,
    pub(crate) required: bool,
}

/// What a request that went well is answered with.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content: Option<Content>,
}

/// The properties of an answer that is put together where it is given.
#[derive(Debug, Default)]
pub struct Fields {
    properties: Map<String, Value>,
    required: Vec<&'static str>,
    schemas: BTreeMap<String, Value>,
}

impl Fields {
    /// A property that is always there.
    #[must_use]
    pub fn field<T: ToSchema>(self, name: &'static str) -> Self {
        let schema = schema_of::<T>();
        self.with::<T>(name, schema, true)
    }

    /// A property that may be missing.
    #[must_use]
    pub fn optional<T: ToSchema>(self, name: &'static str) -> Self {
        let schema = schema_of::<T>();
        self.with::<T>(name, schema, false)
    }

    /// A property that is there and may be null.
    #[must_use]
    pub fn nullable<T: ToSchema>(self, name: &'static str) -> Self {
        let schema = json!({ "oneOf": [{ "type": "null" }, schema_of::<T>()] });
        self.with::<T>(name, schema, true)
    }

    /// A list that is always there.
    #[must_use]
    pub fn list<T: ToSchema>(self, name: &'static str) -> Self {
        let schema = json!({ "type": "array", "items": schema_of::<T>() });
        self.with::<T>(name, schema, true)
    }

    /// A list of objects of these fields.
    #[must_use]
    pub fn list_of(mut self, name: &'static str, fields: impl FnOnce(Fields) -> Fields) -> Self {
        let items = fields(Fields::default()).into_schema(&mut self.schemas);
        self.properties.insert(name.to_owned(), json!({ "type": "array", "items": items }));
        self.required.push(name);
        self
    }

    /// An object of these fields.
    #[must_use]
    pub fn object(mut self, name: &'static str, fields: impl FnOnce(Fields) -> Fields) -> Self {
        let object = fields(Fields::default()).into_schema(&mut self.schemas);
        self.properties.insert(name.to_owned(), object);
        self.required.push(name);
        self
    }

    fn with<T: ToSchema>(mut self, name: &'static str, schema: Value, required: bool) -> Self {
        collect::<T>(&mut self.schemas);
        self.properties.insert(name.to_owned(), schema);
        if required {
            self.required.push(name);
        }
        self
    }

    fn into_schema(self, schemas: &mut BTreeMap<String, Value>) -> Value {
        schemas.extend(self.schemas);
        json!({ "type": "object", "properties": self.properties, "required": self.required })
    }
}

impl Doc {
    /// An endpoint, in a few words.
    pub fn new(summary: &'static str) -> Self {
        Self { summary, ..Self::default() }
    }

    /// It takes this as JSON.
    #[must_use]
    pub fn body<T: ToSchema>(mut self) -> Self {
        collect::<T>(&mut self.schemas);
        self.body = Some(Content { media_type: JSON, schema: schema_of::<T>() });
        self
    }

    /// It takes an object without fields, or nothing.
    #[must_use]
    pub fn empty_body(mut self) -> Self {
        self.body = Some(Content { media_type: JSON, schema: json!({ "type": "object" }) });
        self.body_optional = true;
        self
    }

    /// It takes bytes of this media type.
    #[must_use]
    pub fn bytes(mut self, media_type: &'static str) -> Self {
        self.body = Some(Content { media_type, schema: json!({}) });
        self
    }

    /// It takes an `Idempotency-Key`.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// It answers page by page: `limit` and `cursor` in the query, `next` in the answer.
    #[must_use]
    pub fn paged(self, limit_max: u32) -> Self {
        let limit = json!({ "type": "integer", "minimum": 1, "maximum": limit_max });
        self.query("limit", "how many at most", limit)
            .query("cursor", "`next` of the page before; opaque", json!({ "type": "string" }))
            .problem(400, "cursor_invalid")
            .problem(400, "query_invalid")
    }

    /// It reads this parameter of the query, where it is there.
    #[must_use]
    pub fn query(mut self, name: &'static str, text: &'static str, schema: Value) -> Self {
        self.query.push(Parameter { name, text, schema, required: false });
        self
    }

    /// It reads this header.
    #[must_use]
    pub fn header(mut self, name: &'static str, text: &'static str, required: bool, schema: Value) -> Self {
        self.headers.push(Parameter { name, text, schema, required });
        self
    }

    /// It answers with this as JSON.
    #[must_use]
    pub fn answer<T: ToSchema>(mut self, status: u16) -> Self {
        collect::<T>(&mut self.schemas);
        let content = Content { media_type: JSON, schema: schema_of::<T>() };
        self.answers.push(Answer { status, content: Some(content) });
        self
    }

    /// It answers with an object of these fields.
    #[must_use]
    pub fn object(mut self, status: u16, fields: impl FnOnce(Fields) -> Fields) -> Self {
        let schema = fields(Fields::default()).into_schema(&mut self.schemas);
        self.answers.push(Answer { status, content: Some(Content { media_type: JSON, schema }) });
        self
    }

    /// It answers with an account that is signed in, and its login token where that is not in a cookie.
    #[must_use]
    pub fn signs_in(self) -> Self {
        self.object(201, |it| it.field::<AccountSummary>("account").optional::<String>("session_token"))
    }

    /// It answers without a body.
    #[must_use]
    pub fn bare(mut self, status: u16) -> Self {
        self.answers.push(Answer { status, content: None });
        self
    }

    /// It answers with something else than JSON.
    #[must_use]
    pub fn media(mut self, status: u16, media_type: &'static str) -> Self {
        let schema = if media_type.starts_with("text/") { json!({ "type": "string" }) } else { json!({}) };
        self.answers.push(Answer { status, content: Some(Content { media_type, schema }) });
        self
    }

    /// It refuses with this code, beside what every endpoint of its kind refuses with.
    #[must_use]
    pub fn problem(mut self, status: u16, code: &'static str) -> Self {
        self.problems.push((status, code));
        self
    }

    /// It refuses what the rules of licensing do not allow.
    #[must_use]
    pub fn rules(self) -> Self {
        self.problems(403, RULES)
    }

    /// It refuses with one of these codes.
    #[must_use]
    pub fn problems(mut self, status: u16, codes: &[&'static str]) -> Self {
        self.problems.extend(codes.iter().map(|code| (status, *code)));
        self
    }
}

/// The schema of a type, whole; what it is made of is referred to by name.
fn schema_of<T: PartialSchema>() -> Value {
    serde_json::to_value(T::schema()).unwrap_or_default()
}

fn collect<T: ToSchema>(schemas: &mut BTreeMap<String, Value>) {
    let mut named = Vec::new();
    T::schemas(&mut named);
    schemas.extend(
        named.into_iter().map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default())),
    );
}
