package memstore

// flaw breaks one line of the contract, to show that a test notices. Only tests
// of this package can set one.
type flaw struct {
	heldForEver      bool // held rows stay so when the key is free
	heldByItself     bool // a row that holds its key stays held for that
	ignoresPause     bool
	sharesSlots      bool // a lease keeps nobody out
	sameToken        bool // a takeover does not raise the token
	suspectsNobody   bool
	neverRewinds     bool
	extendsLost      bool // a lost lease is extended
	extendsNothing   bool
	marksStale       bool
	marksInMemory    bool // a mark is not in the row
	releasesNothing  bool
	leavesDirty      bool
	unboundedBytes   bool
	unboundedCount   bool
	saysNoMore       bool
	dueBeforeTime    bool // Due does not look at the time
	losesHeaders     bool
	unordered        bool
	early            bool // scheduled rows come before their time
	scheduledLast    bool // in order of due time
	ignoresHolds     bool
	overtakes        bool // what was passed over is overtaken
	repeats          bool // the cursor does not move
	settlesStale     bool
	allOrNothing     bool
	regresses        bool // a final row is settled again
	refusesRepeat    bool
	skippedStays     bool
	keepsMarks       bool // an orderly end leaves the count of fetches
	countsReleased   bool
	keepsDeleted     bool
	forgetsComplete  bool
	countsAll        bool // also what does not count
	countsTwice      bool
	attemptsAboveMax bool
	longErrors       bool
	unboundedDelay   bool
	hastyWhenOld     bool // no delay beyond what ScheduledAt may say
	noDelay          bool
	blocksWrongly    bool // blocks where it should skip, and the reverse
	falseAttempts    bool
	noLetter         bool
	deadHolds        bool

	ignoresWorkflows   bool // a lease by a workflow keeps nobody out
	tellsNoSlots       bool
	tellsNoRows        bool
	assignsStale       bool
	assignsSuspects    bool
	unboundedBudget    bool
	countsNoWorkflows  bool
	beginsPaused       bool
	beginsLapsed       bool
	beginsUncounted    bool
	prolongsNothing    bool
	leavesToWorkflow   bool // a mark takes nothing from a workflow
	keepsAll           bool // gives nothing back
	forgetsCount       bool // gives back without the count
	losesRepeats       bool
	newToken           bool // a workflow that fails again has a new one
	unboundedWorkflows bool
	leasesNothing      bool
	followsAll         bool
	followsNothing     bool
	replaysTwice       bool
	discardsNothing    bool

	landsTwice         bool // a message that is known is landed again
	landsAsGiven       bool // not in the order of offsets
	readsAnything      bool // what is unreadable is pending
	losesRaw           bool // what is unreadable is not kept
	settlesPending     bool // a pending message counts as settled
	unsettlesDiscarded bool
	unsettlesAll       bool
	isFullLate         bool
	countsNoHeld       bool
	handlesFinal       bool // what is final is worked on again
	handlesStale       bool
	completesFailed    bool // completes though the work failed
	locksNoRows        bool // others work on the same event
}
