//! Configuration: a flag beats the environment, the environment beats the file, the file beats the default. Unknown keys
//! are refused. `config.example.toml` is written from the comments below and tested to be current.
//!
//! Environment: `MATINEE_<SECTION>__<KEY>`, for example `MATINEE_STORE__ADDRESS`; with `_FILE` appended the value is read
//! from the file named, for mounted secrets.

pub mod provider;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::proxies::Proxies;

/// A key with one of these in its name is not shown.
const SECRET_WORDS: [&str; 4] = ["secret", "password", "token", "_key"];

/// A parameter of the database's address with one of these in its name is not shown.
const SECRET_PARAMETERS: [&str; 2] = ["password", "key"];
/// What stands in its place.
const HIDDEN: &str = "hidden";

/// Lines of a comment.
type Lines = &'static [&'static str];
/// The keys of a section with their comments.
type Keys = &'static [(&'static str, Lines)];

/// Defines a section, its defaults, and its comments as data.
macro_rules! section {
    ($(#[doc = $about:literal])* $name:ident { $($(#[doc = $doc:literal])* $key:ident: $kind:ty = $default:expr,)* }) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[doc = $doc])* pub $key: $kind,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        impl $name {
            const ABOUT: Lines = &[$($about),*];
            const KEYS: Keys = &[$((stringify!($key), &[$($doc),*])),*];
        }
    };
}

section! {
    /// Where the server listens and how the world names it.
    Server {
        /// Address and port; port 0 takes a free one.
        listen: String = "127.0.0.1:8080".to_owned(),
        /// How viewers reach this server, without a slash at the end; proofs and cookies are bound to it. Empty: the address
        /// it listens on.
        public_url: String = String::new(),
        /// The issuer in view tokens. Empty: the public URL.
        issuer: String = String::new(),
        /// A folder to serve the storefront from instead of the embedded one, for development.
        web_dir: String = String::new(),
        /// The proxies that requests come through, as addresses or networks such as 10.0.0.0/8. A request's address is the
        /// right-most one in the header below that is not theirs; the header of anybody else is not read.
        trusted_proxies: Vec<String> = Vec::new(),
        /// The header that these proxies set: `x-forwarded-for`, or `forwarded` (RFC 7239).
        proxy_header: String = "x-forwarded-for".to_owned(),
        /// Whose pages may show the player's page `/embed/…` in a frame, as origins such as `https://shop.example`; none:
        /// only our own.
        embed_origins: Vec<String> = Vec::new(),
        /// Requests a minute below /v1 for one login, and for one host without a login; 0 is no limit. An address of this
        /// machine is not counted.
        requests_per_minute_max: u32 = 1200,
    }
}

section! {
    /// The database.
    StoreSection {
        /// `sqlite:<path>` or `postgres://<host>/<database>`. Empty: matinee.db in the data folder.
        /// Statements are prepared and kept by name: a PgBouncer between must be in session mode.
        address: String = String::new(),
    }
}

section! {
    /// The key vault.
    VaultSection {
        /// The key file, readable by its owner only. Empty: vault.json in the data folder.
        key_file: String = String::new(),
    }
}

section! {
    /// Ciphertext.
    OriginSection {
        /// A folder, or `s3://<bucket>/<prefix>` with the usual AWS variables. Empty: objects in the data folder.
        address: String = String::new(),
    }
}

section! {
    /// Money.
    PaymentSection {
        /// `simulated`: every payment succeeds and says that it is simulated; or `stripe`, see below.
        provider: String = "simulated".to_owned(),
        /// The currency of wallets (ISO 4217).
        currency: String = "USD".to_owned(),
        /// The largest top-up, in minor units.
        top_up_minor_max: i64 = 100_000,
        /// After how many seconds without news of a payment the provider is asked what became of it.
        check_after_s: u32 = 60,
    }
}

section! {
    /// Stripe, where it is the payment provider. Its webhook endpoint is `/v1/webhooks/stripe` below the public URL.
    StripeSection {
        /// Its interface, without a slash at the end.
        api_url: String = "https://api.stripe.com".to_owned(),
        /// The secret key; better in a file named by MATINEE_STRIPE__SECRET_KEY_FILE than here.
        secret_key: Secret = Secret::default(),
        /// The signing secrets of the webhook endpoint: one, or two while they roll (in the environment, with a comma
        /// between).
        webhook_secrets: Vec<Secret> = Vec::new(),
    }
}

