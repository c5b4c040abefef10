// Package faults breaks everything that omnibox depends on, at random and by a
// seed that is printed, while events flow, and then checks every promise that
// it makes about them:
//
//   - a [Producer] enqueues events and writes each one that was committed into a
//     [Ledger];
//   - a [Reader] reads the topic from its beginning;
//   - or a [Sender] sends messages to the topic, and what is read are the effects
//     that the handler of an inbox has written;
//   - a [Campaign] kills, pauses, cuts and slows workers, Postgres, Kafka and
//     Temporal, and waits after each [Fault] until events of every key flow again;
//   - [Check] compares ledger, topic and table at the end.
//
// The workers are real processes, of any binary that takes the place of the stock
// one.
package faults
