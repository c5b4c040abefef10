package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/omnibox-go/omnibox"
)

// A Store hands out events and settles them.
var (
	_ omnibox.FetchStrategy  = (*Store)(nil)
	_ omnibox.CommitStrategy = (*Store)(nil)
)

// Claim takes those of slots that are free, without waiting. With ClaimRow it
// takes nothing yet: rows are leased as they are fetched.
func (s *Store) Claim(ctx context.Context, slots []int) (omnibox.Claim, error) {
	if err := s.sweep(ctx); err != nil {
		return nil, err
	}
	if s.cfg.Claim == ClaimRow {
		return s.claimRows(ctx, slots)
	}
	return s.claimShard(ctx, slots)
}

// Due returns those of slots that have something due; none while the pipeline
// is paused. It is cheap whatever the backlog.
func (s *Store) Due(ctx context.Context, slots []int) ([]int, error) {
	if err := s.sweep(ctx); err != nil { // what is behind a hold that is over is not due yet
		return nil, err
	}
	wide := make([]int64, len(slots))
	for i, slot := range slots {
		wide[i] = int64(slot)
	}
	args := s.filterArgs(named{"slots": wide, "pipeline": s.cfg.Pipeline})
	var due []int
	err := s.query(ctx, s.db, "due_slots", args, collectInto(&due, pgx.RowTo[int]))
	return due, s.wrap("look for due events", err)
}

// ForeignOwners names relays that are not omnibox's and have rows of the table
// in their hands; at most ten, from a sample of each slot's oldest rows. With
// ClaimShard there must be none.
func (s *Store) ForeignOwners(ctx context.Context) ([]string, error) {
	var owners []string
	err := s.query(ctx, s.db, "foreign_owners", named{}, collectInto(&owners, pgx.RowTo[string]))
	return owners, s.wrap("look for other relays", err)
}

// ForeignGroups names other groups of consumers that have pending messages in the
// inbox; at most ten, from a sample of each slot's oldest rows. With ClaimShard
// there must be none: the leases of slots keep the others from their messages.
func (s *Store) ForeignGroups(ctx context.Context) ([]string, error) {
	if !s.isInbox() {
		return nil, nil
	}
	var groups []string
	err := s.query(ctx, s.db, "foreign_groups", s.ours(named{}), collectInto(&groups, pgx.RowTo[string]))
	return groups, s.wrap("look for other groups", err)
}

// RefuseForeignGroups is an error if other groups have pending messages in the
// inbox, and the claim is not one that can be shared. A start calls it.
func (s *Store) RefuseForeignGroups(ctx context.Context) error {
	if s.cfg.Claim == ClaimRow {
		return nil
	}
	groups, err := s.ForeignGroups(ctx)
	if err != nil || len(groups) == 0 {
		return err
	}
	return fmt.Errorf("%s has pending messages of another group, %q: give each group a table of its own, or set claim: row", s.table, groups[0])
}

// filterArgs adds the filter and the group to args; an empty list is null and
// matches all.
func (s *Store) filterArgs(args named) named {
	list := func(values []string) []string {
		if len(values) == 0 {
			return nil
		}
		return values
	}
	args["topics"] = list(s.cfg.Filter.Topics)
	args["types"] = list(s.cfg.Filter.Types)
	args["aggregate_types"] = list(s.cfg.Filter.AggregateTypes)
	return s.ours(args)
}

// deadline of a lease asked for at the time asked.
func (s *Store) deadline(asked time.Time) time.Time {
	return asked.Add(s.cfg.Lease - s.cfg.Margin())
}

// releaseTimeout bounds a release, which also runs when the caller's context
// has ended.
const releaseTimeout = 5 * time.Second

func releaseContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.WithoutCancel(ctx), releaseTimeout,
		fmt.Errorf("release took longer than %s", releaseTimeout))
}
