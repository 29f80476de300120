//! SSH signatures as `ssh-keygen -Y sign` makes them (OpenSSH's PROTOCOL.sshsig), taken apart strictly. Refuses to
//! know who may sign, and to compute.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
const MAGIC: &[u8] = b"SSHSIG";
/// What Git signs for.
pub const NAMESPACE: &str = "git";
/// Somebody has touched the security key.
const TOUCHED: u8 = 1;

/// A signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshSignature {
    /// The public key, as files of allowed signers have it.
    pub blob: Vec<u8>,
    /// The same, taken apart.
    pub key: Key,
    /// What the message is hashed with before it is signed.
    pub hash: Hash,
    /// The hash that an RSA key signs with.
    pub rsa_hash: Hash,
    /// What was made with the key.
    pub bytes: Vec<u8>,
    /// What a security key adds to what it signs.
    pub added: Option<Added>,
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// Of 32 bytes.
    Ed25519(Vec<u8>),
    /// A point that is not compressed.
    P256(Vec<u8>),
    /// A point that is not compressed.
    P384(Vec<u8>),
    /// Without leading zeros.
    Rsa {
        /// The public exponent.
        exponent: Vec<u8>,
        /// The modulus.
        modulus: Vec<u8>,
    },
}

/// What a message is hashed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// What a security key adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// For which application it was made.
    pub application: Vec<u8>,
    /// Flags and counter.
    pub state: [u8; 5],
}

/// Takes a signature apart; one for anything but commits is refused.
pub fn parse(text: &str) -> Result<SshSignature, &'static str> {
    let inside = text
        .trim()
        .strip_prefix(BEGIN)
        .and_then(|rest| rest.strip_suffix(END));
    let inside = inside.ok_or("is not an SSH signature")?;
    let digits: String = inside.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(digits).map_err(|_| "is not Base64")?;
    let mut wire = Wire(bytes.strip_prefix(MAGIC).ok_or("is not an SSH signature")?);
    if wire.number()? != 1 {
        return Err("is of another version");
    }
    let blob = wire.string()?.to_vec();
    let namespace = wire.string()?;
    let _reserved = wire.string()?;
    let hash = match wire.string()? {
        b"sha256" => Hash::Sha256,
        b"sha512" => Hash::Sha512,
        _ => return Err("uses a hash that is not known here"),
    };
    let signature = wire.string()?;
    wire.end()?;
    if namespace != NAMESPACE.as_bytes() {
        return Err("was made for something else than Git");
    }
    let (kind, key, application) = key(&blob)?;
    let mut wire = Wire(signature);
    let made_with = wire.string()?;
    let rsa_hash = match (&key, made_with) {
        (Key::Rsa { .. }, b"rsa-sha2-256") => Hash::Sha256,
        (Key::Rsa { .. }, b"rsa-sha2-512") => Hash::Sha512,
        (Key::Rsa { .. }, _) => return Err("uses a hash that is not safe any more"),
        (_, other) if other == kind => Hash::Sha512,
        _ => return Err("was made with another kind of key than it names"),
    };
    let made = wire.string()?;
    let bytes = match key {
        Key::P256(_) => point(made, 32)?,
        Key::P384(_) => point(made, 48)?,
        _ => made.to_vec(),
    };
    let added = application
        .map(|application| added(application, &mut wire))
        .transpose()?;
    wire.end()?;
    Ok(SshSignature {
        blob,
        key,
        hash,
        rsa_hash,
        bytes,
        added,
    })
}

/// What the key signs for a message of this hash.
pub fn signed(hash: Hash, digest: &[u8]) -> Vec<u8> {
    let name: &[u8] = match hash {
        Hash::Sha256 => b"sha256",
        Hash::Sha512 => b"sha512",
    };
    let mut all = MAGIC.to_vec();
    for part in [NAMESPACE.as_bytes(), b"", name, digest] {
        let length = u32::try_from(part.len()).expect("names and hashes are short");
        all.extend_from_slice(&length.to_be_bytes());
        all.extend_from_slice(part);
    }
    all
}

