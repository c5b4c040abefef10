// Package inbox is what a consumer writes: typed handlers of messages, by
// source, type and schema version, and upcasters from old versions.
//
// A Router gathers them; Build checks them all and gives Routes, which find the
// handler of a message that lies in an inbox:
//
//  1. the one for exactly its source, type and version,
//  2. else, through upcasters of its type, the one for the nearest later version
//     that its source has a handler for,
//  3. else the one for any version of its source and type,
//  4. else the fallback,
//  5. else none: the error is permanent and wraps ErrNoHandler, so the message
//     becomes a dead letter, which can be replayed once there is a handler.
//
// What a handler returns says what becomes of the message: nil completes it;
// omnibox.Skip, Stale, omnibox.RetryAt and omnibox.Permanent say otherwise; any
// other error is a failure, after which it is tried again.
//
// An Applier is the end of a pipeline: it gives messages to their handlers, those
// of a key one after the other. With HandleTx, HandleBatch and SQL, what a handler
// does and that the message is completed are one transaction. So each message has
// its effect in that database exactly once, whatever fails and whoever else has the
// message by then; a handler may run more often, and what it does elsewhere happens
// as often as it runs.
package inbox
