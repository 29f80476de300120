//! User accounts, from the text of `/etc/passwd` and `/etc/group`.
//!
//! A static binary must not ask the system's name services (they are loaded at run time and crash it), so the files are
//! read as what they are. Refuses to read them itself.

/// Whom something runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name, where the account file has one.
    pub name: Option<String>,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// Its folder.
    pub home: String,
}

/// Most further groups of one account; the kernel takes more, nobody has them.
const MOST_GROUPS: usize = 64;

/// Why there is no such account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAccount {
    /// The account file does not name it.
    #[error(
        "user {0:?} is not in /etc/passwd: name one that is, or give user and group as numbers, such as 1000:1000"
    )]
    Unknown(String),
    /// Neither a name nor numbers.
    #[error("{0:?} is neither a user's name nor numbers such as 1000:1000")]
    Unreadable(String),
}

/// What an operator writes: a name, a number, or numbers of user and group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// As in the account file.
    Name(String),
    /// User id; the rest as in the account file.
    Uid(u32),
    /// Both; the account file is not needed.
    Ids(u32, u32),
}

impl Wish {
    /// Reads what an operator wrote.
    pub fn parse(text: &str) -> Result<Self, NoAccount> {
        let unreadable = || NoAccount::Unreadable(text.to_owned());
        if let Some((uid, gid)) = text.split_once(':') {
            return match (id(uid), id(gid)) {
                (Some(uid), Some(gid)) => Ok(Self::Ids(uid, gid)),
                _ => Err(unreadable()),
            };
        }
        if let Some(uid) = id(text) {
            return Ok(Self::Uid(uid));
        }
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.-$".contains(&b);
        let begins = text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if begins && text.len() <= 64 && text.bytes().all(fits) {
            Ok(Self::Name(text.to_owned()))
        } else {
            Err(unreadable())
        }
    }

    /// Finds the account. The first line that fits counts, as everywhere; lines that are not as they should be are left
    /// out.
    pub fn find(&self, passwd: &str, group: &str) -> Result<Account, NoAccount> {
        let found = passwd.lines().filter_map(line).find(|account| match self {
            Self::Name(name) => account.name.as_ref() == Some(name),
            Self::Uid(uid) | Self::Ids(uid, _) => account.uid == *uid,
        });
        let mut account = match (self, found) {
            (Self::Ids(_, gid), Some(found)) => Account { gid: *gid, ..found },
            (_, Some(found)) => found,
            (Self::Ids(uid, gid), None) => Account {
                name: None,
                uid: *uid,
                gid: *gid,
                groups: Vec::new(),
                home: "/".to_owned(),
            },
            (Self::Name(name), None) => return Err(NoAccount::Unknown(name.clone())),
            (Self::Uid(uid), None) => return Err(NoAccount::Unknown(uid.to_string())),
        };
        if let Some(name) = account.name.as_deref() {
            account.groups = groups(group, name);
        }
        Ok(account)
    }
}

/// The last number means "unchanged" to the kernel.
fn id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .filter(|id| *id != u32::MAX)
}

fn line(line: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, _, home, ..] = fields[..] else {
        return None;
    };
    Some(Account {
        name: Some(name.to_owned()).filter(|name| !name.is_empty()),
        uid: id(uid)?,
        gid: id(gid)?,
        groups: Vec::new(),
        home: if home.starts_with('/') { home } else { "/" }.to_owned(),
    })
}

fn groups(group: &str, name: &str) -> Vec<u32> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, gid, members] = fields[..] else {
            return None;
        };
        members.split(',').any(|member| member == name).then(|| id(gid))?
    };
    group.lines().filter_map(row).take(MOST_GROUPS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbroken:x:one:1::/:\n\
        www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\nwww-data:x:34:34::/:\nodd:x:40:40::relative:\n";
    const GROUP: &str =
        "root:x:0:\nssl:x:110:postgres,www-data\nlog:x:4:www-data-2,www-data\nbad:x:y:www-data\n";

    fn found(text: &str) -> Result<Account, NoAccount> {
        Wish::parse(text)?.find(PASSWD, GROUP)
    }

    #[test]
    fn an_account_is_found_by_name_and_by_number_with_its_groups() {
        let web = Account {
            name: Some("www-data".into()),
            uid: 33,
            gid: 33,
            groups: vec![110, 4],
            home: "/var/www".into(),
        };
        assert_eq!(found("www-data").as_ref(), Ok(&web));
        assert_eq!(found("33").as_ref(), Ok(&web));
        assert_eq!(found("33:4"), Ok(Account { gid: 4, ..web }));
        assert_eq!(found("odd").unwrap().home, "/");
    }

    #[test]
    fn numbers_of_user_and_group_need_no_account() {
        let account = found("4000:5000").unwrap();
        assert_eq!(
            (account.name, account.uid, account.gid, account.groups),
            (None, 4000, 5000, vec![])
        );
    }

    #[test]
    fn what_is_not_there_or_not_readable_is_named() {
        assert_eq!(found("nobody"), Err(NoAccount::Unknown("nobody".into())));
        assert_eq!(found("4000"), Err(NoAccount::Unknown("4000".into())));
        assert_eq!(found("broken"), Err(NoAccount::Unknown("broken".into())));
        for text in [
            "",
            ":",
            "1:",
            ":1",
            "-1",
            "4294967295",
            "4294967296",
            "a b",
            "a\n",
            "1:2:3",
            "+1:1",
        ] {
            assert!(
                matches!(found(text), Err(NoAccount::Unreadable(_))),
                "{text:?}: {:?}",
                found(text)
            );
        }
    }

    proptest! {
        /// Hostile files neither stop the search nor make anybody root.
        #[test]
        fn whatever_the_files_hold_the_account_is_the_one_that_was_asked_for(
            passwd in "([a-z:0-9x/\\n-]{0,40}\\n){0,20}", group in "([a-z:0-9,x\\n]{0,40}\\n){0,20}", uid in 1..3000_u32,
        ) {
            if let Ok(account) = Wish::Uid(uid).find(&passwd, &group) {
                prop_assert_eq!(account.uid, uid);
                prop_assert!(account.groups.len() <= MOST_GROUPS);
            }
        }
    }
}