section! {
    /// Tax inside the prices.
    TaxSection {
        /// The country of payers who declare none (ISO 3166, for example DE); empty: no tax for them.
        home_country: String = String::new(),
        /// Rates in basis points, for example "DE=1900" for 19 %; a country without one has no tax.
        rates: Vec<String> = Vec::new(),
    }
}

section! {
    /// Views and licenses.
    LicenseSection {
        /// Epochs of keys that one view may be given in a minute.
        epochs_per_minute_max: u32 = 120,
        /// A view that asked for nothing this long is over, in seconds.
        view_idle_s_max: u32 = 900,
        /// Devices that may play at once for one account, where the plan does not say; 0 is no limit.
        concurrent_views_max: u32 = 0,
        /// What happens at that limit: `refuse` the new device, `stop_oldest` or `stop_newest` of those that play.
        concurrent_views_at_limit: String = "refuse".to_owned(),
        /// Devices of an account; 0 is no limit. A device becomes one of them with its first view.
        devices_max: u32 = 0,
        /// Leases, for playing offline, that may be out at once on one entitlement; 0 is no limit.
        leases_per_entitlement_max: u32 = 2,
        /// Leases that may be out at once for one account; 0 is no limit.
        leases_per_account_max: u32 = 100,
        /// Devices that an account may remove in the days below; 0 is no limit.
        device_swaps_max: u32 = 0,
        /// The days in which removed devices are counted.
        device_swap_days: u32 = 30,
    }
}

section! {
    /// In which country an address is.
    CountrySection {
        /// A database file of MaxMind's format with countries, such as GeoLite2-Country.mmdb. It is read again within a minute
        /// of a change, and at SIGHUP. Empty: no address has a country.
        database: String = String::new(),
        /// What holds where an address has no country, for titles and plans that are for some countries and do not say it
        /// themselves: `deny` or `allow`.
        unknown: String = "deny".to_owned(),
    }
}

section! {
    /// How releases may travel.
    DeliverySection {
        /// Whether viewers may use each other.
        peers: bool = true,
        /// Whether connections must go through a relay, which hides addresses.
        relay_only: bool = false,
        /// Upload cap of a viewer, in bytes a second; 0 is none.
        upload_bytes_per_s_max: u64 = 0,
        /// STUN and TURN servers beside the embedded one.
        ice_urls: Vec<String> = Vec::new(),
    }
}

section! {
    /// The embedded STUN server.
    StunSection {
        /// UDP address and port; port 0 takes a free one, `off` is none. Empty: the server's own address and port number.
        listen: String = String::new(),
        /// How viewers reach it, as `host:port`. Empty: the host of the public URL and the port it listens on.
        public_address: String = String::new(),
    }
}

section! {
    /// What is told outside: email and webhooks.
    OutboxSection {
        /// The mail server: `smtps://<name>:<password>@<host>`, or `smtp://<host>?tls=required`; better in a file named by
        /// MATINEE_OUTBOX__SMTP_URL_FILE than here. Empty: no email is sent.
        smtp_url: Secret = Secret::default(),
        /// Who writes, as `Name <address>`.
        mail_from: String = "Matinee <matinee@localhost>".to_owned(),
        /// Whether webhooks may be plain HTTP and lead into private networks: only where everybody who adds one may reach
        /// everything that this machine reaches.
        private_webhooks: bool = false,
        /// How many days before a right ends its owner is told, unless it is renewed by itself; 0 is never.
        ending_notice_days: u32 = 3,
    }
}

section! {
    /// Accounts.
    AccountSection {
        /// How long a login lasts, in days.
        session_days: u32 = 30,
        /// Sign-in attempts a minute for one account from one host.
        sign_in_attempts_per_minute_max: u32 = 10,
        /// Password hashings at once; each takes 19 MiB.
        password_hashings_max: u32 = 4,
        /// Guests let in an hour, who play what is free for them without an account; 0 is none.
        guests_per_hour_max: u32 = 1000,
        /// Whether anyone may open an account.
        open: bool = true,
    }
}

/// A secret out of the configuration: never shown, wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Secret(zeroize::Zeroizing<String>);

impl Secret {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(zeroize::Zeroizing::new(text))
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(if self.is_empty() { "" } else { "(hidden)" })
    }
}

