package broker_test

import (
	"testing"

	"github.com/omnibox-go/omnibox/broker"
)

func BenchmarkRead(b *testing.B) {
	r := reader(b, broker.ReaderConfig{})
	m := incoming(`{"order":"9c2f3c66-5f0c-4a44-8b42-0c0b5be0a001","total":12.50,"lines":[{"sku":"a","n":1},{"sku":"b","n":2}],"note":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}`, "event_id=9c2f3c66-5f0c-4a44-8b42-0c0b5be0a001", "event_type=order.placed", "schema_version=2")
	b.ReportAllocs()
	for b.Loop() {
		if r.Read(m).Origin.Unreadable != "" {
			b.Fatal("unreadable")
		}
	}
}
