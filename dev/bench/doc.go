// Package bench measures omnibox beside loops that a good engineer would write
// in an hour, on the same tables, rows and servers. What is compared is measured
// in turn, round by round, since a machine's own pace changes by a third from
// one minute to the next; only ratios are to be trusted. A ratio is that of the
// medians of all rounds, and the table says how far the rounds were apart.
//
//	bench.go     what a variant is, rounds, medians and goals
//	table.go     the table of results
//	loop.go      the raw loops: lease, send, mark; or read, send, mark
//	lane.go      the batch lane; worker.go is the whole worker under Temporal
//	land.go      messages into an inbox; landloop.go is the raw loop
//	handle.go    messages to handlers; handleloop.go are the raw loops
//	enqueue.go   what events add to a producer's transaction
//	latency.go   from commit to consumer; load.go is the producer and consumer
//	buffers.go   what a fetch reads, at two sizes of the backlog
//	lab/         servers, databases, topics and the meter of CPU time
package bench
