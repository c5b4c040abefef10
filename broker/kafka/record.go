package kafka

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/IBM/sarama"

	"github.com/omnibox-go/omnibox/broker"
)

const (
	// batchOverhead is what a record batch needs besides its records.
	batchOverhead = 61
	// deltaSlack is how much longer a record may be inside a batch than alone,
	// because of its place in it.
	deltaSlack = 4
	// defaultBatchBytes is Kafka's default of max.message.bytes, which bounds a
	// whole batch. It is what we keep to while we may not know the topic's own.
	defaultBatchBytes = 1_048_588
	// maxRecordBytes is what no broker takes: its default bound of a request.
	maxRecordBytes = 100 << 20
	// maxTopicName is the longest name that Kafka allows.
	maxTopicName = 249
)

// recordSize is the number of bytes of the record alone in a batch, without
// the batch's own.
func recordSize(r *broker.Record) int {
	n := 3 // attributes, time and place: one byte each
	n += bytesSize(r.Key) + bytesSize(r.Value) + varintSize(len(r.Headers))
	for i := range r.Headers {
		n += varintSize(len(r.Headers[i].Key)) + len(r.Headers[i].Key) + bytesSize(r.Headers[i].Value)
	}
	return varintSize(n) + n
}

// bytesSize is that of b with its length; no bytes at all have length -1.
func bytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(len(b)) + len(b)
}

// varintSize is that of n in zigzag encoding.
func varintSize(n int) int { return (bits.Len(uint(n)<<1|1) + 6) / 7 }

// checkTopic tells whether Kafka allows the name.
func checkTopic(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > maxTopicName {
		return fmt.Errorf("invalid topic name %q: %w", name, sarama.ErrInvalidTopic)
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return fmt.Errorf("invalid topic name %q: only letters, digits, '.', '_' and '-': %w", name, sarama.ErrInvalidTopic)
		}
	}
	return nil
}

// partitionOf chooses the partition of a key as the Java client and aiokafka
// do, so that a relay that takes over from them keeps every key where it is.
// No key counts as an empty one: its records stay in order too.
func partitionOf(key []byte, partitions int) int {
	return int(murmur2(key)&0x7fffffff) % partitions
}

func murmur2(data []byte) uint32 {
	const m, seed = 0x5bd1e995, 0x9747b28c
	h := uint32(seed) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= m
		k ^= k >> 24
		k *= m
		h *= m
		h ^= k
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(data[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}

// encode makes the wire form of the batch, which its resends share.
func (b *batch) encode(codec sarama.CompressionCodec) *sarama.RecordBatch {
	if b.wire != nil {
		return b.wire
	}
	now := time.Now().Truncate(time.Millisecond)
	b.wire = &sarama.RecordBatch{
		Version: 2, Codec: codec, CompressionLevel: sarama.CompressionLevelDefault,
		FirstTimestamp: now, MaxTimestamp: now, LastOffsetDelta: int32(len(b.items) - 1),
		ProducerID: b.producer.id, ProducerEpoch: b.producer.epoch, FirstSequence: b.sequence,
		Records: make([]*sarama.Record, len(b.items)),
	}
	var headers, names int
	for _, it := range b.items {
		headers += len(it.record.Headers)
		for i := range it.record.Headers {
			names += len(it.record.Headers[i].Key)
		}
	}
	// A few large allocations instead of several a record.
	records := make([]sarama.Record, len(b.items))
	slab, pointers := make([]sarama.RecordHeader, headers), make([]*sarama.RecordHeader, headers)
	text := make([]byte, 0, names)
	for i, it := range b.items {
		r, n := it.record, len(it.record.Headers)
		for j := range r.Headers {
			start := len(text)
			text = append(text, r.Headers[j].Key...)
			slab[j] = sarama.RecordHeader{Key: text[start:len(text):len(text)], Value: r.Headers[j].Value}
			pointers[j] = &slab[j]
		}
		records[i] = sarama.Record{Key: r.Key, Value: r.Value, OffsetDelta: int64(i), Headers: pointers[:n:n]}
		b.wire.Records[i] = &records[i]
		slab, pointers = slab[n:], pointers[n:]
	}
	return b.wire
}
