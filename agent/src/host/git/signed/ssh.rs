//! SSH signatures, checked here: no program has to be there, and none reads what strangers sent. It refuses to know
//! OpenPGP.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use cartridge_agent_plan::artifacts::commit::Signed;
use cartridge_agent_plan::artifacts::signers::{self, MAX_BYTES};
use cartridge_agent_plan::artifacts::ssh_signature::{self, Hash, Key, SshSignature};
use ring::digest::{SHA256, SHA512, digest};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::{Unsigned, read_trusted, unusable};

/// Who has signed, as the file of allowed signers calls them.
pub(super) fn signer(signed: &Signed, file: &Path) -> Result<String, Unsigned> {
    let refuse = |why: &str| Unsigned::Commit(format!("has a signature that {why}"));
    let text = read_trusted(file, MAX_BYTES).map_err(unusable(file))?;
    let text = String::from_utf8(text).map_err(|_| unusable(file)("it is not text".to_owned()))?;
    let signature = ssh_signature::parse(&signed.signature).map_err(refuse)?;
    // The clock of this machine: a time in the file is the operator's, and gpgv asks the same clock.
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs());
    let allowed = signers::allows(&text, &signature.blob, now).map_err(unusable(file))?;
    let principals = allowed.map_err(|denial| refuse(denial.words()))?;
    if fits(&signature, &signed.payload) {
        Ok(principals)
    } else {
        Err(refuse("does not fit it"))
    }
}

/// Whether the key has made this signature for these bytes.
fn fits(signature: &SshSignature, payload: &[u8]) -> bool {
    let hash = match signature.hash {
        Hash::Sha256 => digest(&SHA256, payload),
        Hash::Sha512 => digest(&SHA512, payload),
    };
    let mut message = ssh_signature::signed(signature.hash, hash.as_ref());
    if let Some(added) = &signature.added {
        let [application, inner] = [&added.application, &message].map(|part| digest(&SHA256, part));
        message = [application.as_ref(), &added.state, inner.as_ref()].concat();
    }
    let made = &signature.bytes;
    let verified = match &signature.key {
        Key::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(&message, made),
        Key::P256(key) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(&message, made),
        Key::P384(key) => UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key).verify(&message, made),
        Key::Rsa { exponent, modulus } => {
            let how = match signature.rsa_hash {
                Hash::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
                Hash::Sha512 => &RSA_PKCS1_2048_8192_SHA512,
            };
            let key = RsaPublicKeyComponents {
                n: modulus,
                e: exponent,
            };
            key.verify(how, &message, made)
        }
    };
    verified.is_ok()
}
