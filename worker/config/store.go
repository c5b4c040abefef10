package config

import "github.com/omnibox-go/omnibox/store"

// Store is how the outbox's table is opened for a pipeline, by an owner of leases.
func (o Outbox) Store(pipeline, owner string) store.Config {
	cfg := store.Config{
		Table: o.Table, Pipeline: pipeline, Owner: owner, Claim: o.Claim, Lease: o.Lease,
		Ordering: o.Ordering, BehindFailure: o.BehindFailure, OnComplete: o.OnComplete,
		// a drain reads one batch, handles one, and settles one
		ReadAhead: 3 * o.Batch, Filter: store.Filter(o.Filter),
	}
	if o.Lane != LaneBatch {
		cfg.Escalation = store.Escalation{Most: o.MaxEscalations, Parked: o.MaxParked, ParkFor: o.ParkFor}
	}
	return cfg
}