/// The kind of a key, the key, and the application of a security key.
type Named = (Vec<u8>, Key, Option<Vec<u8>>);

fn key(blob: &[u8]) -> Result<Named, &'static str> {
    let mut wire = Wire(blob);
    let kind = wire.string()?.to_vec();
    let key = match kind.as_slice() {
        b"ssh-ed25519" | b"sk-ssh-ed25519@openssh.com" => Key::Ed25519(wire.string()?.to_vec()),
        b"ecdsa-sha2-nistp256" | b"sk-ecdsa-sha2-nistp256@openssh.com" => Key::P256(wire.curve(b"nistp256")?),
        b"ecdsa-sha2-nistp384" => Key::P384(wire.curve(b"nistp384")?),
        b"ssh-rsa" => Key::Rsa {
            exponent: wire.positive()?.to_vec(),
            modulus: wire.positive()?.to_vec(),
        },
        _ => return Err("is by a kind of key that is not known here"),
    };
    let application = kind.starts_with(b"sk-").then(|| wire.string()).transpose()?;
    let application = application.map(<[u8]>::to_vec);
    wire.end()?;
    Ok((kind, key, application))
}

/// The two numbers of an ECDSA signature, each of so many bytes.
fn point(made: &[u8], bytes: usize) -> Result<Vec<u8>, &'static str> {
    let mut wire = Wire(made);
    let mut both = Vec::with_capacity(2 * bytes);
    for _ in 0..2 {
        let number = wire.positive()?;
        let missing = bytes.checked_sub(number.len()).ok_or(DAMAGED)?;
        both.resize(both.len() + missing, 0);
        both.extend_from_slice(number);
    }
    wire.end()?;
    Ok(both)
}

