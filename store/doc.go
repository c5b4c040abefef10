// Package store keeps events in Postgres: it writes them in the caller's
// transaction, hands them out under leases, and settles them.
//
// A producer needs only Outbox and Enqueue. A worker opens a Store. One with a
// Group works on an inbox: it lands messages, each once, and completes them in the
// transaction of what they are about.
package store
