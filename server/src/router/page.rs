//! The interface's document as a page: no script, nothing from elsewhere.

use std::fmt::Write as _;

use super::document::{Endpoint, tag};
use crate::api::openapi::STYLE;

/// The whole page.
pub(super) fn html(endpoints: &[Endpoint]) -> String {
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>Matinee: the HTTP interface</title><style>{STYLE}</style>\
         </head><body><main><h1>Matinee: the HTTP interface</h1><p>Every route with the authority it needs, what it takes \
         and what it answers. The same for programs: <a href=\"/v1/openapi.json\">openapi.json</a>. Errors are problem \
         JSON (RFC 9457) with a stable <code>code</code>; times are Unix milliseconds; money is in minor units.</p>"
    );
    let mut last = "";
    for endpoint in endpoints {
        let group = tag(endpoint.route.path);
        if group != last {
            let _ = write!(out, "<h2>{}</h2>", escaped(group));
            last = group;
        }
        section(&mut out, endpoint);
    }
    out.push_str("</main></body></html>\n");
    out
}

fn section(out: &mut String, endpoint: &Endpoint) {
    let (route, doc) = (&endpoint.route, &endpoint.doc);
    let _ = write!(
        out,
        "<section><h3><b>{}</b> <code>{}</code></h3><p>{}. <i>{}</i></p>",
        route.method,
        escaped(route.path),
        escaped(doc.summary),
        escaped(route.authority.text())
    );
    let once = doc.once.then_some("Idempotency-Key");
    let headers: Vec<_> = doc.headers.iter().map(|header| header.name).chain(once).collect();
    if !headers.is_empty() {
        let _ = write!(out, "<p>Headers: <code>{}</code></p>", escaped(&headers.join(", ")));
    }
    if !doc.query.is_empty() {
        let query: Vec<_> = doc.query.iter().map(|query| query.name).collect();
        let _ = write!(out, "<p>Query: <code>{}</code></p>", escaped(&query.join(", ")));
    }
    if let Some(body) = &doc.body {
        schema(out, "Body", body.media_type, &body.schema);
    }
    for answer in &doc.answers {
        match &answer.content {
            Some(content) => schema(out, &answer.status.to_string(), content.media_type, &content.schema),
            None => {
                let _ = write!(out, "<p><b>{}</b> without a body</p>", answer.status);
            }
        }
    }
    out.push_str("<p>Problems: ");
    for (at, (status, code)) in endpoint.problems().into_iter().enumerate() {
        let _ = write!(out, "{}{status} <code>{code}</code>", if at > 0 { ", " } else { "" });
    }
    out.push_str("</p></section>");
}

fn schema(out: &mut String, name: &str, media_type: &str, schema: &serde_json::Value) {
    let text = serde_json::to_string_pretty(schema).unwrap_or_default();
    let _ = write!(
        out,
        "<details><summary><b>{}</b> {}</summary><pre>{}</pre></details>",
        escaped(name),
        escaped(media_type),
        escaped(&text)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn text_is_escaped() {
        assert_eq!(escaped("a<b>&\"c\""), "a&lt;b&gt;&amp;&quot;c&quot;");
    }
}
