//! A real release: sealed chunks, hash pages, signed manifest, and the server that issues tokens for it.

use bytes::Bytes;
use matinee_engine::Identity;
use matinee_protocol::device::SigningKey;
use matinee_protocol::frame::Frame;
use matinee_protocol::hash::{PageBuilder, chunk_hash};
use matinee_protocol::hello::{ChannelBinding, Hello};
use matinee_protocol::id::{ChunkAddress, ChunkIndex, FileIndex, ReleaseId, SwarmId, ViewId};
use matinee_protocol::jws::{KeySet, KeyUse};
use matinee_protocol::limit::CHUNK_BYTES;
use matinee_protocol::manifest::{FORMAT, Manifest, ManifestFile};
use matinee_protocol::seal::{ReleaseSecret, derive_epoch_key, open_chunk, seal_chunk};
use matinee_protocol::token::{AUDIENCE, Confirmation, Role, ViewTokenClaims, issue};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// Start of virtual time, Unix milliseconds.
pub(crate) const START_MS: u64 = 1_795_000_000_000;
pub(crate) const ISSUER: &str = "https://matinee.test";
const EPOCH_CHUNKS: u32 = 16;

/// One released title, whole.
pub(crate) struct Release {
    pub(crate) manifest: Manifest,
    pub(crate) swarm: SwarmId,
    pub(crate) keys: KeySet,
    pub(crate) chunks: Vec<Vec<Bytes>>,
    pub(crate) pages: Vec<Vec<Bytes>>,
    plain_hashes: Vec<blake3_of::Hash>,
    secret: ReleaseSecret,
    server: SigningKey,
}

/// Hashes of plaintexts, by the protocol's own hash function.
mod blake3_of {
    pub(crate) type Hash = matinee_protocol::hash::ChunkHash;
}

impl Release {
    /// Files of these sizes, filled with pseudo-random bytes.
    pub(crate) fn new(seed: u64, sizes: &[u64]) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed ^ 0x5eed);
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        let release = ReleaseId::from_bytes(bytes);
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        let secret = ReleaseSecret::from_bytes(secret);
        let server = SigningKey::from_seed(&[7; 32]);
        let mut keys = KeySet::default();
        keys.insert("view-1", KeyUse::View, server.public());
        keys.insert("release-1", KeyUse::Release, server.public());
        let (mut files, mut chunks, mut pages, mut plain_hashes) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (file, size) in sizes.iter().enumerate() {
            let mut builder = PageBuilder::default();
            let mut sealed_chunks = Vec::new();
            for chunk in 0..size.div_ceil(u64::from(CHUNK_BYTES)) as u32 {
                let left = size - u64::from(chunk) * u64::from(CHUNK_BYTES);
                let mut buffer = vec![0; left.min(u64::from(CHUNK_BYTES)) as usize];
                rng.fill_bytes(&mut buffer);
                if file == 0 {
                    plain_hashes.push(chunk_hash(&buffer));
                }
                let at = ChunkAddress::new(file as u32, chunk);
                let key = derive_epoch_key(&secret, &release, at.file, (chunk / EPOCH_CHUNKS).into());
                seal_chunk(&key, &release, at, &mut buffer);
                builder.push(chunk_hash(&buffer));
                sealed_chunks.push(Bytes::from(buffer));
            }
            pages.push(builder.pages().map(|(page, _)| Bytes::copy_from_slice(page)).collect());
            files.push(ManifestFile {
                name: format!("film-{file}.mp4"),
                media_type: "video/mp4".to_owned(),
                size_bytes: *size,
                epoch_chunks: EPOCH_CHUNKS,
                duration_ms: None,
                pages: builder.pages().map(|(_, hash)| hash).collect(),
            });
            chunks.push(sealed_chunks);
        }
        let manifest = Manifest {
            format: FORMAT,
            release,
            title: "Film".to_owned(),
            publisher: "Studio".to_owned(),
            created_at_ms: START_MS,
            sealed: true,
            files,
        };
        let signed = manifest.to_jws("release-1", &server);
        let manifest = Manifest::from_jws(&signed, &keys).unwrap();
        let swarm = SwarmId::from_bytes(bytes);
        Self { manifest, swarm, keys, chunks, pages, plain_hashes, secret, server }
    }

    /// A release of one file of so many full chunks, less a bit, so that the last one is short.
    pub(crate) fn film(seed: u64, chunks: u32) -> Self {
        Self::new(seed, &[u64::from(chunks) * u64::from(CHUNK_BYTES) - 1_000])
    }

    pub(crate) fn chunk(&self, at: ChunkAddress) -> &Bytes {
        &self.chunks[at.file.get() as usize][at.chunk.get() as usize]
    }

    pub(crate) fn chunk_count(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.chunks.iter().flatten().map(|chunk| chunk.len() as u64).sum()
    }

    /// Opens a stored chunk of file 0 as a licensed device does and compares the plaintext.
    pub(crate) fn plays(&self, chunk: u32, bytes: &[u8]) -> bool {
        let at = ChunkAddress { file: FileIndex(0), chunk: ChunkIndex(chunk) };
        let key =
            derive_epoch_key(&self.secret, &self.manifest.release, at.file, (chunk / EPOCH_CHUNKS).into());
        let plain = open_chunk(&key, &self.manifest.release, at, bytes).unwrap();
        chunk_hash(&plain) == self.plain_hashes[chunk as usize]
    }

    pub(crate) fn identity(&self, device: &SigningKey) -> Identity {
        Identity {
            swarm: self.swarm,
            thumbprint: device.public().thumbprint(),
            issuer: ISSUER.to_owned(),
            keys: self.keys.clone(),
        }
    }

    pub(crate) fn token(&self, device: &SigningKey, expires_ms: u64) -> String {
        let claims = ViewTokenClaims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: ViewId::from_bytes([3; 16]),
            jti: format!("jti-{expires_ms}"),
            exp: expires_ms / 1000,
            cnf: Confirmation { jkt: device.public().thumbprint() },
            swm: self.swarm,
            rol: Role::Viewer,
        };
        issue(&claims, "view-1", &self.server)
    }

    /// The hello frame of `device` for a channel, as it sees the channel.
    pub(crate) fn hello(&self, device: &SigningKey, binding: &ChannelBinding, expires_ms: u64) -> Bytes {
        let token = self.token(device, expires_ms);
        let signature = device.sign(&binding.signed_bytes(&token));
        Frame::Hello(Hello { token, public: device.public(), signature }).encode()
    }
}
