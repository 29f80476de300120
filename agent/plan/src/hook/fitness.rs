//! Whether a file may be run as a hook, from what the file system says of it. Each refusal names the remedy.
//!
//! Refuses to look itself.

/// Bytes of a file's beginning that are looked at: the kernel reads as much of a first line.
pub const BEGINNING: usize = 256;

const WRITABLE_BY_ALL: u32 = 0o002;
const EXECUTABLE: u32 = 0o111;

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// Anything else.
    Other,
}

/// What the file system says of a path, links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// User id of its owner.
    pub owner: u32,
}

/// Why something is not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A folder is expected.
    #[error("is no folder")]
    NoFolder,
    /// A file is expected.
    #[error("is no file: put the program itself there")]
    NoFile,
    /// Anybody could put another program there.
    #[error("may be written by everybody: run chmod o-w")]
    WritableByAll,
    /// Somebody else could.
    #[error("belongs to user {owner}; hooks must belong to root or to the agent's user {agent}: run chown")]
    Foreign {
        /// Whose it is.
        owner: u32,
        /// Who runs it.
        agent: u32,
    },
    /// A link to somewhere else.
    #[error("leads out of the folder of hooks, to {0}: put the file itself there")]
    LeadsOut(String),
    /// No execute bit.
    #[error("is not executable: run chmod +x")]
    NotExecutable,
    /// The kernel would not know what to run it with.
    #[error("is no program: its first line must begin with #! and name an interpreter, such as #!/bin/sh")]
    NoProgram,
    /// `#!` and nothing.
    #[error("names no interpreter after #!: its first line must be like #!/bin/sh")]
    NoInterpreter,
    /// Written elsewhere.
    #[error("has lines that end as on Windows, so that its interpreter is not found: run sed -i 's/\\r$//'")]
    WindowsLines,
    /// The interpreter does not exist here.
    #[error("needs {0}, which its first line names and which is not there: install it or name another")]
    InterpreterMissing(String),
}

fn trusted(facts: &Facts, agent: u32) -> Result<(), Unfit> {
    if facts.mode & WRITABLE_BY_ALL != 0 {
        return Err(Unfit::WritableByAll);
    }
    if facts.owner != 0 && facts.owner != agent {
        return Err(Unfit::Foreign {
            owner: facts.owner,
            agent,
        });
    }
    Ok(())
}

/// Whether programs in this folder may be run by the agent's user `agent`.
pub fn folder(facts: &Facts, agent: u32) -> Result<(), Unfit> {
    if facts.kind != Kind::Folder {
        return Err(Unfit::NoFolder);
    }
    trusted(facts, agent)
}

/// Whether this file may be run, but for its beginning.
pub fn file(facts: &Facts, agent: u32) -> Result<(), Unfit> {
    if facts.kind != Kind::File {
        return Err(Unfit::NoFile);
    }
    trusted(facts, agent)?;
    if facts.mode & EXECUTABLE == 0 {
        return Err(Unfit::NotExecutable);
    }
    Ok(())
}

/// The interpreter that the first line names; None: the file is a binary and needs none.
pub fn interpreter(beginning: &[u8]) -> Result<Option<String>, Unfit> {
    if beginning.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    let line = beginning.strip_prefix(b"#!").ok_or(Unfit::NoProgram)?;
    let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
    if line.ends_with(b"\r") {
        return Err(Unfit::WindowsLines);
    }
    let word = line
        .split(|b| matches!(b, b' ' | b'\t'))
        .find(|word| !word.is_empty());
    match word {
        Some(word) => Ok(Some(String::from_utf8_lossy(word).into_owned())),
        None => Err(Unfit::NoInterpreter),
    }
}

/// Whether a name in a folder of programs counts: hidden files and an editor's copies do not.
pub fn counts(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.ends_with('~')
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: u32 = 1000;

    fn facts(kind: Kind, mode: u32, owner: u32) -> Facts {
        Facts { kind, mode, owner }
    }

    #[test]
    fn a_hook_belongs_to_root_or_to_the_agent_and_nobody_else_may_write_it() {
        let fine = [facts(Kind::File, 0o755, 0), facts(Kind::File, 0o700, AGENT)];
        assert!(fine.iter().all(|f| file(f, AGENT) == Ok(())));
        let foreign = Unfit::Foreign {
            owner: 33,
            agent: AGENT,
        };
        for (facts, refusal) in [
            (facts(Kind::File, 0o755, 33), foreign),
            (facts(Kind::File, 0o757, 0), Unfit::WritableByAll),
            (facts(Kind::File, 0o644, 0), Unfit::NotExecutable),
            (facts(Kind::Folder, 0o755, 0), Unfit::NoFile),
            (facts(Kind::Other, 0o755, 0), Unfit::NoFile),
        ] {
            assert_eq!(file(&facts, AGENT), Err(refusal), "{facts:?}");
        }
        assert_eq!(folder(&facts(Kind::Folder, 0o755, 0), AGENT), Ok(()));
        // The sticky bit keeps others from replacing files, not from adding some.
        assert_eq!(
            folder(&facts(Kind::Folder, 0o1777, 0), AGENT),
            Err(Unfit::WritableByAll)
        );
        assert_eq!(folder(&facts(Kind::File, 0o755, 0), AGENT), Err(Unfit::NoFolder));
    }

    #[test]
    fn the_first_line_is_read_as_the_kernel_reads_it() {
        let named = |text: &[u8]| interpreter(text);
        assert_eq!(named(b"#!/bin/sh\necho"), Ok(Some("/bin/sh".into())));
        assert_eq!(
            named(b"#! \t/usr/bin/env bash\n"),
            Ok(Some("/usr/bin/env".into()))
        );
        assert_eq!(named(b"#!/bin/sh"), Ok(Some("/bin/sh".into())));
        assert_eq!(named(b"\x7fELF\x02\x01"), Ok(None));
        assert_eq!(named(b"#!\necho"), Err(Unfit::NoInterpreter));
        assert_eq!(named(b"#!/bin/sh\r\necho\r\n"), Err(Unfit::WindowsLines));
        for text in [
            &b""[..],
            b"echo hello\n",
            b"\xef\xbb\xbf#!/bin/sh\n",
            b" #!/bin/sh\n",
        ] {
            assert_eq!(named(text), Err(Unfit::NoProgram), "{text:?}");
        }
    }

    #[test]
    fn what_editors_leave_behind_does_not_count() {
        assert!(counts("10-first") && counts("run.sh"));
        assert!(!counts(".run.swp") && !counts("run~") && !counts(""));
    }
}
