//! A type of its own for every id and index.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::encoding::{array_from_b64u, b64u};

/// A text that is not an id of the expected form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0}")]
pub struct Error(&'static str);

/// Hyphenated lower-case UUID text, the only form that is accepted.
fn uuid_text(bytes: &[u8; 16]) -> String {
    let mut text = hex::encode(bytes);
    for at in [8, 13, 18, 23] {
        text.insert(at, '-');
    }
    text
}

fn uuid_from_text(text: &str) -> Option<[u8; 16]> {
    let raw = text.as_bytes();
    if raw.len() != 36 || [8, 13, 18, 23].iter().any(|&at| raw[at] != b'-') {
        return None;
    }
    let digits: Vec<u8> = raw.iter().copied().filter(|&c| c != b'-').collect();
    if digits.len() != 32 || digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut bytes = [0; 16];
    hex::decode_to_slice(&digits, &mut bytes).ok()?;
    Some(bytes)
}

/// The patterns of ids as text, for the interface's document.
#[cfg(feature = "openapi")]
const UUID_PATTERN: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
#[cfg(feature = "openapi")]
const ID_16_PATTERN: &str = "^[A-Za-z0-9_-]{21}[AQgw]$";
#[cfg(feature = "openapi")]
const ID_32_PATTERN: &str = "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$";

#[cfg(feature = "openapi")]
fn text_schema(label: &str, pattern: &str) -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    utoipa::openapi::ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::String)
        .description(Some(label))
        .pattern(Some(pattern))
        .into()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $label:literal, $pattern:expr, $to_text:expr, $from_text:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// The id with these bytes.
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The raw bytes, as they stand in signatures and associated data.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&$to_text(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                $from_text(text).map(Self).ok_or(Error($label))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(D::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                text_schema($label, $pattern)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    };
}

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident, $label:literal;)*) => {
        $(id!($(#[$doc])* $name, 16, $label, UUID_PATTERN, uuid_text, uuid_from_text);)*
    };
}

uuid_id! {
    /// A login.
    AccountId, "account id";
    /// A work one can license.
    TitleId, "title id";
    /// An immutable published version of a title.
    ReleaseId, "release id";
    /// A thing for sale.
    PlanId, "plan id";
    /// Titles that are sold together.
    CollectionId, "collection id";
    /// Accounts that private titles are for.
    GroupId, "group id";
    /// A plan bought.
    PurchaseId, "purchase id";
    /// Money moved.
    PaymentId, "payment id";
    /// A standing right from a purchase or a membership.
    EntitlementId, "entitlement id";
    /// One use of an entitlement on one device; for a carrier, the opaque subject of its token.
    ViewId, "view id";
    /// Every key of a release for a time, on one device.
    LeaseId, "lease id";
    /// The document issued for a view.
    LicenseId, "license id";
}

id!(
    /// The opaque name of a release's swarm.
    SwarmId, 16, "swarm id", ID_16_PATTERN, |bytes: &[u8; 16]| b64u(bytes), |text: &str| array_from_b64u(text).ok()
);
id!(
    /// A member of a swarm, for one membership.
    PeerId, 16, "peer id", ID_16_PATTERN, |bytes: &[u8; 16]| b64u(bytes), |text: &str| array_from_b64u(text).ok()
);
id!(
    /// RFC 7638 thumbprint of a device's signing key: the name of the device.
    Thumbprint, 32, "device thumbprint", ID_32_PATTERN, |bytes: &[u8; 32]| b64u(bytes), |text: &str| array_from_b64u(text).ok()
);

macro_rules! index {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// The plain number.
            pub const fn get(self) -> u32 {
                self.0
            }
        }

        impl From<u32> for $name {
            fn from(index: u32) -> Self {
                Self(index)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

index! {
    /// Position of a file in its release.
    FileIndex;
    /// Position of a chunk in its file.
    ChunkIndex;
    /// Position of an epoch in its file.
    EpochIndex;
    /// Position of a hash page in its file.
    PageIndex;
}

/// A chunk of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkAddress {
    /// The file.
    pub file: FileIndex,
    /// The chunk in it.
    pub chunk: ChunkIndex,
}

impl ChunkAddress {
    /// The chunk `chunk` of file `file`.
    pub const fn new(file: u32, chunk: u32) -> Self {
        Self { file: FileIndex(file), chunk: ChunkIndex(chunk) }
    }
}

impl fmt::Display for ChunkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.chunk)
    }
}
