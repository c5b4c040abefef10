package e2e

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/omnibox-go/omnibox"
	"github.com/omnibox-go/omnibox/worker/config"
)

// A rolling deploy that changes the number of shards: workers with 4 and with 7
// work side by side, and each key's order is kept.
//
// trap: 6
func TestResizingShardsUnderLoadKeepsTheOrderOfKeys(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	shards := 4
	b.outbox(func(o *config.Outbox) { o.Shards = shards; o.Lease = 5 * time.Second })
	before := b.start().awaitReady()

	const keys = 40
	numbers := [keys]int{}
	write := func(transactions int) {
		for range transactions {
			var events []omnibox.Event
			for range 5 {
				k := rand.IntN(keys)
				numbers[k]++
				events = append(events, event(fmt.Sprintf("k%02d", k), numbers[k]))
			}
			b.enqueue(events...)
		}
	}
	total := func() (sum int) {
		for _, n := range numbers {
			sum += n
		}
		return sum
	}
	write(100)
	b.awaitRecords(total() / 2)
	shards = 7
	after := b.start().awaitReady()
	write(200)
	b.awaitRecords(total() / 2)
	before.stop()
	write(100)
	stopped := time.Now()
	records := b.awaitRecords(total())
	t.Logf("the last event came %s after the old worker had stopped", time.Since(stopped).Round(time.Millisecond))
	after.stop()
	for k, n := range numbers {
		if n > 0 {
			key := fmt.Sprintf("k%02d", k)
			require.Equal(t, series(key, 1, n), firsts(only(key, records)))
		}
	}
	b.untouched()
}
