package kafka

import (
	"time"

	"github.com/IBM/sarama"

	"github.com/omnibox-go/omnibox"
)

const (
	// maxBatchRecords keeps places in a batch within deltaSlack.
	maxBatchRecords = 100_000
	// trustLimit is how old our knowledge of a topic's limit may be when a
	// record fails by it.
	trustLimit = 10 * time.Second
	// refreshEvery is how often the partitions and limits of a topic in use are
	// looked up again.
	refreshEvery = 5 * time.Minute
)

// topic is what is known of one. Guarded by Publisher.mu, like partition.
type topic struct {
	name      string
	parts     []*partition // empty until its metadata came
	limit     int          // max.message.bytes; 0 while unknown
	described time.Time    // when the limit was read
	refreshed time.Time    // when the metadata came
	overdue   bool         // to be refreshed, though nothing waits for it
	stale     bool         // a record exceeds a limit that is not fresh
	waiting   []*item      // until the topic is known

	retryAt      time.Time
	failures     int
	lastErr      error
	missingSince time.Time
	fewerSince   time.Time // the cluster says that there are fewer partitions than parts
}

// partition is the line in front of one partition. At most one batch of it is
// in flight, so an acknowledgement means that everything before it is there.
type partition struct {
	topic  *topic
	id     int32
	leader *leader // nil while unknown
	queue  []*item
	// batch is in flight, or, if it is not flying, goes next as it is: the same
	// records under the same sequence, because it may have arrived.
	batch  *batch
	flying bool
	listed bool // in leader.ready

	producer producer // a partition never uses the same one twice
	sequence int32

	// After a refusal the first solo records of the queue go one at a time;
	// then, until a batch has gone through, no batch has two records of a key.
	solo    int
	careful bool

	// stalled: nothing is sent before mend has looked after the partition.
	stalled  bool
	retryAt  time.Time
	failures int
	lastErr  error
}

// producer is an idempotent producer's id.
type producer struct {
	id    int64
	epoch int16
	valid bool
}

// batch is what is sent of a partition at once.
type batch struct {
	part     *partition
	items    []*item
	size     int
	producer producer
	sequence int32
	clean    bool // no two records of a key: if it goes through, caution ends
	wire     *sarama.RecordBatch
	// unknown: it may be in the log, so its sequence must not be used for
	// anything else.
	unknown bool
}

// stale tells whether a record of the batch must not be sent any more.
func (b *batch) stale() bool {
	for _, it := range b.items {
		if it.gone() {
			return true
		}
	}
	return false
}

// next gives the batch to send, or nil.
func (part *partition) next() *batch {
	if part.batch != nil && part.batch.stale() {
		part.dissolve()
		if part.stalled {
			return nil
		}
	}
	if part.batch == nil {
		part.batch = part.cut()
	}
	return part.batch
}

// cut takes a batch off the queue. Items of calls that have just ended are
// left for them to take back.
func (part *partition) cut() *batch {
	b := &batch{part: part, producer: part.producer, sequence: part.sequence, size: batchOverhead}
	limit := part.topic.limit
	if limit == 0 {
		limit = defaultBatchBytes
	}
	alone := part.solo > 0
	b.clean = part.careful && !alone
	var keys map[string]bool
	if part.careful {
		keys = make(map[string]bool)
	}
	rest := part.queue[:0]
	for i, it := range part.queue {
		if it.gone() || keys[string(it.record.Key)] {
			rest = append(rest, it)
			continue
		}
		full := b.size+it.size+deltaSlack > limit || len(b.items) == maxBatchRecords
		if len(b.items) > 0 && (full || alone) {
			rest = append(rest, part.queue[i:]...)
			break
		}
		if keys != nil {
			keys[string(it.record.Key)] = true
		}
		b.items = append(b.items, it)
		b.size += it.size + deltaSlack
	}
	clear(part.queue[len(rest):])
	part.queue = rest
	if len(b.items) == 0 {
		return nil
	}
	if alone {
		part.solo--
	}
	return b
}

// dissolve puts the records of the batch back at the head of the queue, but
// those whose call has ended.
func (part *partition) dissolve() {
	b := part.batch
	queue := make([]*item, 0, len(b.items)+len(part.queue))
	for _, it := range b.items {
		if !it.call.ended && !it.settled {
			queue = append(queue, it)
		}
	}
	part.queue = append(queue, part.queue...)
	part.drop()
}

// drop forgets the batch. If it may have arrived, its sequence is spent, but
// we do not know whether the broker thinks so: only a new producer id is safe.
//
//  1. Batch [7,8] is sent, arrives, and its answer is lost.
//  2. Its records are given up, and [7,8] is used for two others.
//  3. The broker takes these for a repetition and reports success: two records
//     that we call sent are in no log.
func (part *partition) drop() {
	if part.batch.unknown {
		part.renew()
	}
	part.batch = nil
}

// renew makes the partition wait for a new producer id.
func (part *partition) renew() {
	part.producer = producer{}
	part.stalled = true
}

// acknowledge settles the batch as sent.
func (part *partition) acknowledge(b *batch) {
	part.sequence = int32((int64(b.sequence) + int64(len(b.items))) & 0x7fffffff) // wraps to 0, as the broker's does
	for _, it := range b.items {
		it.settle(nil)
	}
	if b.clean {
		part.careful = false
	}
	part.batch = nil
	part.failures, part.lastErr = 0, nil
}

// refuse takes note that the broker does not want the batch. Of several
// records it cannot be said which is to blame: they go again one at a time.
func (part *partition) refuse(b *batch, class omnibox.Class, err error) {
	part.careful = true
	for _, it := range b.items {
		it.sent = b.unknown
	}
	if len(b.items) > 1 {
		part.solo = len(b.items)
		part.dissolve()
		return
	}
	part.drop()
	b.items[0].fail(fault(class, err))
	part.spare()
}

// misdirect fails everything that waits for the partition.
func (part *partition) misdirect(err error) {
	if part.batch != nil {
		part.dissolve()
	}
	for _, it := range part.queue {
		if !it.spared() {
			it.fail(err)
		}
	}
	part.queue, part.solo = nil, 0
}

// spare takes records out of the queue that must not be sent because an
// earlier one of their key has failed.
func (part *partition) spare() {
	rest := part.queue[:0]
	for _, it := range part.queue {
		if !it.spared() {
			rest = append(rest, it)
		}
	}
	clear(part.queue[len(rest):])
	part.queue = rest
	part.solo = min(part.solo, len(rest))
}

// stall holds the partition up, a little longer each time.
func (part *partition) stall(err error, now time.Time) {
	part.failures++
	part.stalled, part.lastErr, part.retryAt = true, err, now.Add(backoff(part.failures))
}

// backoff is the pause after the nth failure in a row: from 50 ms to 1 s.
func backoff(n int) time.Duration { return min(50*time.Millisecond<<min(n-1, 10), time.Second) }

// busy tells whether anything waits for the partition.
func (part *partition) busy() bool { return len(part.queue) > 0 || part.batch != nil }

// ready tells whether items can be put in line.
func (t *topic) ready() bool { return len(t.parts) > 0 && !t.stale }

// tooLarge tells whether the topic refuses a record of that size. Compression
// may make a large one fit, so then the broker decides.
func (t *topic) tooLarge(size int, codec sarama.CompressionCodec) bool {
	return t.limit > 0 && codec == sarama.CompressionNone && size+batchOverhead > t.limit
}
