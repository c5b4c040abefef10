package store_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/store"
)

// polled is what a consumer has read at once: 1,000 keys, 256 bytes each.
func polled(n int, offset int64) []*omnibox.Event {
	all := make([]*omnibox.Event, n)
	text := strings.Repeat("x", 220)
	for i := range all {
		e := message(fmt.Sprintf("k%d", (offset+int64(i))%1000), offset+int64(i))
		e.Payload = json.RawMessage(fmt.Sprintf(`{"n":%d,"text":"%s"}`, i, text))
		e.Headers = map[string]string{"event_type": "order.placed", "event_id": uuid.NewString()}
		e.Origin.MessageID = uuid.NewString()
		all[i] = e
	}
	return all
}

const pollSize = 1000

func BenchmarkLand(b *testing.B) {
	for name, c := range map[string]struct {
		partitioned bool
		cfg         store.Config
	}{
		"plain": {}, "delete": {cfg: store.Config{OnComplete: "delete"}}, "partitioned": {partitioned: true},
	} {
		b.Run(name, func(b *testing.B) {
			bed := inboxBed(b, c.partitioned)
			s := bed.inbox(b, c.cfg)
			offset := int64(0)
			for b.Loop() {
				b.StopTimer()
				some := polled(pollSize, offset)
				offset += pollSize
				b.StartTimer()
				land(b, s, some...)
			}
			b.ReportMetric(float64(b.N)*pollSize/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// The least that lands a message: one insert a poll, from arrays.
func BenchmarkLandRaw(b *testing.B) {
	bed := inboxBed(b, false)
	offset := int64(0)
	for b.Loop() {
		b.StopTimer()
		some := polled(pollSize, offset)
		offset += pollSize
		b.StartTimer()
		var ids []uuid.UUID
		var messageIDs, topics, keys, types, payloads, headers []string
		var partitions []int32
		var offsets []int64
		for _, e := range some {
			h, _ := json.Marshal(e.Headers)
			ids, messageIDs, topics, keys, types = append(ids, uuid.New()), append(messageIDs, e.Origin.MessageID), append(topics, e.Topic), append(keys, e.Key), append(types, e.Type)
			payloads, headers = append(payloads, string(e.Payload.(json.RawMessage))), append(headers, string(h))
			partitions, offsets = append(partitions, e.Origin.Partition), append(offsets, e.Origin.Offset)
		}
		_, err := bed.db.Exec(b.Context(), `insert into inbox_events (id, message_id, consumer_group, source, topic, partition_key, event_type, payload, headers, partition, "offset")
			select id, message_id, 'billing', 'shop', topic, key, type, payload::jsonb, headers::jsonb, partition, "offset"
			from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[], $9::bigint[])
				m (id, message_id, topic, key, type, payload, headers, partition, "offset")
			on conflict (message_id, consumer_group) do nothing`, ids, messageIDs, topics, keys, types, payloads, headers, partitions, offsets)
		require.NoError(b, err)
	}
	b.ReportMetric(float64(b.N)*pollSize/b.Elapsed().Seconds(), "messages/s")
}
