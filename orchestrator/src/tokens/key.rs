//! The key that signs applications' tokens: two primes, found at the first start, and all that follows from them.
//!
//! *ring* signs but makes no RSA keys; the primes come from `crypto-primes`, once, before anybody could measure how long
//! it takes. This file refuses to know what is signed.

use crypto_bigint::{NonZero, U1024, U2048};
use crypto_primes::hazmat::{SetBits, SmallFactorsSieveFactory};
use crypto_primes::{Flavor, is_prime, sieve_and_find};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use ring::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};

/// Length of each prime.
const PRIME_BITS: u32 = 1024;
const PRIME_BYTES: usize = PRIME_BITS as usize / 8;
/// Length of the key as it is kept: both primes, the larger one first, big-endian.
pub(super) const KEY_BYTES: usize = 2 * PRIME_BYTES;
/// The public exponent that everybody uses.
const EXPONENT: u32 = 65_537;

/// Two fresh primes, as they are kept.
pub(super) fn fresh() -> [u8; KEY_BYTES] {
    loop {
        let (a, b) = (prime(), prime());
        let (p, q) = if a > b { (a, b) } else { (b, a) };
        let mut kept = [0; KEY_BYTES];
        kept[..PRIME_BYTES].copy_from_slice(p.to_be_bytes().as_ref());
        kept[PRIME_BYTES..].copy_from_slice(q.to_be_bytes().as_ref());
        // Once in tens of thousands the exponent has no inverse.
        if pair(&kept).is_some() {
            return kept;
        }
    }
}

/// With the two topmost bits set, so that the product of two has its full length.
fn prime() -> U1024 {
    let factory = SmallFactorsSieveFactory::<U1024>::new(Flavor::Any, PRIME_BITS, SetBits::TwoMsb)
        .expect("so many bits fit");
    // The kernel's random source, once it has begun, does not fail.
    let mut random = UnwrapErr(SysRng);
    sieve_and_find(&mut random, factory, |_, candidate| {
        is_prime(Flavor::Any, candidate)
    })
    .expect("the sieve fits the type")
    .expect("there is always a further prime")
}

/// The pair of keys of two primes; None: they are none that could sign.
pub(super) fn pair(kept: &[u8]) -> Option<KeyPair> {
    if kept.len() != KEY_BYTES {
        return None;
    }
    let (p, q) = (
        U1024::from_be_slice(&kept[..PRIME_BYTES]),
        U1024::from_be_slice(&kept[PRIME_BYTES..]),
    );
    let minus_one = |prime: &U1024| Option::from(NonZero::new(prime.wrapping_sub(&U1024::ONE)));
    let (p1, q1): (NonZero<U1024>, NonZero<U1024>) = (minus_one(&p)?, minus_one(&q)?);
    let e = U1024::from_u32(EXPONENT);
    let dp: U1024 = Option::from(e.invert_mod(&p1))?;
    let dq: U1024 = Option::from(e.invert_mod(&q1))?;
    let q_inverse: U1024 = Option::from(q.invert_mod(&Option::from(NonZero::new(p))?))?;
    let modulus: U2048 = p.concatenating_mul(&q);
    let phi: U2048 = p1.get().concatenating_mul(&q1.get());
    let d: U2048 = Option::from(U2048::from_u32(EXPONENT).invert_mod(&Option::from(NonZero::new(phi))?))?;
    let (modulus, d) = (modulus.to_be_bytes(), d.to_be_bytes());
    let [p, q, dp, dq, q_inverse] = [p, q, dp, dq, q_inverse].map(|number| number.to_be_bytes());
    let exponent = &EXPONENT.to_be_bytes()[1..];
    KeyPair::from_components(&KeyPairComponents {
        public_key: PublicKeyComponents {
            n: without_zeros(modulus.as_ref()),
            e: exponent,
        },
        d: without_zeros(d.as_ref()),
        p: without_zeros(p.as_ref()),
        q: without_zeros(q.as_ref()),
        dP: without_zeros(dp.as_ref()),
        dQ: without_zeros(dq.as_ref()),
        qInv: without_zeros(q_inverse.as_ref()),
    })
    .ok()
}

/// *ring* wants numbers in as few bytes as they need.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pair_of_primes_makes_no_key() {
        let mut kept = fresh();
        assert!(pair(&kept).is_some());
        assert!(pair(&kept[1..]).is_none());
        assert!(pair(&[0; KEY_BYTES]).is_none());
        // Even, hence no prime.
        kept[KEY_BYTES - 1] &= 0xfe;
        assert!(pair(&kept).is_none());
    }
}
