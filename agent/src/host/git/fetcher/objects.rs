//! Hands over objects, one by one. It refuses to know what they mean.

use std::io::{self, Read, Write};

use cartridge_agent_plan::artifacts::object::{ObjectId, ObjectKind};
use cartridge_agent_plan::artifacts::talk::{FaultKind, Open, Say};
use git2::{ErrorCode, ObjectType, Odb, Oid, Repository};

use super::packed::Packs;
use super::{Channel, Wrong};

/// Files from here on are not held in memory, if that can be avoided.
const LARGE: u64 = 512 << 10;

pub(super) struct Objects<'repository> {
    odb: Odb<'repository>,
    packs: Packs,
    memory: u64,
}

impl<'repository> Objects<'repository> {
    pub(super) fn new(repository: &'repository Repository, open: &Open) -> io::Result<Self> {
        Ok(Self {
            odb: repository.odb().map_err(io::Error::other)?,
            packs: Packs::new(repository.path().join("objects/pack")),
            memory: open.memory,
        })
    }

    pub(super) fn answer<R: Read, W: Write>(
        &mut self,
        id: ObjectId,
        most: u64,
        pipe: &mut Channel<R, W>,
    ) -> io::Result<()> {
        match self.look(id, most) {
            Ok(Looked::Large(bytes)) => match self.packs.stream(id, bytes, pipe) {
                Some(done) => done,
                None => self.loose_or_whole(id, bytes, pipe),
            },
            Ok(Looked::Small(bytes)) => self.whole(id, bytes, pipe),
            Ok(Looked::Larger(bytes)) => pipe.say(&Say::Larger(bytes)),
            Ok(Looked::Missing) => pipe.say(&Say::Missing),
            Err(wrong) => tell(pipe, wrong),
        }
    }

    fn look(&self, id: ObjectId, most: u64) -> Result<Looked, Wrong> {
        let id = Oid::from_bytes(id.as_bytes())?;
        let (bytes, kind) = match self.odb.read_header(id) {
            Ok((bytes, kind)) => (bytes as u64, kind),
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(Looked::Missing),
            Err(error) => return Err(error.into()),
        };
        Ok(match kind {
            _ if bytes > most => Looked::Larger(bytes),
            ObjectType::Blob if bytes >= LARGE => Looked::Large(bytes),
            _ => Looked::Small(bytes),
        })
    }

    /// An object that is in no pack can be read piece by piece too.
    fn loose_or_whole<R: Read, W: Write>(
        &self,
        id: ObjectId,
        bytes: u64,
        pipe: &mut Channel<R, W>,
    ) -> io::Result<()> {
        let oid = Oid::from_bytes(id.as_bytes()).map_err(io::Error::other)?;
        match self.odb.reader(oid) {
            Ok((mut from, size, ObjectType::Blob)) if size as u64 == bytes => pipe.pass(
                &Say::Object {
                    kind: ObjectKind::Blob,
                    bytes,
                },
                bytes,
                &mut from,
            ),
            _ => self.whole(id, bytes, pipe),
        }
    }

    fn whole<R: Read, W: Write>(&self, id: ObjectId, bytes: u64, pipe: &mut Channel<R, W>) -> io::Result<()> {
        // What it is stored as a difference to is in memory beside it.
        if bytes > self.memory / 3 {
            let text = format!(
                "an object of {bytes} bytes that is packed so that reading it takes more memory than the limit of {}",
                self.memory
            );
            return tell(pipe, Wrong::new(FaultKind::TooMuch, text));
        }
        let oid = Oid::from_bytes(id.as_bytes()).map_err(io::Error::other)?;
        let object = match self.odb.read(oid) {
            Ok(object) => object,
            Err(error) => return tell(pipe, error.into()),
        };
        let kind = match object.kind() {
            ObjectType::Commit => ObjectKind::Commit,
            ObjectType::Tree => ObjectKind::Tree,
            ObjectType::Blob => ObjectKind::Blob,
            ObjectType::Tag => ObjectKind::Tag,
            _ => return pipe.say(&Say::Missing),
        };
        let data = object.data();
        let bytes = data.len() as u64;
        pipe.give_with_others(&Say::Object { kind, bytes }, data)
    }
}

fn tell<R: Read, W: Write>(pipe: &mut Channel<R, W>, Wrong(kind, text): Wrong) -> io::Result<()> {
    pipe.say(&Say::Fault { kind, text })
}

enum Looked {
    Small(u64),
    Large(u64),
    Larger(u64),
    Missing,
}
