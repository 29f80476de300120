//! Faults that are planted on purpose, to see that the simulator finds them. Nothing of this exists without the feature
//! `planted-bugs`, which no crate of this workspace asks for.

use std::cell::Cell;

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A member may stop although one request is still in flight there.
    DrainOffByOne,
    /// Members are taken away while they are silent.
    ScaleInOnSilence,
    /// Members are replaced although most fell silent together.
    ReplacedUnderMassSilence,
    /// A start that timed out is tried again under another identity.
    NewIdAfterTimeOut,
    /// The last endpoint of a balancer may be taken out.
    EmptyBalancerSet,
    /// What is emptied after a burst is never done.
    BurstNeverEnded,
    /// Serving members are taken out without counting.
    BudgetIgnored,
    /// A batch counts, however old it is.
    OldWordsCount,
    /// A commit that was rejected is proposed again when it is the head.
    RejectedOfferedAgain,
    /// Automation goes on while paused.
    PauseIgnored,
    /// A pause does not outlive a restart.
    PauseForgotten,
    /// Parts start before what comes before them.
    StartOrderIgnored,
    /// One member's figure may speak for any number of members.
    LiarNotClamped,
    /// An instance of a group goes although the minimum needs it.
    GroupBelowMinimum,
    /// A tenant's commit stays ordered although a member refused it.
    TenantsRefusalIgnored,
    /// A tenant's domains lead on after it has signed off.
    DomainsOutliveSignUp,
}

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Plants a fault in this thread, in place of the one before.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether it is planted.
pub(crate) fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}
