package workflows

import (
	"time"

	"github.com/omnibox-go/omnibox/activities"
)

// PollerState is a poller's whole state: what it is started with, what it
// continues with, and what the query "status" answers.
type PollerState struct {
	activities.Poller
	Pipeline string `json:"pipeline"`
	// Prefix begins the ids of the event workflows.
	Prefix string `json:"prefix"`
	// Heartbeat is what the last fetch told of FetchOut.Heartbeat.
	Heartbeat time.Duration `json:"heartbeat"`

	Phase   string              `json:"phase"`
	Drains  int                 `json:"drains"`
	Signals int                 `json:"signals"`
	Last    activities.DrainOut `json:"last"`
	Sent    int64               `json:"sent"`
	Dead    int64               `json:"dead"`
	// Started is how many event workflows there were, NotStarted how many could
	// not be started.
	Started    int `json:"started"`
	NotStarted int `json:"not_started,omitempty"`
	// Idle is how many drains in a row have not got on.
	Idle int `json:"idle,omitempty"`
	// Wanted is a pause or its end that is not written down yet.
	Wanted *activities.SetPausedIn `json:"wanted,omitempty"`
}

// PauseSignal is the argument of the signals "pause" and "resume".
type PauseSignal struct {
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// Phases of a poller.
const (
	phaseWaiting  = "waiting for events"
	phaseSpawning = "starting event workflows"
	phaseDraining = "draining"
)
