//! Signals become events. Refuses to decide what follows.

use cartridge_agent_plan::lifecycle;
use cartridge_agent_plan::signals::Asked;
use nix::libc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::{Agent, Event};
use crate::host::orphans;
use crate::host::upgrade::exec;

/// Listens from now on, before anything is started. As the first process of a container, what is not listened for
/// would not even have its usual effect.
pub(super) fn listen(events: mpsc::Sender<Event>) -> std::io::Result<()> {
    use Asked::{End, Pass, Reload};
    for (kind, asked) in [
        (SignalKind::terminate(), End),
        (SignalKind::interrupt(), End),
        (SignalKind::quit(), End),
        (SignalKind::hangup(), Reload),
        (SignalKind::user_defined1(), Pass(libc::SIGUSR1)),
        (SignalKind::user_defined2(), Pass(libc::SIGUSR2)),
        (SignalKind::window_change(), Pass(libc::SIGWINCH)),
    ] {
        tokio::task::spawn_local(forward(signal(kind)?, asked, events.clone()));
    }
    tokio::task::spawn_local(orphans::reap_as_they_end(signal(SignalKind::child())?));
    // What came while one agent became another.
    exec::release_signals();
    Ok(())
}

async fn forward(mut signals: Signal, asked: Asked, events: mpsc::Sender<Event>) {
    while signals.recv().await.is_some() {
        if events.send(Event::Asked(asked)).await.is_err() {
            return;
        }
    }
}

impl Agent {
    pub(super) fn asked(&mut self, asked: Asked) {
        match asked {
            Asked::End => {
                let within = self
                    .ending
                    .asked(self.clock.now(), self.settings.duty.stop_within);
                tracing::info!(%within, "asked to end by a signal");
                self.step(lifecycle::Event::Stop { within });
            }
            Asked::Reload => self.reload(),
            Asked::Pass(signal) => self.effects.pass(signal),
        }
    }

    /// What may have changed outside is looked at again.
    fn reload(&mut self) {
        self.manager.reloading();
        tracing::info!("asked to look again");
        self.reloading.asked = true;
        self.reread();
    }
}
