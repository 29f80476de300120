//! What gpgv says of a signature, judged. Its exit code is 0 for keys that are expired or revoked, too, so its status
//! lines count. Refuses to know the program.

/// Begins a status line.
const MARK: &str = "[GNUPG:] ";
/// MD5, SHA-1 and RIPEMD-160: what they sign, others may have signed.
const WEAK_HASHES: [&str; 3] = ["1", "2", "3"];

/// The fingerprint of the one key that has signed; or why it does not count.
pub fn judge(status: &str, ended_well: bool) -> Result<String, String> {
    let lines = status.lines().filter_map(|line| line.strip_prefix(MARK));
    let lines: Vec<Vec<&str>> = lines.map(|line| line.split(' ').collect()).collect();
    let all = |word: &'static str| lines.iter().filter(move |line| line[0] == word);
    let key = |word: &'static str| {
        let line = all(word).next()?;
        Some(line.get(1).copied().unwrap_or("nobody").to_owned())
    };
    for (word, why) in [
        ("BADSIG", "does not fit it"),
        ("REVKEYSIG", "is by a revoked key"),
        ("EXPKEYSIG", "is by an expired key"),
        ("EXPSIG", "has expired"),
        ("NO_PUBKEY", "is by somebody who is not in --allowed-signers"),
        ("ERRSIG", "cannot be checked"),
    ] {
        if let Some(key) = key(word) {
            return Err(format!("{why}: {key}"));
        }
    }
    // Words that were signed in one piece with the signature are not the commit's.
    if all("PLAINTEXT").next().is_some() {
        return Err("holds words of its own".to_owned());
    }
    let mut valid = all("VALIDSIG");
    let one = all("NEWSIG").count() <= 1 && all("GOODSIG").count() == 1;
    match (valid.next(), valid.next()) {
        (Some(line), None) if one && ended_well => {
            let [fingerprint, hash] = [1, 8].map(|at| line.get(at).copied().unwrap_or_default());
            if hash.is_empty() || WEAK_HASHES.contains(&hash) {
                return Err("is made with a hash that is not safe any more".to_owned());
            }
            Ok(fingerprint.to_owned())
        }
        (Some(_), Some(_)) => Err("is more than one".to_owned()),
        _ => Err("is none that gpgv understands".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "[GNUPG:] NEWSIG a@example.org\n[GNUPG:] KEY_CONSIDERED 51F9 0\n[GNUPG:] GOODSIG 5555 A <a@example.org>\n\
        [GNUPG:] VALIDSIG 51F9 2026-11-21 1795251610 0 4 0 22 8 00 51F9\n";

    #[test]
    fn one_good_signature_counts() {
        assert_eq!(judge(GOOD, true), Ok("51F9".into()));
        assert!(judge(GOOD, false).is_err());
        assert!(judge("", true).is_err());
    }

    #[test]
    fn whatever_is_wrong_with_it_is_told() {
        for (status, why) in [
            (GOOD.repeat(2), "more than one"),
            (GOOD.replace("GOODSIG", "EXPKEYSIG"), "expired key: 5555"),
            (GOOD.replace("GOODSIG", "REVKEYSIG"), "revoked key: 5555"),
            (GOOD.replace("GOODSIG", "EXPSIG"), "expired"),
            (format!("{GOOD}[GNUPG:] BADSIG 7 B"), "does not fit"),
            (format!("{GOOD}[GNUPG:] PLAINTEXT 62 0"), "words of its own"),
            (
                "[GNUPG:] ERRSIG 7 22\n[GNUPG:] NO_PUBKEY 7".to_owned(),
                "who is not in --allowed-signers: 7",
            ),
            (GOOD.replace(" 22 8 ", " 17 2 "), "not safe"),
            (GOOD.replace("VALIDSIG", "VALID"), "none that gpgv"),
            (GOOD.replace("GOODSIG", "X"), "none that gpgv"),
            ("gpgv: Good signature from A".to_owned(), "none that gpgv"),
        ] {
            let told = judge(&status, true).unwrap_err();
            assert!(told.contains(why), "{status}: {told}");
        }
    }

    proptest! {
        #[test]
        fn no_status_without_a_good_and_valid_signature_is_accepted(lines in proptest::collection::vec("[A-Z]{0,9}( [a-z0-9]{0,3}){0,12}", 0..9)) {
            let status: String = lines.iter().map(|line| format!("{MARK}{line}\n")).collect();
            prop_assert!(judge(&status, true).is_err());
        }
    }
}
