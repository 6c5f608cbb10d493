//! Text as it is searched: folded, so that "Björk", "BJÖRK" and "bjork" are one.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Words of a query; those beyond it are passed over.
pub const QUERY_WORDS_MAX: usize = 8;
/// Characters of a word; the rest of it is passed over.
pub const WORD_CHARS_MAX: usize = 40;

/// Takes a text apart into its words: letters and digits without case and accents.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    let folded: String = text
        .nfkd()
        .filter(|letter| !is_combining_mark(*letter) && *letter != '\'' && *letter != '’')
        .flat_map(char::to_lowercase)
        .collect();
    let parts: Vec<String> = folded
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().take(WORD_CHARS_MAX).collect())
        .collect();
    parts.into_iter()
}

/// The words of a text with one space between them.
pub fn folded(text: &str) -> String {
    words(text).collect::<Vec<_>>().join(" ")
}

/// What a name is found and sorted by. A name of signs alone stands for itself.
pub fn sort_key(name: &str) -> String {
    let key = folded(name);
    if key.is_empty() { name.trim().to_lowercase() } else { key }
}

/// The words of a query, as many as count.
pub fn query(text: &str) -> Vec<String> {
    words(text).take(QUERY_WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_accents_and_signs_do_not_count() {
        for text in ["Björk", "BJÖRK", "bjork", "  björk!"] {
            assert_eq!(folded(text), "bjork", "{text}");
        }
        assert_eq!(folded("AC/DC – Don’t Stop (2 Unlimited)"), "ac dc dont stop 2 unlimited");
        assert_eq!(folded("ﬁne Ⅻ"), "fine xii");
        assert_eq!(folded("Дом 東京"), "дом 東京");
        assert_eq!((sort_key("!!!"), sort_key("The Who")), ("!!!".to_owned(), "the who".to_owned()));
        assert_eq!(query(&"a ".repeat(20)).len(), QUERY_WORDS_MAX);
    }

    proptest! {
        #[test]
        fn folding_again_changes_nothing(text in "\\PC{0,60}") {
            let once = folded(&text);
            prop_assert_eq!(folded(&once), once.clone());
            prop_assert!(once.chars().all(|letter| letter.is_alphanumeric() || letter == ' '));
        }
    }
}
