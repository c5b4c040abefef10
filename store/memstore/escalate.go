package memstore

import (
	"fmt"
	"time"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// escalate gives failed events a workflow of their own, as many as may have one.
func (s *Store) escalate(settled []omnibox.Outcome) {
	t, limits := s.table, s.cfg.Escalation
	if t.broken.unboundedWorkflows {
		limits.Most, limits.Parked = len(t.rows), len(t.rows)
	}
	for _, o := range settled {
		o.Event.Escalated = false
	}
	for _, o := range settled {
		r := t.find(o.Event.ID)
		switch {
		case r == nil:
		case o.Verdict == omnibox.Retry && r.Status == omnibox.StatusPending && t.withWorkflow(true) < limits.Most:
			s.leaseToWorkflow(r)
			o.Event.Escalated, o.Event.Fence.Token = true, r.token
		case o.Verdict == omnibox.Dead && t.parked() < limits.Parked:
			if letter := t.openLetter(r.ID); letter != nil {
				letter.parkedUntil = time.Now().Add(s.cfg.Escalation.ParkFor)
				o.Event.Escalated = true
			}
		}
	}
}

// leaseToWorkflow leases a row until two minutes after it is due.
func (s *Store) leaseToWorkflow(r *row) {
	if !s.keepsToken {
		r.token++
	}
	r.LeaseUntil = s.table.due(r)
	if now := time.Now(); now.After(r.LeaseUntil) {
		r.LeaseUntil = now
	}
	if s.table.broken.leasesNothing {
		r.LeaseUntil = time.Time{}
		return
	}
	r.LeaseUntil = r.LeaseUntil.Add(2 * time.Minute)
}

// parked is how many dead events have a workflow that waits for a person.
func (t *Table) parked() (n int) {
	for _, d := range t.dead {
		if d.Open && d.parkedUntil.After(time.Now()) {
			n++
		}
	}
	return n
}

// buryBehind buries what waits behind a dead event with it.
func (t *Table) buryBehind(dead *row) {
	for _, r := range t.rows {
		waits := r.held || !isScheduled(r)
		if r.OrderKey() != dead.OrderKey() && !t.broken.followsAll || r.Seq <= dead.Seq || r.Status != omnibox.StatusPending || !waits || t.broken.followsNothing {
			continue
		}
		t.bury(r, omnibox.Outcome{
			Class: "followed", Error: store.LastError(fmt.Sprintf("follows event %s, which is dead", dead.ID)),
		})
	}
}
