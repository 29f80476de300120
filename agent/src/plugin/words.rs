//! What a plugin writes to its standard error: little of it is kept, and much of it is a fault.
//!
//! Refuses to know what follows from a fault.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use cartridge_agent_plan::logs::{Flow, JOIN_WITHIN, Over};
use cartridge_agent_plan::plugin::{Fault, Noise};
use tokio::io::{AsyncRead, ReadBuf};

use crate::host::clock::Clock;
use crate::host::logs::Logs;

/// Reads to the end, or until there is too much: then why.
pub(super) async fn listen(
    pipe: impl AsyncRead + Unpin,
    stream: String,
    logs: Logs,
    clock: Clock,
) -> Option<Fault> {
    let fault = Rc::new(RefCell::new(None));
    let metered = Metered {
        pipe,
        noise: Noise::default(),
        clock,
        fault: fault.clone(),
    };
    let flow = Flow::new(Noise::KEPT, Over::Dropped, JOIN_WITHIN, 0);
    logs.pump_on(metered, stream, usize::MAX, flow).await;
    fault.take()
}

/// A pipe that ends when too much has come out of it.
struct Metered<P> {
    pipe: P,
    noise: Noise,
    clock: Clock,
    fault: Rc<RefCell<Option<Fault>>>,
}

impl<P: AsyncRead + Unpin> AsyncRead for Metered<P> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.pipe).poll_read(context, buffer))?;
        let now = self.clock.now();
        if let Err(fault) = self.noise.wrote(buffer.filled().len() - before, now) {
            *self.fault.borrow_mut() = Some(fault);
            buffer.set_filled(before);
        }
        Poll::Ready(Ok(()))
    }
}
