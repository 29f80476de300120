//! One end of the pipe between the agent and its fetching process: lines, and bytes that a line announced.
//!
//! Every read has a bound. It refuses to know what the lines mean.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};

use cartridge_agent_plan::artifacts::talk::{self, MAX_LINE};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes read ahead.
const AHEAD: usize = 64 << 10;

pub(super) struct Channel<R, W> {
    from: BufReader<R>,
    to: W,
    /// Said and not sent yet. It goes before anything else, and at the latest when nothing more is there to be heard.
    held: Vec<u8>,
}

impl<R: Read, W: Write> Channel<R, W> {
    pub(super) fn new(from: R, to: W) -> Self {
        Self {
            from: BufReader::with_capacity(AHEAD, from),
            to,
            held: Vec::new(),
        }
    }

    pub(super) fn say(&mut self, message: &impl Serialize) -> io::Result<()> {
        self.send(&talk::line(message), &[])
    }

    /// The same for one of several that are said together: the other side wakes up once for all of them.
    pub(super) fn say_with_others(&mut self, message: &impl Serialize) -> io::Result<()> {
        self.hold(&talk::line(message), &[])
    }

    /// Says something that announces bytes, and sends them.
    pub(super) fn give(&mut self, message: &impl Serialize, bytes: &[u8]) -> io::Result<()> {
        self.send(&talk::line(message), bytes)
    }

    /// The same as an answer to one of several questions.
    pub(super) fn give_with_others(&mut self, message: &impl Serialize, bytes: &[u8]) -> io::Result<()> {
        self.hold(&talk::line(message), bytes)
    }

    fn hold(&mut self, line: &[u8], bytes: &[u8]) -> io::Result<()> {
        if self.held.len() + line.len() + bytes.len() > AHEAD {
            return self.send(line, bytes);
        }
        self.held.extend_from_slice(line);
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    fn send(&mut self, line: &[u8], bytes: &[u8]) -> io::Result<()> {
        // In one piece where it is small: the other side wakes up once.
        self.held.extend_from_slice(line);
        if self.held.len() + bytes.len() <= AHEAD {
            self.held.extend_from_slice(bytes);
            return self.send_held();
        }
        self.send_held()?;
        self.to.write_all(bytes)
    }

    fn send_held(&mut self) -> io::Result<()> {
        let sent = self.to.write_all(&self.held);
        self.held.clear();
        sent
    }

    /// Says something that announces bytes, and passes them on piece by piece.
    pub(super) fn pass(
        &mut self,
        message: &impl Serialize,
        bytes: u64,
        from: &mut impl Read,
    ) -> io::Result<()> {
        self.say(message)?;
        let passed = io::copy(&mut from.take(bytes), &mut self.to)?;
        if passed < bytes {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// The next line. Nothing at all is `UnexpectedEof`, nonsense is `InvalidData`.
    pub(super) fn hear<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        // Who waits for an answer has asked.
        if !self.held.is_empty() && !self.from.buffer().contains(&b'\n') {
            self.send_held()?;
        }
        let mut line = Vec::with_capacity(128);
        let most = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        (&mut self.from).take(most).read_until(b'\n', &mut line)?;
        match line.last() {
            None => Err(ErrorKind::UnexpectedEof.into()),
            Some(b'\n') => talk::read(&line).map_err(|why| io::Error::new(ErrorKind::InvalidData, why)),
            Some(_) if line.len() < MAX_LINE => Err(ErrorKind::UnexpectedEof.into()),
            Some(_) => Err(io::Error::new(ErrorKind::InvalidData, "its line does not end")),
        }
    }

    /// Announced bytes, all of them.
    pub(super) fn take(&mut self, bytes: u64) -> io::Result<Vec<u8>> {
        let size = usize::try_from(bytes).map_err(|_| ErrorKind::OutOfMemory)?;
        let mut all = vec![0; size];
        self.from.read_exact(&mut all)?;
        Ok(all)
    }

    /// Announced bytes, piece by piece.
    pub(super) fn stream(
        &mut self,
        mut bytes: u64,
        mut piece: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        while bytes > 0 {
            let there = self.from.fill_buf()?;
            if there.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let count = there.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
            piece(&there[..count])?;
            self.from.consume(count);
            bytes -= count as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cartridge_agent_plan::artifacts::talk::Say;

    use super::*;

    #[test]
    fn lines_and_announced_bytes_follow_each_other() {
        let mut sent = Vec::new();
        let mut to = Channel::new(io::empty(), &mut sent);
        to.give(&Say::Send(3), b"a\nb").unwrap();
        to.say(&Say::Alive).unwrap();
        to.give(&Say::Send(200_000), &vec![7; 200_000]).unwrap();
        let mut from = Channel::new(sent.as_slice(), io::sink());
        assert_eq!(from.hear::<Say>().unwrap(), Say::Send(3));
        assert_eq!(from.take(3).unwrap(), b"a\nb");
        assert_eq!(from.hear::<Say>().unwrap(), Say::Alive);
        assert_eq!(from.hear::<Say>().unwrap(), Say::Send(200_000));
        let mut sum = 0;
        from.stream(200_000, |piece| {
            sum += piece.iter().map(|byte| u64::from(*byte)).sum::<u64>();
            Ok(())
        })
        .unwrap();
        assert_eq!(sum, 1_400_000);
        assert_eq!(from.hear::<Say>().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_said_with_others_goes_before_what_follows_and_when_nothing_is_left_to_hear() {
        let mut sent = Vec::new();
        let questions = [Say::Alive, Say::Send(1), Say::Send(2)]
            .map(|say| talk::line(&say))
            .concat();
        let mut to = Channel::new(questions.as_slice(), &mut sent);
        to.hear::<Say>().unwrap();
        to.give_with_others(&Say::Send(1), b"x").unwrap();
        to.hear::<Say>().unwrap();
        assert!(to.to.is_empty(), "another question is there already");
        to.say(&Say::Alive).unwrap();
        assert_eq!(to.to.len(), to_lines(&[Say::Send(1), Say::Alive]) + 1, "in order");
        to.hear::<Say>().unwrap();
        to.say_with_others(&Say::Take(3)).unwrap();
        to.hear::<Say>().unwrap_err();
        let all = to_lines(&[Say::Send(1), Say::Alive, Say::Take(3)]) + 1;
        assert_eq!(to.to.len(), all, "no other question is there");
        to.say_with_others(&Say::Take(4)).unwrap();
        to.give_with_others(&Say::Send(70_000), &[7; 70_000]).unwrap();
        assert!(to.held.is_empty(), "nothing large is held");
        let before = talk::line(&Say::Take(4));
        let after = &to.to[all..];
        assert!(
            after.starts_with(&before),
            "nothing large goes before what was held"
        );
        assert_eq!(
            after.len(),
            before.len() + to_lines(&[Say::Send(70_000)]) + 70_000
        );
    }

    fn to_lines(all: &[Say]) -> usize {
        all.iter().map(|say| talk::line(say).len()).sum()
    }

    #[test]
    fn babble_without_end_is_cut() {
        let mut from = Channel::new(io::repeat(b'x'), io::sink());
        let error = from.hear::<Say>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let mut from = Channel::new(&b"half a li"[..], io::sink());
        assert_eq!(from.hear::<Say>().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}
