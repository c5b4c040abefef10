// Package omnibox is the vocabulary of a transactional outbox and inbox: what
// an event is, which states and outcomes it can have, how errors are classed,
// and the two ports through which a pipeline takes events from a store.
//
// A service writes events with package store, in the transaction that changes
// its own rows. Workers bring them to the broker, at least once and in order
// per key, or to a dead letter that a person can see, replay or discard.
package omnibox
