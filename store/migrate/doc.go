// Package migrate brings a database to the schema that this version of omnibox
// needs: the schema omnibox with what a worker keeps, and each table of events.
//
// There are two kinds of target, each with its own versions: core, and every
// table. Versions only go forward. A table is created, or, when omni-box has
// made it, adopted in place while its producers and relay go on: nothing is
// rewritten, every exclusive lock is for a change of the catalog alone and is
// given up after two seconds, and indexes are built concurrently. Everything
// may be run again after it was interrupted.
//
// A table is an outbox or an inbox. An inbox may be created in partitions by the
// time of landing; a partitioned one of omni-box is refused.
//
// One process migrates a database at a time. The lock is an advisory one that
// is asked for again and again: a session that waits for it would hold a
// snapshot, on which "create index concurrently" of the other waits in turn.
// So a migration needs a session of its own, not a pooler in transaction mode.
package migrate
