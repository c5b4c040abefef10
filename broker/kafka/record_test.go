package kafka

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/omnibox-go/omnibox/broker"
	"github.com/omnibox-go/omnibox/dev/devtest"
	"github.com/omnibox-go/omnibox/dev/servers"
)

// The partitions are those of aiokafka 0.12 with 12 partitions:
// murmur2(key) & 0x7fffffff % 12.
func TestKeysGoWhereAiokafkaPutsThem(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]int{
		"": 9, "a": 4, "ab": 2, "abc": 3, "abcd": 8, "21": 0, "foobar": 6, "a-little-bit-long-string": 8,
		"kündin-漢": 11, "order-1": 10, "c1d8785-d": 11, "a56a710d3aaaéa5-6a9078é040072a6é": 5, "22895b8056f4é": 2,
		"4471éa59e9é-6b84é-968464aéé37a0fé": 7, "-1391433d208eéd3b6c5ee3d5cé0c142éd7": 10, "db2aac6db-06fd7f0f": 1,
	} {
		require.Equal(t, want, partitionOf([]byte(key), 12), key)
	}
}

func TestSizesAreThoseOnTheWire(t *testing.T) {
	t.Parallel()
	publish := wire(t)
	for _, r := range []broker.Record{
		{},
		{Key: []byte{}, Value: []byte{}},
		{Key: []byte("k"), Value: []byte(strings.Repeat("x", 59))},
		{Key: []byte("k"), Value: []byte(strings.Repeat("x", 60))},
		{Key: []byte("k"), Value: []byte(strings.Repeat("x", 63))},
		{Key: []byte("k"), Value: []byte(strings.Repeat("x", 64))},
		{
			Key: []byte(strings.Repeat("k", 300)), Value: []byte(strings.Repeat("x", 8192)),
			Headers: []broker.Header{{Key: "a"}, {Key: strings.Repeat("h", 64), Value: []byte(strings.Repeat("v", 512))}},
		},
		{Value: []byte(strings.Repeat("x", 1<<19)), Headers: make([]broker.Header, 70)},
	} {
		require.Equal(t, batchOverhead+recordSize(&r), publish(r))
	}
}

func TestABatchIsNeverLargerThanItsSize(t *testing.T) {
	t.Parallel()
	r := broker.Record{Key: []byte("k"), Value: []byte("v"), Headers: []broker.Header{{Key: "h", Value: []byte("v")}}}
	records := slices.Repeat([]broker.Record{r}, 20_000)
	require.LessOrEqual(t, wire(t)(records...), batchOverhead+20_000*(recordSize(&r)+deltaSlack))
}

// wire gives a function that publishes records as one batch and tells its size.
func wire(t *testing.T) func(...broker.Record) int {
	t.Helper()
	f := devtest.StartKfake(t, servers.KfakeOptions{Topics: map[string]int32{"t": 1}})
	size := make(chan int, 1)
	f.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		f.KeepControl()
		size <- len(req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records)
		return nil, nil, false
	})
	p, err := Dial(Config{Addresses: f.Brokers()}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return func(records ...broker.Record) int {
		t.Helper()
		for i := range records {
			records[i].Topic = "t"
		}
		for _, err := range p.Publish(t.Context(), records) {
			require.NoError(t, err)
		}
		return <-size
	}
}

func TestNamesOfTopics(t *testing.T) {
	t.Parallel()
	for _, ok := range []string{"a", "orders.v1_x-Y", strings.Repeat("a", 249)} {
		require.NoError(t, checkTopic(ok))
	}
	for _, bad := range []string{"", ".", "..", "a b", "ä", "a/b", strings.Repeat("a", 250)} {
		require.ErrorIs(t, checkTopic(bad), sarama.ErrInvalidTopic, bad)
	}
}
