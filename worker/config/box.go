package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/omnibox-go/omnibox/store"
)

// Box is an outbox or an inbox, with the name of its pipeline.
type Box struct {
	Pipeline

	Name  string
	Table string
	// Outbox is nil of an inbox, and the other way round.
	Outbox *Outbox
	Inbox  *Inbox
}

// Box is the outbox or inbox of that name.
func (c *Config) Box(name string) (Box, bool) {
	all := c.Boxes()
	i := slices.IndexFunc(all, func(b Box) bool { return b.Name == name })
	if i < 0 {
		return Box{}, false
	}
	return all[i], true
}

// Boxes are all outboxes, and then all inboxes, each by name.
func (c *Config) Boxes() []Box {
	var all []Box
	for _, name := range slices.Sorted(maps.Keys(c.Outboxes)) {
		o := c.Outboxes[name]
		all = append(all, Box{Pipeline: o.Pipeline, Name: name, Table: o.Table, Outbox: &o})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Inboxes)) {
		i := c.Inboxes[name]
		all = append(all, Box{Pipeline: i.Pipeline, Name: name, Table: i.Table, Inbox: &i})
	}
	return all
}

// Path of the box in a configuration.
func (b Box) Path() string {
	if b.Inbox != nil {
		return join("inboxes", b.Name)
	}
	return join("outboxes", b.Name)
}

// Store is how the box's table is opened by an owner of leases.
func (b Box) Store(owner string) store.Config {
	cfg := store.Config{
		Table: b.Table, Pipeline: b.Name, Owner: owner, Claim: b.Claim, Lease: b.Lease,
		Ordering: b.Ordering, BehindFailure: b.BehindFailure, OnComplete: b.OnComplete,
		// a drain reads one batch, handles one, and settles one
		ReadAhead: 3 * b.Batch,
	}
	if b.Outbox != nil {
		cfg.Filter = store.Filter(b.Outbox.Filter)
	} else {
		cfg.Group = b.Inbox.Group
	}
	if b.Lane != LaneBatch {
		cfg.Escalation = store.Escalation{Most: b.MaxEscalations, Parked: b.MaxParked, ParkFor: b.ParkFor}
	}
	return cfg
}

// TableOf names a box's table so that two boxes with one table have one name,
// however they spell it.
func (c *Config) TableOf(b Box) string {
	return place(b.Database, c.Databases[b.Database]) + "/" + strings.TrimPrefix(b.Table, "public.")
}

// Shares tells whether another pipeline works on the same table.
func (c *Config) Shares(b Box) bool {
	return slices.ContainsFunc(c.Boxes(), func(other Box) bool { return other.Name != b.Name && c.TableOf(other) == c.TableOf(b) })
}
