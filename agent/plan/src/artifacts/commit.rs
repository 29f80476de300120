//! The bytes of a commit, read strictly: its tree, its parents, its signature. Refuses to know who may sign.

use super::object::ObjectId;

/// Most parents.
const MAX_PARENTS: usize = 64;
/// Longest signature.
const MAX_SIGNATURE: usize = 64 << 10;

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its files.
    pub tree: ObjectId,
    /// What it came after.
    pub parents: Vec<ObjectId>,
    /// Who stands for it, if anybody does.
    pub signed: Option<Signed>,
}

/// A signature, and what was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// As it stands in the commit.
    pub signature: String,
    /// The commit without it.
    pub payload: Vec<u8>,
}

/// Reads a commit.
pub fn parse(bytes: &[u8]) -> Result<Commit, &'static str> {
    let mut lines = Lines { rest: bytes };
    let tree = lines
        .next()
        .and_then(|line| line.strip_prefix(b"tree "))
        .and_then(id);
    let tree = tree.ok_or("is not a commit: it names no tree")?;
    let mut parents = Vec::new();
    let mut signature: Option<Vec<u8>> = None;
    let mut payload = Vec::with_capacity(bytes.len());
    let mut in_signature = false;
    put(&mut payload, &bytes[..bytes.len() - lines.rest.len()]);
    loop {
        let before = lines.rest;
        let line = lines.next().ok_or("is not a commit: its head does not end")?;
        if line.is_empty() {
            put(&mut payload, before);
            break;
        }
        if let Some(more) = line.strip_prefix(b" ").filter(|_| in_signature) {
            let signature = signature.as_mut().expect("it has begun");
            signature.push(b'\n');
            signature.extend_from_slice(more);
            if signature.len() > MAX_SIGNATURE {
                return Err("has a signature that is too long");
            }
            continue;
        }
        in_signature = false;
        if let Some(first) = line.strip_prefix(b"gpgsig ") {
            if signature.replace(first.to_vec()).is_some() {
                return Err("has two signatures");
            }
            in_signature = true;
            continue;
        }
        if line.starts_with(b"gpgsig-sha256 ") {
            return Err("is signed for another kind of hash");
        }
        if let Some(parent) = line.strip_prefix(b"parent ") {
            parents.push(id(parent).ok_or("is not a commit: a parent has no hash")?);
            if parents.len() > MAX_PARENTS {
                return Err("has more parents than are looked at");
            }
        }
        put(&mut payload, &before[..before.len() - lines.rest.len()]);
    }
    let signed = match signature.map(String::from_utf8).transpose() {
        Ok(signature) => signature.map(|text| Signed {
            signature: text + "\n",
            payload,
        }),
        Err(_) => return Err("has a signature that is not text"),
    };
    Ok(Commit {
        tree,
        parents,
        signed,
    })
}

struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        Some(line)
    }
}

fn put(payload: &mut Vec<u8>, bytes: &[u8]) {
    payload.extend_from_slice(bytes);
}

fn id(hash: &[u8]) -> Option<ObjectId> {
    std::str::from_utf8(hash).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const REST: &str = "author a <a> 0 +0000\ncommitter a <a> 0 +0000\n";

    #[test]
    fn the_signature_is_taken_out_of_what_was_signed() {
        let head = format!("tree {A}\nparent {A}\n{REST}");
        let plain = format!("{head}\nwords\n");
        let commit = parse(plain.as_bytes()).unwrap();
        assert_eq!((commit.parents.len(), commit.signed), (1, None));
        let signature = "gpgsig -----BEGIN X-----\n abc\n \n -----END X-----\n";
        for after in ["", "encoding utf-8\n"] {
            let signed = format!("{head}{signature}{after}\ngpgsig no\n words\n");
            let found = parse(signed.as_bytes()).unwrap().signed.unwrap();
            assert_eq!(found.signature, "-----BEGIN X-----\nabc\n\n-----END X-----\n");
            assert_eq!(
                found.payload,
                format!("{head}{after}\ngpgsig no\n words\n").into_bytes()
            );
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for bad in [
            String::new(),
            "tree x\n\n".to_owned(),
            format!("tree {A}\n"),
            format!("parent {A}\ntree {A}\n\n"),
            format!("tree {A}\nparent {}\n\n", &A[1..]),
            format!("tree {A}\ngpgsig a\ngpgsig b\n\n"),
            format!("tree {A}\ngpgsig a\n{REST}gpgsig b\n\n"),
            format!("tree {A}\ngpgsig-sha256 a\n\n"),
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            let _ = parse(&[format!("tree {A}\n").as_bytes(), &bytes].concat());
        }
    }
}
