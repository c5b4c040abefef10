// Package store keeps events in Postgres: it writes them in the caller's
// transaction, hands them out under leases, and settles them.
//
// A producer needs only Outbox and Enqueue. A worker opens a Store.
package store