/// The whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[store]`
    pub store: StoreSection,
    /// `[vault]`
    pub vault: VaultSection,
    /// `[origin]`
    pub origin: OriginSection,
    /// `[payment]`
    pub payment: PaymentSection,
    /// `[stripe]`
    pub stripe: StripeSection,
    /// `[tax]`
    pub tax: TaxSection,
    /// `[license]`
    pub license: LicenseSection,
    /// `[country]`
    pub country: CountrySection,
    /// `[delivery]`
    pub delivery: DeliverySection,
    /// `[stun]`
    pub stun: StunSection,
    /// `[account]`
    pub account: AccountSection,
    /// `[outbox]`
    pub outbox: OutboxSection,
    /// `[providers.NAME]`
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub providers: BTreeMap<String, provider::Provider>,
    /// The data folder; from the command line only.
    #[serde(skip)]
    pub data_dir: PathBuf,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key or a value is not understood.
    #[error("configuration: {0}")]
    Form(#[from] config::ConfigError),
    /// A file named by a `_FILE` variable cannot be read.
    #[error("configuration: {variable}: {source}")]
    File {
        /// The variable.
        variable: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A value is out of its range.
    #[error("configuration: {0}")]
    Value(String),
}

impl Config {
    /// Reads the file (if it is there) and the environment given as pairs.
    pub fn load(
        data_dir: &Path,
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        let path = file.map_or_else(|| data_dir.join("config.toml"), Path::to_owned);
        let source = config::File::from(path).format(config::FileFormat::Toml).required(file.is_some());
        let mut pairs = config::Map::new();
        for (name, value) in environment {
            // A section and a key: what has no double underscore belongs to a flag.
            let Some((_, _)) = name.strip_prefix("MATINEE_").and_then(|rest| rest.split_once("__")) else {
                continue;
            };
            match name.strip_suffix("_FILE") {
                Some(plain) if !name.ends_with("__KEY_FILE") => {
                    let text = std::fs::read_to_string(&value)
                        .map_err(|source| Error::File { variable: name.clone(), source })?;
                    pairs.insert(plain.to_owned(), text.trim_end().to_owned());
                }
                _ => {
                    pairs.insert(name, value);
                }
            }
        }
        let environment = config::Environment::with_prefix("MATINEE")
            .prefix_separator("_")
            .separator("__")
            .list_separator(",")
            .with_list_parse_key("server.embed_origins")
            .with_list_parse_key("delivery.ice_urls")
            .with_list_parse_key("server.trusted_proxies")
            .with_list_parse_key("stripe.webhook_secrets")
            .with_list_parse_key("tax.rates")
            .try_parsing(true)
            .source(Some(pairs));
        let read = config::Config::builder().add_source(source).add_source(environment).build()?;
        let mut config: Self = read.try_deserialize()?;
        config.data_dir = data_dir.to_owned();
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Error> {
        let wrong = |text: &str| Err(Error::Value(text.to_owned()));
        match self.payment.provider.as_str() {
            "simulated" => {}
            "stripe" if self.stripe.secret_key.is_empty() || self.stripe.webhook_secrets.is_empty() => {
                return wrong("payment.provider stripe needs stripe.secret_key and stripe.webhook_secrets");
            }
            "stripe" if self.stripe.webhook_secrets.iter().any(Secret::is_empty) => {
                return wrong("a secret in stripe.webhook_secrets is empty");
            }
            "stripe" => {}
            _ => return wrong("payment.provider must be simulated or stripe"),
        }
        if self.payment.check_after_s == 0 {
            return wrong("payment.check_after_s must be at least 1");
        }
        if iso_currency::Currency::from_code(&self.payment.currency).is_none() {
            return wrong("payment.currency must be an ISO 4217 code such as USD");
        }
        if self.account.password_hashings_max == 0 || self.account.sign_in_attempts_per_minute_max == 0 {
            return wrong("limits in [account] must be at least 1");
        }
        let at_limit = self.license.concurrent_views_at_limit.as_str();
        if !["refuse", "stop_oldest", "stop_newest"].contains(&at_limit) {
            return wrong("license.concurrent_views_at_limit must be refuse, stop_oldest or stop_newest");
        }
        for (name, provider) in &self.providers {
            provider.check(name).map_err(Error::Value)?;
        }
        if !["deny", "allow"].contains(&self.country.unknown.as_str()) {
            return wrong("country.unknown must be deny or allow");
        }
        if let Err(text) = Proxies::parse(&self.server.trusted_proxies, &self.server.proxy_header) {
            return wrong(&text);
        }
        if !self.server.embed_origins.iter().all(|origin| is_origin(origin)) {
            return wrong("server.embed_origins are origins such as https://shop.example, without a path");
        }
        if self.server.public_url.ends_with('/') {
            return wrong("server.public_url must not end with a slash");
        }
        Ok(())
    }

    /// The database's address, with the default filled in.
    pub fn store_address(&self) -> String {
        if self.store.address.is_empty() {
            format!("sqlite:{}", self.data_dir.join("matinee.db").display())
        } else {
            self.store.address.clone()
        }
    }

    /// The key file's path, with the default filled in.
    pub fn key_file(&self) -> PathBuf {
        if self.vault.key_file.is_empty() {
            self.data_dir.join("vault.json")
        } else {
            PathBuf::from(&self.vault.key_file)
        }
    }

    /// The object store's address, with the default filled in.
    pub fn origin_address(&self) -> String {
        if self.origin.address.is_empty() {
            self.data_dir.join("objects").display().to_string()
        } else {
            self.origin.address.clone()
        }
    }

    /// Every value with its default filled in, as it may be shown: what is secret is not told.
    pub fn shown(&self) -> toml::Table {
        let mut filled = self.clone();
        filled.store.address = without_password(&self.store_address());
        filled.vault.key_file = self.key_file().display().to_string();
        filled.origin.address = self.origin_address();
        let mut shown = toml::Table::try_from(filled).expect("a configuration is a table");
        for section in shown.iter_mut().filter_map(|(_, section)| section.as_table_mut()) {
            for (key, value) in section.iter_mut() {
                let secret = SECRET_WORDS.iter().any(|word| key.contains(word));
                if let Some(text) = value.as_str().filter(|text| secret && !text.is_empty()) {
                    *value = toml::Value::String(format!("({} characters, not shown)", text.chars().count()));
                }
            }
        }
        shown
    }

    /// The documented file with every default, as `config.example.toml` holds it.
    pub fn example() -> String {
        let defaults = toml::Table::try_from(Self::default()).expect("the defaults are a table");
        let mut out = String::from("# Matinee's configuration. Every value here is the default.\n");
        let sections: [(&str, Lines, Keys); 13] = [
            ("server", Server::ABOUT, Server::KEYS),
            ("store", StoreSection::ABOUT, StoreSection::KEYS),
            ("vault", VaultSection::ABOUT, VaultSection::KEYS),
            ("origin", OriginSection::ABOUT, OriginSection::KEYS),
            ("payment", PaymentSection::ABOUT, PaymentSection::KEYS),
            ("stripe", StripeSection::ABOUT, StripeSection::KEYS),
            ("tax", TaxSection::ABOUT, TaxSection::KEYS),
            ("license", LicenseSection::ABOUT, LicenseSection::KEYS),
            ("country", CountrySection::ABOUT, CountrySection::KEYS),
            ("delivery", DeliverySection::ABOUT, DeliverySection::KEYS),
            ("stun", StunSection::ABOUT, StunSection::KEYS),
            ("account", AccountSection::ABOUT, AccountSection::KEYS),
            ("outbox", OutboxSection::ABOUT, OutboxSection::KEYS),
        ];
        for (section, about, keys) in sections {
            out.push('\n');
            about.iter().for_each(|line| out.push_str(&format!("#{line}\n")));
            out.push_str(&format!("[{section}]\n"));
            for (key, lines) in keys {
                lines.iter().for_each(|line| out.push_str(&format!("#{line}\n")));
                out.push_str(&format!("{key} = {}\n", defaults[section][*key]));
            }
        }
        out.push_str(provider::EXAMPLE);
        out
    }
}

/// Whether a text is scheme, host and perhaps port, and nothing that would mean more in a policy's header.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    !host.is_empty() && host.bytes().all(usual)
}

/// An address without what is secret in it: the password before the host, and what is in a parameter of such a name.
fn without_password(address: &str) -> String {
    if !address.contains("://") {
        return address.to_owned();
    }
    let Ok(mut url) = reqwest::Url::parse(address) else { return "(not understood, not shown)".to_owned() };
    // Refused for an address without a host, which has no password either.
    url.set_password(None).ok();
    let pairs: Vec<_> = url.query_pairs().into_owned().collect();
    let secret = |name: &str| SECRET_PARAMETERS.iter().any(|word| name.contains(word));
    if pairs.iter().any(|(name, _)| secret(name)) {
        let shown =
            pairs.iter().map(|(name, value)| (name, if secret(name) { HIDDEN } else { value.as_str() }));
        url.query_pairs_mut().clear().extend_pairs(shown);
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(pairs: &[(&str, &str)]) -> Result<Config, Error> {
        let folder = tempfile::tempdir().unwrap();
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::load(folder.path(), None, pairs.into_iter())
    }

    #[test]
    fn example_is_current_and_is_the_defaults() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
        if std::env::var_os("UPDATE_EXAMPLES").is_some() {
            std::fs::write(&path, Config::example()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), Config::example(), "run with UPDATE_EXAMPLES=1");
        let read: Config = toml::from_str(&Config::example()).unwrap();
        assert_eq!(read, Config::default());
    }

    #[test]
    fn who_may_frame_the_player_is_named_by_origin() {
        let name = "MATINEE_SERVER__EMBED_ORIGINS";
        let config = load(&[(name, "https://shop.example,http://127.0.0.1:9000")]).unwrap();
        assert_eq!(config.server.embed_origins, ["https://shop.example", "http://127.0.0.1:9000"]);
        for wrong in
            ["*", "https://*", "shop.example", "https://a.example/x", "https://a; script-src *", "https://"]
        {
            assert!(load(&[(name, wrong)]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = load(&[("MATINEE_STORE__ADDRESS", "postgres://ann:hunter2@db:5432/matinee")]).unwrap();
        let shown = config.shown().to_string();
        assert!(shown.contains("postgres://ann@db:5432/matinee") && !shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("vault.json") && shown.contains("objects"), "{shown}");
        for (address, expected) in [
            ("sqlite:a.db", "sqlite:a.db"),
            ("postgres://db/matinee", "postgres://db/matinee"),
            ("postgres://db/m?sslmode=require&user=ann", "postgres://db/m?sslmode=require&user=ann"),
            ("postgres://db/m?password=hunter2&user=a%40b", "postgres://db/m?password=hidden&user=a%40b"),
            ("postgres://a:b@db/m?pass%77ord=hunter2", "postgres://a@db/m?password=hidden"),
            ("postgres://ann:hunter2@db/m?application_name=a@b", "postgres://ann@db/m?application_name=a@b"),
            ("postgres://ann:hunter2/3@db:port/m", "(not understood, not shown)"),
            ("postgres:///m?host=/run/postgresql", "postgres:///m?host=/run/postgresql"),
        ] {
            assert_eq!(without_password(address), expected, "{address}");
        }
    }

    #[test]
    fn stripe_needs_its_secrets_and_does_not_show_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "sk_test_a_secret\n").unwrap();
        let provider = ("MATINEE_PAYMENT__PROVIDER", "stripe");
        let key = ("MATINEE_STRIPE__SECRET_KEY_FILE", file.to_str().unwrap());
        assert!(load(&[provider]).is_err());
        assert!(load(&[provider, key]).is_err(), "without a webhook secret anybody could forge events");
        let config = load(&[provider, key, ("MATINEE_STRIPE__WEBHOOK_SECRETS", "whsec_1,whsec_2")]).unwrap();
        assert_eq!(config.stripe.secret_key.expose(), "sk_test_a_secret");
        let secrets: Vec<_> = config.stripe.webhook_secrets.iter().map(Secret::expose).collect();
        assert_eq!(secrets, ["whsec_1", "whsec_2"]);
        let shown = format!("{config:?} {}", toml::to_string(&config).unwrap());
        assert!(!shown.contains("a_secret") && !shown.contains("whsec_1"), "{shown}");
        assert!(load(&[("MATINEE_PAYMENT__PROVIDER", "barter")]).is_err());
    }

    #[test]
    fn environment_beats_file_and_unknown_keys_are_refused() {
        let config =
            load(&[("MATINEE_LICENSE__EPOCHS_PER_MINUTE_MAX", "7"), ("MATINEE_DATA_DIR", "/x")]).unwrap();
        assert_eq!(config.license.epochs_per_minute_max, 7);
        assert!(load(&[("MATINEE_LICENSE__EPOCHS", "7")]).is_err());
        assert!(load(&[("MATINEE_PAYMENT__CURRENCY", "XYZ1")]).is_err());

        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("address");
        std::fs::write(&secret, "postgres://db/matinee\n").unwrap();
        let config = load(&[("MATINEE_STORE__ADDRESS_FILE", secret.to_str().unwrap())]).unwrap();
        assert_eq!(config.store_address(), "postgres://db/matinee");

        std::fs::write(folder.path().join("config.toml"), "[server]\nlisten = \"0.0.0.0:1\"\nport = 3\n")
            .unwrap();
        assert!(Config::load(folder.path(), None, std::iter::empty()).is_err());
    }
}
