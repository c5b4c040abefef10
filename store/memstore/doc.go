// Package memstore is a table of events in memory, with the guarantees of
// package store: it passes the same tests (storetest). Pipelines are tested on
// it, also under testing/synctest: it reads time.Now alone, starts no goroutine
// and blocks on nothing but the work of a Complete on the same event.
package memstore
