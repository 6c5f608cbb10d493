//! An authenticator (CTAP2 as a browser sees it) that answers honestly, or as a thief would.

use matinee_protocol::encoding::{b64u, from_b64u, sha256};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

/// User present and user verified.
pub const PRESENT_AND_VERIFIED: u8 = 0x05;
/// User present alone.
pub const PRESENT: u8 = 0x01;
/// Attested credential data follows.
const ATTESTED: u8 = 0x40;

/// One passkey. What it says is open to a test that makes it lie.
pub struct Authenticator {
    key: SigningKey,
    pub credential_id: Vec<u8>,
    /// The account, as the server named it at registration.
    pub handle: Vec<u8>,
    pub counter: u32,
    pub flags: u8,
    pub origin: String,
    pub place: String,
}

impl Authenticator {
    pub fn new(seed: u8) -> Self {
        Self {
            key: SigningKey::from_slice(&[seed; 32]).unwrap(),
            credential_id: vec![seed; 24],
            handle: Vec::new(),
            counter: 1,
            flags: PRESENT_AND_VERIFIED,
            origin: "https://cinema.example".to_owned(),
            place: "cinema.example".to_owned(),
        }
    }

    /// What `navigator.credentials.create` gives for the server's options.
    pub fn create(&mut self, options: &Value) -> Value {
        self.handle = from_b64u(options["user"]["id"].as_str().unwrap()).unwrap();
        let client = self.client_data("webauthn.create", options);
        let mut data = self.data(self.flags | ATTESTED);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.credential_id.len()).unwrap().to_be_bytes());
        data.extend(&self.credential_id);
        data.extend(self.public_key());
        // {"fmt": "none", "attStmt": {}, "authData": bytes}
        let mut object = vec![0xa3, 0x63];
        object.extend(b"fmt\x64none\x67attStmt\xa0\x68authData\x59");
        object.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        object.extend(data);
        json!({
            "id": b64u(&self.credential_id), "rawId": b64u(&self.credential_id), "type": "public-key",
            "extensions": { "credProps": { "rk": true } },
            "response": { "attestationObject": b64u(&object), "clientDataJSON": b64u(client.as_bytes()) },
        })
    }

    /// What `navigator.credentials.get` gives; the counter goes on.
    pub fn get(&mut self, options: &Value) -> Value {
        self.counter += 1;
        self.get_again(options)
    }

    /// The same without the counter going on, as by a copy.
    pub fn get_again(&self, options: &Value) -> Value {
        let client = self.client_data("webauthn.get", options);
        let data = self.data(self.flags);
        let mut signed = data.clone();
        signed.extend(sha256(client.as_bytes()));
        let signature: Signature = self.key.sign(&signed);
        json!({
            "id": b64u(&self.credential_id), "rawId": b64u(&self.credential_id), "type": "public-key",
            "extensions": {},
            "response": {
                "authenticatorData": b64u(&data), "clientDataJSON": b64u(client.as_bytes()),
                "signature": b64u(signature.to_der().as_bytes()), "userHandle": b64u(&self.handle),
            },
        })
    }

    fn client_data(&self, kind: &str, options: &Value) -> String {
        json!({ "type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": false })
            .to_string()
    }

    fn data(&self, flags: u8) -> Vec<u8> {
        let mut data = sha256(self.place.as_bytes()).to_vec();
        data.push(flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// The key as COSE (RFC 9052): {1: 2, 3: -7, -1: 1, -2: x, -3: y}.
    fn public_key(&self) -> Vec<u8> {
        let point = self.key.verifying_key().to_sec1_point(false);
        let mut key = vec![0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
        key.extend(point.x().unwrap());
        key.extend([0x22, 0x58, 0x20]);
        key.extend(point.y().unwrap());
        key
    }
}