fn added(application: Vec<u8>, wire: &mut Wire<'_>) -> Result<Added, &'static str> {
    let (state, rest) = wire.0.split_first_chunk().ok_or(DAMAGED)?;
    wire.0 = rest;
    let state: [u8; 5] = *state;
    if state[0] & TOUCHED == 0 {
        return Err("was made without anybody touching the security key");
    }
    Ok(Added { application, state })
}

const DAMAGED: &str = "is damaged";

/// SSH's way of putting values in a row.
struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    fn number(&mut self) -> Result<u32, &'static str> {
        let (number, rest) = self.0.split_first_chunk().ok_or(DAMAGED)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    fn string(&mut self) -> Result<&'a [u8], &'static str> {
        let length = usize::try_from(self.number()?).map_err(|_| DAMAGED)?;
        let (string, rest) = self.0.split_at_checked(length).ok_or(DAMAGED)?;
        self.0 = rest;
        Ok(string)
    }

    /// A positive number, without leading zeros.
    fn positive(&mut self) -> Result<&'a [u8], &'static str> {
        let number = self.string()?;
        let start = number.iter().position(|byte| *byte != 0).ok_or(DAMAGED)?;
        match number[0] & 0x80 {
            0 => Ok(&number[start..]),
            _ => Err(DAMAGED),
        }
    }

    fn curve(&mut self, name: &[u8]) -> Result<Vec<u8>, &'static str> {
        match self.string()? == name {
            true => Ok(self.string()?.to_vec()),
            false => Err(DAMAGED),
        }
    }

    fn end(&self) -> Result<(), &'static str> {
        if self.0.is_empty() { Ok(()) } else { Err(DAMAGED) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn string(bytes: &[u8]) -> Vec<u8> {
        [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
    }

    fn armoured(bytes: &[u8]) -> String {
        format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(bytes))
    }

    /// A signature of this key blob, in this namespace, hashed so, and its last part.
    fn made(blob: &[u8], namespace: &str, hash: &str, last: &[u8]) -> String {
        let parts = [blob, namespace.as_bytes(), b"", hash.as_bytes(), last].map(string);
        armoured(&[MAGIC, &1u32.to_be_bytes(), &parts.concat()].concat())
    }

    fn ed25519() -> (Vec<u8>, Vec<u8>) {
        let blob = [string(b"ssh-ed25519"), string(&[7; 32])].concat();
        let last = [string(b"ssh-ed25519"), string(&[9; 64])].concat();
        (blob, last)
    }

    #[test]
    fn a_signature_is_taken_apart() {
        let (blob, last) = ed25519();
        let found = parse(&made(&blob, "git", "sha512", &last)).unwrap();
        assert_eq!((found.key, found.bytes.len()), (Key::Ed25519(vec![7; 32]), 64));
        assert_eq!((found.hash, found.added, found.blob), (Hash::Sha512, None, blob));
        let rsa = [string(b"ssh-rsa"), string(&[1, 0, 1]), string(&[0, 0x80, 1])].concat();
        let last = [string(b"rsa-sha2-256"), string(&[9; 8])].concat();
        let found = parse(&made(&rsa, "git", "sha256", &last)).unwrap();
        let (exponent, modulus) = (vec![1, 0, 1], vec![0x80, 1]);
        assert_eq!(
            (found.key, found.rsa_hash),
            (Key::Rsa { exponent, modulus }, Hash::Sha256)
        );
    }

    #[test]
    fn numbers_of_ecdsa_have_their_full_length() {
        let kind = b"ecdsa-sha2-nistp256";
        let blob = [string(kind), string(b"nistp256"), string(&[4; 65])].concat();
        let numbers = [string(&[1]), string(&[&[0], [0xff; 32].as_slice()].concat())].concat();
        let found = parse(&made(
            &blob,
            "git",
            "sha512",
            &[string(kind), string(&numbers)].concat(),
        ))
        .unwrap();
        assert_eq!(found.bytes, [[0; 31].as_slice(), &[1], &[0xff; 32]].concat());
    }

    #[test]
    fn what_is_for_something_else_or_could_be_read_in_two_ways_is_refused() {
        let (blob, last) = ed25519();
        let (longer, dsa) = ([blob.as_slice(), b"x"].concat(), string(b"ssh-dss"));
        let untouched = [
            string(b"sk-ssh-ed25519@openssh.com"),
            string(&[7; 32]),
            string(b"ssh:"),
        ]
        .concat();
        let by_sk = [
            string(b"sk-ssh-ed25519@openssh.com"),
            string(&[9; 64]),
            vec![0; 5],
        ]
        .concat();
        let rsa = [string(b"ssh-rsa"), string(&[1, 0, 1]), string(&[0, 0x80, 1])].concat();
        for (text, why) in [
            (made(&blob, "file", "sha512", &last), "something else"),
            (made(&blob, "git2", "sha512", &last), "something else"),
            (made(&blob, "git", "sha1", &last), "hash"),
            (made(&longer, "git", "sha512", &last), "damaged"),
            (
                made(&blob, "git", "sha512", &[last.as_slice(), b"x"].concat()),
                "damaged",
            ),
            (
                made(
                    &blob,
                    "git",
                    "sha512",
                    &[string(b"ssh-rsa"), string(b"")].concat(),
                ),
                "another kind",
            ),
            (made(&dsa, "git", "sha512", &last), "kind of key"),
            (
                made(
                    &rsa,
                    "git",
                    "sha512",
                    &[string(b"ssh-rsa"), string(&[9; 8])].concat(),
                ),
                "not safe",
            ),
            (made(&untouched, "git", "sha512", &by_sk), "touching"),
            (armoured(b"SSHSIG"), "damaged"),
            (armoured(b"SSHSIG\0\0\0\x02"), "version"),
            (format!("{BEGIN}\n!\n{END}"), "Base64"),
            ("-----BEGIN PGP SIGNATURE-----".to_owned(), "not an SSH"),
        ] {
            let told = parse(&text).unwrap_err();
            assert!(told.contains(why), "{told}, not {why}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..150, to: u8) {
            let _ = parse(&armoured(&[MAGIC, &bytes].concat()));
            let (blob, last) = ed25519();
            let text = made(&blob, "git", "sha512", &last);
            let inside = text.strip_prefix(BEGIN).unwrap().trim_end().strip_suffix(END).unwrap();
            let mut raw = STANDARD.decode(inside.trim()).unwrap();
            let at = at % raw.len();
            raw[at] = to;
            let _ = parse(&armoured(&raw));
        }
    }
}
