//! One word for one thing: the table in docs/ARCHITECTURE.md, as far as a machine can tell.
//!
//! Names are split into their words (`UserId`, `user_id`: user, id) and each word is looked up. Comments and
//! strings are prose, in which many of these words are innocent; they are held to the short list at the end.
//! Words that are somebody else's, such as an HTTP header's or a browser's interface, are let through by the
//! word that stands next to them.

use super::Source;

/// A word that is refused in names, what to say instead, and the neighbours (words with spaces between them)
/// that make it somebody else's.
struct Refused {
    word: &'static str,
    instead: &'static str,
    before: &'static str,
    after: &'static str,
}

const fn refused(word: &'static str, instead: &'static str) -> Refused {
    Refused { word, instead, before: "", after: "" }
}

const NAMES: [Refused; 16] = [
    refused("licence", "license"),
    refused("licences", "licenses"),
    refused("manager", "what it does"),
    refused("helper", "what it does"),
    refused("helpers", "what they do"),
    refused("utils", "what they do"),
    refused("tracker", "signaling"),
    refused("keystore", "key vault"),
    refused("savings", "offload"),
    refused("packet", "frame"),
    refused("packets", "frames"),
    refused("asset", "title"),
    refused("users", "accounts or viewers"),
    Refused {
        word: "util",
        instead: "what it does",
        before: "tokio futures http tower node hyper",
        after: "",
    },
    Refused {
        word: "user",
        instead: "account or viewer",
        before: "unknown",
        after: "agent version data verification activation info name handle select",
    },
    Refused {
        word: "content",
        instead: "title",
        before: "text client inner max min fit justify align entity no partial",
        after: "type types length range ranges disposition encoding security language key keys rect window \
                document location box editable visibility",
    },
];

/// Files that speak of somebody else's things by their names: OpenAPI's media types, a page's `meta`, FTS5's option.
const BORROWED: [(&str, &str); 9] = [
    ("server/src/api/doc.rs", "content"),
    ("server/src/router/document.rs", "content"),
    ("server/src/router/page.rs", "content"),
    ("migrations/sqlite/0005_catalogue.sql", "content"),
    ("migrations/sqlite/0016_search.sql", "content"),
    // The name that the library of pools has for who makes connections.
    ("server/src/store/sqlite.rs", "manager"),
    // WebAuthn's word.
    ("server/src/passkey.rs", "user"),
    ("web/src/storefront/passkey.ts", "user"),
    ("web/test/sign_in.test.ts", "user"),
];

/// Refused in prose too.
const PROSE: [(&str, &str); 2] = [("keystore", "key vault"), ("licence", "license")];
/// This file has to name what it refuses.
const HERE: &str = "xtask/src/tidy/words.rs";

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for source in
        sources.iter().filter(|source| source.path != HERE && source.has_extension(&["rs", "ts", "sql"]))
    {
        for (index, line) in without_prose(&source.text).lines().enumerate() {
            for name in line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-') {
                let borrowed = |word: &str| BORROWED.contains(&(source.path.as_str(), word));
                problems.extend(problem(name, borrowed).map(|problem| source.at(index + 1, &problem)));
            }
        }
    }
    let prose = ["rs", "ts", "sql", "md", "html", "toml"];
    for source in sources.iter().filter(|source| source.path != HERE && source.has_extension(&prose)) {
        for (index, line) in source.text.lines().enumerate() {
            let lower = line.to_lowercase();
            if let Some((word, instead)) = PROSE.iter().find(|(word, _)| has_word(&lower, word)) {
                problems.push(source.at(index + 1, &format!("`{word}`: say {instead}")));
            }
        }
    }
    problems
}

fn problem(name: &str, borrowed: impl Fn(&str) -> bool) -> Option<String> {
    let words = split(name);
    for (index, word) in words.iter().enumerate() {
        let Some(refused) = NAMES.iter().find(|refused| refused.word == word && !borrowed(word)) else {
            continue;
        };
        let before = index.checked_sub(1).and_then(|index| words.get(index)).map_or("", String::as_str);
        let after = words.get(index + 1).map_or("", String::as_str);
        if !has(refused.before, before) && !has(refused.after, after) {
            return Some(format!("`{name}`: say {}, see the Words table", refused.instead));
        }
    }
    None
}

fn has(list: &str, word: &str) -> bool {
    !word.is_empty() && list.split_whitespace().any(|listed| listed == word)
}

/// The words of a name, in lower case: `XContentKey`, `x_content_key` and `x-content-key` are x, content, key.
fn split(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut last = '_';
    for c in name.chars() {
        if !c.is_alphanumeric() {
            last = '_';
            continue;
        }
        let begins = last == '_' || (c.is_uppercase() && last.is_lowercase());
        match words.last_mut() {
            Some(word) if !begins => word.extend(c.to_lowercase()),
            _ => words.push(c.to_lowercase().collect()),
        }
        last = c;
    }
    words
}

fn has_word(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
    line.match_indices(word)
        .any(|(at, _)| !part(line[..at].chars().next_back()) && !part(line[at + word.len()..].chars().next()))
}

/// The source with comments and strings blanked, line by line the same.
fn without_prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") || rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            raw.find("\"#").map_or(rest.len(), |end| end + 5)
        } else if c == '"' || c == '`' {
            string_length(rest, c)
        } else if c == '\'' && quoted_length(rest).is_some() {
            quoted_length(rest).unwrap_or(1)
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        out.push(' ');
        out.extend(rest[..length].chars().filter(|c| *c == '\n'));
        rest = &rest[length..];
    }
    out
}

/// A string from its opening quote to its closing one.
fn string_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A string in single quotes on one line (TypeScript, SQL) or a character; a lifetime has no end.
fn quoted_length(text: &str) -> Option<usize> {
    let line = text.lines().next().unwrap_or_default();
    let length = string_length(line, '\'');
    // `<'a>(x: &'a str)` would read as a string: one that follows holds no bracket and no colon.
    let inner = line.get(1..length.saturating_sub(1))?;
    let closed = length > 1 && line[..length].ends_with('\'');
    let lifetime = inner.chars().take_while(|c| c.is_alphanumeric() || *c == '_').count();
    let is_lifetime =
        lifetime > 0 && lifetime < inner.chars().count() && inner[lifetime..].starts_with(['>', ',', ' ']);
    (closed && !is_lifetime).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_words() {
        assert_eq!(split("UserIdMax_content-type"), ["user", "id", "max", "content", "type"]);
    }

    #[test]
    fn neighbours_make_a_word_somebody_elses() {
        assert_eq!(problem("CONTENT_TYPE", |_| false), None);
        assert_eq!(problem("content_key", |_| false), None);
        assert_eq!(problem("textContent", |_| false), None);
        assert!(problem("content_id", |_| false).is_some());
        assert_eq!(problem("content_id", |word| word == "content"), None);
        assert!(problem("UserId", |_| false).is_some());
        assert_eq!(problem("userAgent", |_| false), None);
    }

    #[test]
    fn comments_and_strings_are_prose() {
        let text = "let a = \"user\"; // user\n/* user\n*/ fn f<'a>(user: &'a str) {} 'user'";
        let blanked = without_prose(text);
        assert_eq!(blanked.lines().count(), 3);
        assert_eq!(blanked.matches("user").count(), 1, "{blanked}");
    }
}
