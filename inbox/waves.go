package inbox

import "github.com/omnibox-go/omnibox"

// item is one event of a call, as a message. Its key is shared with the others of
// that key, and belongs to whoever handles them at the time.
type item struct {
	at     int
	e      *omnibox.Event
	stored *Stored
	err    error // why it is no message
	key    *key
}

// key is where the events of a key are in a plan, and whether they have come to
// an end.
type key struct {
	failed bool
	wave   int
	unit   *unit
}

// unit is what is handled one after the other: the events of one key or, of a
// batch handler, of many, a batch after the other.
type unit struct {
	batch *batch
	items []item
}

// plan sorts events into waves of units. A wave begins when the one before it has
// ended, and its units run concurrently, so no key may be in two units of a wave:
//
//  1. an event goes to the unit of the event before it of its key, if that has the
//     same batch handler, or if neither has one;
//  2. else it goes to the wave behind that one, to the unit of its batch handler or,
//     if it has none, to a new one.
//
// So without batch handlers there is one wave, with a unit for each key; with one
// for all there is one wave, with one unit. Only keys whose messages go to
// several, by turns, need more.
func (a *Applier) plan(events []*omnibox.Event) (waves [][]*unit) {
	keys := make(map[omnibox.OrderKey]*key, len(events))
	shared := map[place]*unit{}
	for i, e := range events {
		it := item{at: i, e: e}
		it.stored, it.err = storedOf(e)
		b := a.batchOf(it)
		k, seen := keys[e.OrderKey()]
		switch {
		case !seen:
			k = &key{}
			keys[e.OrderKey()] = k
		case k.unit.batch != b:
			k.wave, k.unit = k.wave+1, nil
		}
		if k.unit == nil && b != nil {
			k.unit = shared[place{k.wave, b}]
		}
		if k.unit == nil {
			k.unit = &unit{batch: b}
			if k.wave == len(waves) {
				waves = append(waves, nil)
			}
			waves[k.wave] = append(waves[k.wave], k.unit)
			if b != nil {
				shared[place{k.wave, b}] = k.unit
			}
		}
		it.key = k
		k.unit.items = append(k.unit.items, it)
	}
	return waves
}

// place of a batch handler's unit.
type place struct {
	wave  int
	batch *batch
}

// batchOf is the batch handler of an item, if it has one.
func (a *Applier) batchOf(it item) *batch {
	routes, batches := a.finder.(interface{ batchOf(stored *Stored) *batch })
	if !batches || it.err != nil {
		return nil
	}
	return routes.batchOf(it.stored)
}
