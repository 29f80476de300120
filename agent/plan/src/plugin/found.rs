//! Which files of the plugins' folder are plugins. Refuses to know how a folder is read.

use cartridge_protocol::plugin::PluginName;

/// What lies in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: SeenKind,
    /// Permissions, as chmod(2) has them.
    pub mode: u32,
    /// Whose it is.
    pub owner: u32,
}

/// What an entry of a folder can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenKind {
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// Anything else.
    Other,
}

/// A plugin's name and its file's.
pub type Found = (PluginName, String);

/// The plugins among what lies in a folder, in lexical order, and a line for people about everything that is left
/// out. `agent` is the agent's own user; whoever else may write a plugin could become the agent.
pub fn choose(mut seen: Vec<Seen>, agent: u32) -> (Vec<Found>, Vec<String>) {
    seen.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut found, mut left): (Vec<Found>, Vec<String>) = (Vec::new(), Vec::new());
    for entry in seen.into_iter().filter(|entry| !entry.name.starts_with('.')) {
        match judge(&entry, agent) {
            Err(why) => left.push(format!("{:?} is left out: {why}", entry.name)),
            Ok(name) if found.iter().any(|(other, _)| *other == name) => {
                left.push(format!(
                    "{:?} is left out: there is a plugin {name} already",
                    entry.name
                ));
            }
            Ok(name) => found.push((name, entry.name)),
        }
    }
    (found, left)
}

/// Whether a folder may hold plugins at all.
pub fn trusted(mode: u32, owner: u32, agent: u32) -> Result<(), String> {
    if owner != 0 && owner != agent {
        return Err(format!(
            "it belongs to user {owner}; root or user {agent} must own it"
        ));
    }
    if mode & 0o022 != 0 {
        return Err(format!(
            "others may write it (mode {:o}); chmod go-w it",
            mode & 0o7777
        ));
    }
    Ok(())
}

fn judge(entry: &Seen, agent: u32) -> Result<PluginName, String> {
    match entry.kind {
        SeenKind::File => {}
        SeenKind::Link => return Err("it is a link; put the file itself there".to_owned()),
        SeenKind::Other => return Err("it is no file".to_owned()),
    }
    // `nginx.py` is the plugin nginx.
    let stem = entry
        .name
        .split_once('.')
        .map_or(entry.name.as_str(), |(stem, _)| stem);
    let name = PluginName::new(stem).map_err(|error| error.to_string())?;
    trusted(entry.mode, entry.owner, agent)?;
    if entry.mode & 0o111 == 0 {
        return Err("it is not executable; chmod +x it".to_owned());
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, mode: u32, owner: u32) -> Seen {
        Seen {
            name: name.to_owned(),
            kind: SeenKind::File,
            mode,
            owner,
        }
    }

    #[test]
    fn executables_of_the_agent_or_root_are_taken_in_order() {
        let (found, left) = choose(
            vec![
                file("20-queue", 0o755, 0),
                file("10-nginx.py", 0o700, 7),
                file(".hidden", 0o755, 9),
            ],
            7,
        );
        let names: Vec<_> = found
            .iter()
            .map(|(name, file)| (name.as_str(), file.as_str()))
            .collect();
        assert_eq!(names, [("10-nginx", "10-nginx.py"), ("20-queue", "20-queue")]);
        assert_eq!(left, Vec::<String>::new());
    }

    #[test]
    fn what_others_could_have_put_there_is_left_out_and_named() {
        let link = Seen {
            kind: SeenKind::Link,
            ..file("c", 0o777, 0)
        };
        let folder = Seen {
            kind: SeenKind::Other,
            ..file("d", 0o755, 0)
        };
        let (found, left) = choose(
            vec![
                file("a", 0o775, 0),
                file("b", 0o755, 9),
                link,
                folder,
                file("e", 0o644, 0),
                file("F", 0o755, 0),
                file("a b", 0o755, 0),
                file("g.py", 0o755, 0),
                file("g.sh", 0o755, 0),
            ],
            7,
        );
        assert_eq!(found.len(), 1);
        assert_eq!(left.len(), 8, "{left:#?}");
        for (name, why) in [
            ("\"a\"", "mode 775"),
            ("\"b\"", "user 9"),
            ("\"c\"", "link"),
            ("\"d\"", "no file"),
            ("\"e\"", "not executable"),
            ("\"F\"", "names no plugin"),
            ("\"a b\"", "names no plugin"),
            ("\"g.sh\"", "there is a plugin g already"),
        ] {
            assert!(
                left.iter()
                    .any(|line| line.starts_with(name) && line.contains(why)),
                "{name}: {left:#?}"
            );
        }
    }
}
