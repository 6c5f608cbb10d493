//! What a file of a release may be called, and what it may say it is.

use matinee_protocol::limit::{MEDIA_TYPE_BYTES_MAX, NAME_BYTES_MAX};

/// Media type of a file about which nothing is known.
pub const MEDIA_TYPE_DEFAULT: &str = "application/octet-stream";

/// Why a name or a media type was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Empty, or longer than [`NAME_BYTES_MAX`].
    #[error("give the file a name of 1 to 1024 bytes")]
    NameLength,
    /// Holds a control character, a slash or another character that a file system or a terminal takes amiss.
    #[error("leave control characters and / \\ : * ? \" < > | out of the file's name")]
    NameCharacter,
    /// `.` or `..`, or with a blank at an end, or with a dot at the end.
    #[error("give the file a plain name that neither begins nor ends with a blank nor ends with a dot")]
    NameEnds,
    /// Two files of the release have it.
    #[error("two files are called {0:?}, rename one")]
    NameTwice(String),
    /// Not `type/subtype` of RFC 6838, with parameters of plain ASCII.
    #[error("write the media type as type/subtype")]
    MediaType,
}

/// Checks a name: plain, without a folder, the same on every operating system a release may be saved on.
///
/// # Errors
/// [`Error`] says what is wrong with it.
pub fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(Error::NameLength);
    }
    // U+202A..U+202E and U+2066..U+2069 turn the direction of writing and so can dress up an extension.
    let refused = |c: char| {
        c.is_control()
            || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    if name.chars().any(refused) {
        return Err(Error::NameCharacter);
    }
    if name.ends_with('.') || name.ends_with(' ') || name.starts_with(' ') {
        return Err(Error::NameEnds);
    }
    Ok(())
}

/// Checks a media type (RFC 6838 names, optional parameters).
///
/// # Errors
/// [`Error::MediaType`].
pub fn check_media_type(media_type: &str) -> Result<(), Error> {
    if media_type.len() > MEDIA_TYPE_BYTES_MAX {
        return Err(Error::MediaType);
    }
    let essence = media_type.split(';').next().unwrap_or_default().trim_end();
    let Some((kind, subtype)) = essence.split_once('/') else { return Err(Error::MediaType) };
    let name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c))
    };
    let plain = media_type.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    if name(kind) && name(subtype) && plain { Ok(()) } else { Err(Error::MediaType) }
}

/// Media type by the name's extension.
#[must_use]
pub fn media_type_of(name: &str) -> String {
    mime_guess::from_path(name).first_raw().unwrap_or(MEDIA_TYPE_DEFAULT).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_pass() {
        for name in ["film.mp4", "01 – Ouverture.flac", "盛宴.mkv", "a", ".hidden", "a.b"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn tricks_do_not() {
        for name in ["", "/etc/passwd", "../x", "a/b", ".", "..", "nul.", "x ", " b"] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["a\\b", "C:x", "a\0b", "a\nb", "gnp.\u{202e}exe", "a|b"] {
            assert_eq!(check_name(name), Err(Error::NameCharacter), "{name:?}");
        }
        assert_eq!(check_name(&"a".repeat(NAME_BYTES_MAX + 1)), Err(Error::NameLength));
    }

    #[test]
    fn media_types() {
        for good in ["video/mp4", "application/epub+zip", "text/plain; charset=utf-8", "audio/x-m4a"] {
            assert_eq!(check_media_type(good), Ok(()), "{good}");
        }
        for bad in ["", "video", "video/", "/mp4", "video/mp4\r\nX: y", "a/b/c", "vidéo/mp4", " video/mp4"] {
            assert!(check_media_type(bad).is_err(), "{bad:?}");
        }
        assert_eq!(media_type_of("a/b.mp4"), "video/mp4");
        assert_eq!(media_type_of("README"), MEDIA_TYPE_DEFAULT);
    }
}
