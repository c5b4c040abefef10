package storetest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// InboxSystem is one empty inbox under test. Its stores are of the group billing
// unless the configuration says otherwise.
type InboxSystem interface {
	System
	// OpenInbox makes a worker's side of the inbox.
	OpenInbox(t testing.TB, cfg store.Config) Inbox
	// Blocked tells whether a Complete waits for a row that another has locked.
	Blocked(t testing.TB) bool
}

// Inbox is a worker's side of an inbox.
type Inbox interface {
	Store
	Land(ctx context.Context, events []*omnibox.Event) (store.Landed, error)
	Complete(ctx context.Context, events []*omnibox.Event,
		work func(ctx context.Context, tx pgx.Tx, events []*omnibox.Event) error) error
	Unsettled(ctx context.Context, messageIDs []string) (map[string]omnibox.Status, error)
	Full(ctx context.Context, most int) (bool, error)
}

// InboxTest is one guarantee of an inbox.
type InboxTest struct {
	Name string
	Run  func(t testing.TB, s InboxSystem)
}

// InboxTests are all guarantees of an inbox, beside those of Tests, which hold for
// its table, too.
func InboxTests() []InboxTest {
	return append(landing(), handling()...)
}

// RunInbox runs every guarantee of an inbox against a system of its own. open may
// run in parallel.
func RunInbox(t *testing.T, open func(t testing.TB) InboxSystem) {
	t.Helper()
	for _, test := range InboxTests() {
		t.Run(test.Name, func(t *testing.T) {
			t.Parallel()
			test.Run(t, open(t))
		})
	}
}
